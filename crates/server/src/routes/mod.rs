//! What each route does, one file for each resource.

pub(crate) mod access;
pub(crate) mod batch;
pub(crate) mod changes;
pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod locks;
pub(crate) mod metrics;
pub(crate) mod namespaces;
pub(crate) mod read;
pub(crate) mod records;
pub(crate) mod tasks;
pub(crate) mod whoami;

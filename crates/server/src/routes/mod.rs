//! What each route does, one file for each resource.

pub(crate) mod health;
pub(crate) mod namespaces;
pub(crate) mod records;

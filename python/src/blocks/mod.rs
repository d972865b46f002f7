//! The race-free building blocks: what they do is in the core, here is how Python calls them.

pub(crate) mod call;
pub(crate) mod feed;
pub(crate) mod lease;
pub(crate) mod tasks;
pub(crate) mod transaction;
pub(crate) mod wake;

mod atomic;
mod compute;
mod options;

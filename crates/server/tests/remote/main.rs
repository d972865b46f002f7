//! The remote engine against what networks and servers do. What it returns when all is well is in the conformance suite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod interruptions;
mod names;
mod support;
mod tls;
mod waiting;

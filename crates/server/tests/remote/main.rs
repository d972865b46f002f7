//! The remote engine against what networks and servers do. What it returns when all is well is in the conformance suite.

mod answers;
mod interruptions;
mod names;
mod support;
mod tls;
mod waiting;

//! Whole stores as an operator handles them: copied from one engine to another, checked, mended, backed up and restored.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backups;
mod copying;
mod interrupted;
mod support;
mod verifying;

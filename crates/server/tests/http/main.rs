//! The server as its clients meet it: a real socket, a real client library, every embedded engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod existing_face;
mod support;

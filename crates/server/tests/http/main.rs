//! The server as its clients meet it: a real socket, a real client library, every embedded engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod changes;
mod existing_face;
mod failing;
mod hostile;
mod limits;
mod mcp;
mod memory;
mod names;
mod openapi;
mod operations;
mod paging;
mod permits;
mod preconditions;
mod repeats;
mod sharing;
mod slow;
mod support;
mod tls;
mod writes;

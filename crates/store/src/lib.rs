//! A persistent JSON key-value store for AI agents.
//!
//! [`Store`] opens an engine by URL; a [`DataStore`] is one agent's view of it: a user's records in one namespace.
//!
//! ```
//! use agent_data_store::{DataStore, Identity, Json, Options, SetOptions, Store, block_on};
//!
//! let store = block_on(Store::open("memory:", Options::default()))?;
//! let data_store = store.data_store(Identity::new("alice", Some("reader"))?, "default")?;
//! let value = Json::parse(r#"{"status": "active"}"#, store.limits())?;
//! block_on(data_store.set("project", value.clone(), SetOptions::default()))?;
//! assert_eq!(block_on(data_store.get("project"))?, Some(value));
//! # Ok::<(), agent_data_store::Error>(())
//! ```

mod access;
mod atomic;
mod blocking;
mod clock;
mod compute;
mod data_store;
mod error;
mod feed;
mod housekeeping;
mod json;
mod json_check;
mod lease;
mod lock;
mod lock_queue;
mod number;
mod open;
mod rows;
mod secrets;
mod secrets_place;
mod store;
mod tasks;
mod token;
mod trace;
mod transaction;
mod waiters;

pub mod backup;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod copy;
pub mod engine;
pub mod engines;
pub mod import;
pub mod limits;
pub mod model;
pub mod mutation;
pub mod observe;
pub mod quota;
pub mod request;
pub mod verify;
pub mod wire;

pub use atomic::AppendOptions;
pub use blocking::block_on;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use compute::ComputeOptions;
pub use data_store::{DataStore, Identity, SetOptions};
pub use error::{Error, ErrorKind, LeaseHolder, Result, VersionMismatch};
pub use feed::Follower;
pub use json::Json;
pub use lease::{Lease, LockOptions};
pub use limits::Limits;
pub use lock::HeldLock;
#[doc(hidden)] // For the bindings, which read the same numbers; no part of what this crate promises.
pub use number::parse_digits;
pub use open::{default_url, sqlite_path, sqlite_url};
pub use quota::Quota;
pub use request::RequestId;
pub use secrets::{SecretsPolicy, SecretsWarning, WarningSink, holds_secret};
pub use store::{Options, Store, Suspension};
pub use tasks::{Claim, ClaimOptions, ClaimedTask, FailedTask, TaskSummary};
pub use token::Token;
pub use transaction::Transaction;

//! The suite that every engine must pass: what the product promises, one case for each promise.
//!
//! An engine joins with a [`Harness`], which opens empty stores on it, and so gets every case: none is listed by hand for
//! an engine. What an engine cannot do, its harness names in [`Harness::exceptions`] with the reason.
//!
//! Time stands still until a case moves it, so nothing here sleeps or measures.
//!
//! ```no_run
//! use agent_data_store::conformance::{self, Harness, Place};
//! use agent_data_store::{Options, Result, Store, block_on};
//!
//! struct Memory;
//!
//! impl Harness for Memory {
//!     fn name(&self) -> &str {
//!         "memory"
//!     }
//!
//!     fn prepare(&self, options: Options) -> Result<Box<dyn Place>> {
//!         Ok(Box::new(InMemory(options)))
//!     }
//! }
//!
//! struct InMemory(Options);
//!
//! impl Place for InMemory {
//!     fn open(&self) -> Result<Store> {
//!         block_on(Store::open("memory:", self.0.clone()))
//!     }
//! }
//!
//! assert!(conformance::run(&Memory).is_success());
//! ```

// A case that no theme registers, or a theme that is not among the cases, must not compile.
#![deny(dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed promise is a panic")]

mod cases;
mod harness;
mod model;
mod run;
mod subject;
mod threads;

pub use harness::{Exception, Harness, Place};
pub use run::{Report, Trial, run, trials};

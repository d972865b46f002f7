//! Who may do what: tokens, and what each of them allows.

mod bearer;
mod glob;
mod permit;
mod token;
mod tokens;

pub(crate) use bearer::permit;
pub(crate) use glob::{Namespaces, check_patterns};
pub(crate) use permit::Permit;
pub use token::{Access, Token};
pub(crate) use tokens::unauthenticated;
pub use tokens::{IssuedToken, NewToken, Tokens};

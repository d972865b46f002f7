//! The records of a namespace, one after the other.

use crate::engine::Engine;
use crate::error::Result;
use crate::model::{Range, Row, View};

use super::PAGE;

pub(super) struct Cursor<'a> {
    engine: &'a dyn Engine,
    user: &'a str,
    namespace: &'a str,
    view: View,
    rows: std::iter::Peekable<std::vec::IntoIter<Row>>,
    /// The key that was read last.
    after: Option<Box<str>>,
    more: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(engine: &'a dyn Engine, user: &'a str, namespace: &'a str, view: View) -> Self {
        Self { engine, user, namespace, view, rows: Vec::new().into_iter().peekable(), after: None, more: true }
    }

    /// The next row, which stays the next.
    pub(super) async fn peek(&mut self) -> Result<Option<&Row>> {
        if self.rows.peek().is_none() && self.more {
            let range = Range { prefix: "", after: self.after.as_deref() };
            let page = self.engine.scan(self.user, self.namespace, range, self.view, PAGE).await?;
            self.more = page.more;
            self.after = page.rows.last().map(|row| row.key.clone()).or(self.after.take());
            self.rows = page.rows.into_iter().peekable();
        }
        Ok(self.rows.peek())
    }

    /// Takes the row that was looked at.
    pub(super) fn take(&mut self) -> Option<Row> {
        self.rows.next()
    }
}

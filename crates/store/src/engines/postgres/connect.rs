//! Connections to the database: where they come from, and how statements are sent over them.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::address::Address;
use super::failure::{Failure, Result};
use super::tables::Tables;
use super::tls;
use super::wire::Wires;
use crate::error::Error;

/// How much longer than the database itself a call waits for the end of a statement.
const GRACE: Duration = Duration::from_secs(5);

/// Where whole tables are looked through.
const LEISURE: Duration = Duration::from_secs(24 * 60 * 60);

/// The connections of one store.
pub(super) struct Connections {
    pool: Pool<Wires>,
    tables: Arc<Tables>,
    timeout: Duration,
    busy: String,
}

impl Connections {
    /// None is made yet.
    pub(super) fn new(address: &Address) -> Result<Self, Error> {
        let wires =
            Wires { config: address.config.clone(), tls: tls::connector(address)?, settings: settings(address) };
        let pool = Pool::builder(wires)
            .max_size(address.pool_size)
            .wait_timeout(Some(address.pool_timeout))
            .runtime(Runtime::Tokio1)
            // Few connections that are warm serve better than many.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|_| Error::unavailable("the pool of connections cannot be made"))?;
        Ok(Self {
            pool,
            tables: Arc::new(Tables::of(address)),
            timeout: address.statement_timeout + GRACE,
            busy: format!(
                "all {} connections to the database were in use for {} s: try again, or raise pool_size in the store URL",
                address.pool_size,
                address.pool_timeout.as_secs()
            ),
        })
    }

    /// An idle connection, or a new one.
    pub(super) async fn link(&self) -> Result<Link> {
        let object = self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(_) => Failure::Final(Error::unavailable(self.busy.clone())),
            PoolError::Backend(error) => refused(error),
            _ => Failure::Final(Error::invalid("the store is closed: open it again")),
        })?;
        Ok(Link { wire: object, tables: Arc::clone(&self.tables), timeout: self.timeout })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

/// What holds in every connection. Whoever stops in the midst of a transaction does not keep others waiting for ever.
pub(super) fn settings(address: &Address) -> String {
    let millis = address.statement_timeout.as_millis();
    format!("SET statement_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis}")
}

/// Why there is no connection.
pub(super) fn refused(error: tokio_postgres::Error) -> Failure {
    if error.code().is_some() {
        return error.into();
    }
    let source = std::error::Error::source(&error);
    match source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            Failure::Final(Error::unavailable(
                "the certificate of the database is not trusted: name its authority with sslrootcert in the store URL, or \
                 correct the host's name",
            ))
        }
        Some(_) => Failure::Lost(Error::unavailable(
            "no host of the store URL has a database that can be reached and takes writes: check that it runs",
        )),
        None => Failure::Final(Error::unavailable(
            "the database does not offer TLS, or not a way to authenticate that both know: switch TLS on there, or write \
             sslmode=disable where nobody can listen in, and check the password",
        )),
    }
}

/// One connection, for as long as it is needed.
pub(super) struct Link {
    wire: Object<Wires>,
    tables: Arc<Tables>,
    timeout: Duration,
}

async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(Failure::silent()))
}

/// A parameter of a statement.
pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);
/// What comes back of a statement.
pub(super) type Rows = Vec<Row>;
/// A statement that is sent when this is first polled.
pub(super) type Sent<'a> = Pin<Box<dyn Future<Output = Result<Rows, tokio_postgres::Error>> + Send + 'a>>;
pub(super) type Parameters<'a> = &'a [Parameter<'a>];

impl Link {
    /// The same for statements on whole tables, which may take as long as they take.
    pub(super) fn at_leisure(self) -> Self {
        Self { timeout: LEISURE, ..self }
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// A statement ready for use, prepared once for each connection.
    pub(super) async fn prepare(&self, template: &str) -> Result<Statement> {
        in_time(self.timeout, async { Ok(self.wire.prepare(template, || self.tables.sql(template)).await?) }).await
    }

    /// One statement by itself.
    pub(super) async fn query(&self, template: &str, parameters: Parameters<'_>) -> Result<Rows> {
        let statement = self.prepare(template).await?;
        let query = self.wire.client().query(&statement, parameters);
        in_time(self.timeout, async { Ok(self.wire.drive(query).await?) }).await
    }

    /// The same where there is one row.
    pub(super) async fn query_one(&self, template: &str, parameters: Parameters<'_>) -> Result<Row> {
        self.query(template, parameters).await?.pop().ok_or_else(|| super::failure::unreadable().into())
    }

    /// Statements without parameters or results.
    pub(super) async fn execute(&self, sql: &str) -> Result<()> {
        in_time(self.timeout, async { Ok(self.wire.drive(self.wire.client().batch_execute(sql)).await?) }).await
    }

    /// To be sent with others, see [`Link::all`].
    pub(super) fn send<'a>(&'a self, statement: &'a Statement, parameters: Parameters<'a>) -> Sent<'a> {
        Box::pin(self.wire.client().query(statement, parameters))
    }

    /// The same for one that begins or ends a transaction.
    pub(super) fn send_plain<'a>(&'a self, sql: &'a str) -> Sent<'a> {
        Box::pin(async move { self.wire.client().batch_execute(sql).await.map(|()| Vec::new()) })
    }

    /// Sends all of them at once, in order, and waits for the results; the first that fails is what is wrong.
    pub(super) async fn all(&self, mut sent: Vec<Sent<'_>>) -> Result<Vec<Rows>> {
        let mut results: Vec<Option<Rows>> = sent.iter().map(|_| None).collect();
        // Each has the time that the database gives it.
        let patience = self.timeout * u32::try_from(sent.len()).unwrap_or(u32::MAX);
        let all = poll_fn(|context| {
            let mut is_done = true;
            for (sent, result) in sent.iter_mut().zip(&mut results) {
                if result.is_some() {
                    continue;
                }
                match sent.as_mut().poll(context) {
                    Poll::Ready(Ok(rows)) => *result = Some(rows),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => is_done = false,
                }
            }
            if is_done { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        in_time(patience, async { Ok(self.wire.drive(all).await?) }).await?;
        Ok(results.into_iter().flatten().collect())
    }

    /// Ends the connection, and with it whatever was going on there.
    pub(super) fn discard(self) {
        drop(Object::take(self.wire));
    }
}

/// Statements that are sent together, and prepared before, so that nothing holds up what is then sent at once.
pub(super) struct Round<'a> {
    link: &'a Link,
    statements: Vec<(Statement, Vec<Parameter<'a>>)>,
}

impl<'a> Round<'a> {
    pub(super) fn new(link: &'a Link) -> Self {
        Self { link, statements: Vec::new() }
    }

    pub(super) async fn add(&mut self, template: &str, parameters: Vec<Parameter<'a>>) -> Result<()> {
        let statement = self.link.prepare(template).await?;
        self.statements.push((statement, parameters));
        Ok(())
    }

    /// Sends what there is so far; more may follow.
    pub(super) async fn send(&mut self) -> Result<Vec<Rows>> {
        let statements = std::mem::take(&mut self.statements);
        self.link.all(sent(self.link, &statements).collect()).await
    }

    /// Sends all, after the beginning of a transaction.
    pub(super) async fn begin_transaction(self) -> Result<Vec<Rows>> {
        let begin = self.link.send_plain("BEGIN ISOLATION LEVEL READ COMMITTED");
        let all = std::iter::once(begin).chain(sent(self.link, &self.statements)).collect();
        let mut results = self.link.all(all).await?;
        results.remove(0);
        Ok(results)
    }

    /// Sends all, and with it the end of the transaction.
    pub(super) async fn commit(self) -> Result<Vec<Rows>> {
        let commit = self.link.send_plain("COMMIT");
        let mut results = self.link.all(sent(self.link, &self.statements).chain([commit]).collect()).await?;
        results.pop();
        Ok(results)
    }
}

fn sent<'a>(link: &'a Link, statements: &'a [(Statement, Vec<Parameter<'a>>)]) -> impl Iterator<Item = Sent<'a>> {
    statements.iter().map(|(statement, parameters)| link.send(statement, parameters))
}

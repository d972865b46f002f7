//! One connection to the database. Nobody keeps it going in the background: whoever waits for an answer does, so that no other
//! thread has to be woken to hand it over.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

type Connection = tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Every statement of this engine goes from few rows to others by their keys. A planner that has not counted the rows of a
/// young table may guess otherwise, and keep to that while the table grows. A plan then serves whatever the parameters are, and
/// planning anew takes longer than most statements.
const PLANS: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;
                     SET enable_material = off; SET jit = off; SET plan_cache_mode = force_generic_plan";

pub(super) struct Wire {
    client: Client,
    /// `None` once it has ended.
    connection: Mutex<Option<Connection>>,
    /// What was prepared, by the text before the names of tables are put in.
    statements: Mutex<HashMap<Box<str>, Statement>>,
}

impl Wire {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn statements(&self) -> MutexGuard<'_, HashMap<Box<str>, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends and receives for as long as what is done with the client is not done.
    pub(super) async fn drive<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            self.go_on(context);
            // What has come, or the end of the connection.
            work.as_mut().poll(context)
        })
        .await
    }

    /// Sends what there is to be sent and takes in what has come; returns whether the connection stands.
    fn go_on(&self, context: &mut Context<'_>) -> bool {
        let mut present = self.connection();
        while let Some(connection) = &mut *present {
            match connection.poll_message(context) {
                // The database notes something that nobody has asked for.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => *present = None,
                Poll::Pending => return true,
            }
        }
        false
    }

    /// A statement ready for use: `sql` says it where it has not been prepared yet.
    pub(super) async fn prepare(&self, template: &str, sql: impl FnOnce() -> String) -> Result<Statement, Error> {
        if let Some(statement) = self.statements().get(template) {
            return Ok(statement.clone());
        }
        let sql = sql();
        let statement = self.drive(self.client.prepare(&sql)).await?;
        self.statements().insert(template.into(), statement.clone());
        Ok(statement)
    }
}

/// Makes connections for the pool.
pub(super) struct Wires {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    /// Statements that every connection begins with.
    pub(super) settings: String,
}

impl Manager for Wires {
    type Type = Wire;
    type Error = Error;

    async fn create(&self) -> Result<Wire, Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        let wire = Wire { client, connection: Mutex::new(Some(connection)), statements: Mutex::default() };
        wire.drive(wire.client.batch_execute(&self.settings)).await?;
        // Databases that do not know these choose by other rules.
        let _ = wire.drive(wire.client.batch_execute(PLANS)).await;
        Ok(wire)
    }

    async fn recycle(&self, wire: &mut Wire, _: &Metrics) -> RecycleResult<Error> {
        match poll_fn(|context| Poll::Ready(wire.go_on(context))).await {
            true => Ok(()),
            false => Err(RecycleError::message("the connection has ended")),
        }
    }
}

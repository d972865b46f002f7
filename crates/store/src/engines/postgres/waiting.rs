//! Waiting for changes: one task asks for all who wait in this process, at once when it hears of a change and else at short
//! intervals, and there is none while nobody waits.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::AsyncMessage;

use super::connect::{refused, settings};
use super::failure::Result;
use super::home::Home;
use super::tables::number_of;
use super::{Core, Shared, feed, tls};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result as StoreResult};
use crate::model::Version;
use crate::waiters::{Probe, Waiters};

/// How long a change may go unnoticed where notifications are lost or not to be had.
const INTERVAL: Duration = Duration::from_millis(40);
/// Where somebody's write holds up those that came after it.
const UNSETTLED: Duration = Duration::from_millis(3);
/// For how long the database may be away before those who wait are told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to hear notifications.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// Everyone who waits on one store.
#[derive(Debug)]
pub(super) struct Waiting {
    waiters: Waiters,
    seats: Mutex<HashMap<Box<str>, Weak<Seat>>>,
    /// Something may have changed.
    kick: Notify,
    failure: Mutex<Option<(ErrorKind, String)>>,
}

/// The users of which somebody waits for changes.
#[derive(Debug, Default)]
struct Seat {
    newest: AtomicU64,
}

impl Waiting {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { waiters: Waiters::new(clock), seats: Mutex::default(), kick: Notify::new(), failure: Mutex::default() }
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<Box<str>, Weak<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sit(&self, user: &str) -> Arc<Seat> {
        let mut seats = self.seats();
        if let Some(seat) = seats.get(user).and_then(Weak::upgrade) {
            return seat;
        }
        seats.retain(|_, seat| seat.strong_count() > 0);
        let seat = Arc::default();
        seats.insert(user.into(), Arc::downgrade(&seat));
        seat
    }

    fn watched(&self) -> (Vec<Box<str>>, Vec<Arc<Seat>>) {
        self.seats().iter().filter_map(|(user, seat)| Some((user.clone(), seat.upgrade()?))).unzip()
    }

    /// This process has changed something of `user`.
    pub(super) fn changed(&self, user: &str) {
        if self.seats().contains_key(user) {
            self.kick.notify_one();
        }
    }

    /// Wakes everyone: they look again, and so begin anew.
    pub(super) fn stop(&self) {
        self.waiters.stop();
    }

    /// Waits until the user's changes go beyond `since`, at the latest until `until`.
    pub(super) async fn beyond(
        &self,
        home: &Home,
        clock: &dyn Clock,
        user: &str,
        since: Version,
        until: Timestamp,
    ) -> StoreResult<Version> {
        let seat = self.sit(user);
        let owned: Box<str> = user.into();
        let mut newest = home.run(|core| async move { feed::position(&core, &owned).await }).await?;
        loop {
            if newest > since || clock.now() >= until {
                return Ok(newest);
            }
            // Nobody may keep everything still before the watch stands, which waits for nothing.
            let (handle, core, ticket) = home.enter()?;
            // Before the seat is looked at, so that nothing that is learned afterwards goes unnoticed.
            let watch = self.waiters.watch(|| Ok(begin(&handle, &core)))?;
            drop((core, ticket));
            newest = newest.max(seat.newest.load(Atomic::SeqCst));
            if newest > since {
                return Ok(newest);
            }
            watch.changed(until).await;
            newest = newest.max(seat.newest.load(Atomic::SeqCst));
            if let Some((kind, message)) = self.failure().clone() {
                return Err(Error::new(kind, message));
            }
        }
    }

    fn failure(&self) -> MutexGuard<'_, Option<(ErrorKind, String)>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks, for as long as this is kept.
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

fn begin(handle: &Handle, core: &Arc<Core>) -> Probe {
    *core.shared.waiting.failure() = None;
    let tasks = Tasks(vec![handle.spawn(ask(Arc::clone(core))), handle.spawn(listen(Arc::clone(&core.shared)))]);
    Box::new(move || tasks.0.iter().any(JoinHandle::is_finished))
}

/// Asks for the positions of all who wait, again and again.
async fn ask(core: Arc<Core>) {
    let waiting = &core.shared.waiting;
    let mut failing_since: Option<Instant> = None;
    loop {
        let (users, seats) = waiting.watched();
        let mut pause = INTERVAL;
        match feed::positions(&core, &users).await {
            Ok((positions, settled)) => {
                failing_since = None;
                if !settled {
                    pause = UNSETTLED;
                }
                let mut any = false;
                for (seat, position) in seats.iter().zip(positions) {
                    any |= seat.newest.fetch_max(position, Atomic::SeqCst) < position;
                }
                if any {
                    waiting.waiters.notify();
                }
            }
            Err(failure) => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= PATIENCE {
                    let error = failure.into_error();
                    *waiting.failure() = Some((error.kind(), error.message().to_owned()));
                    // The end of this task has everyone woken.
                    return;
                }
            }
        }
        drop((users, seats));
        let _ = tokio::time::timeout(pause, waiting.kick.notified()).await;
    }
}

/// Hears what other processes tell.
async fn listen(shared: Arc<Shared>) {
    loop {
        // Where they cannot be heard, asking has to do.
        let _ = hear(&shared).await;
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn hear(shared: &Shared) -> Result<()> {
    let connector = tls::connector(&shared.address)?;
    let (client, mut connection) = shared.address.config.connect(connector).await.map_err(refused)?;
    let begin = format!("{}; LISTEN {}", settings(&shared.address), channel(shared));
    let listening = async move {
        client.batch_execute(&begin).await?;
        // The connection ends with the client.
        std::future::pending::<Result<()>>().await
    };
    let mut listening = std::pin::pin!(listening);
    loop {
        let message = poll_fn(|context| {
            if let std::task::Poll::Ready(result) = listening.as_mut().poll(context) {
                return std::task::Poll::Ready(result.map(|()| None));
            }
            connection.poll_message(context).map(|message| message.transpose().map_err(Into::into))
        });
        match message.await? {
            Some(AsyncMessage::Notification(notification)) => {
                let seats = shared.waiting.seats();
                if seats.keys().any(|user| notification.payload() == mark_of(user)) {
                    shared.waiting.kick.notify_one();
                }
            }
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

/// Where the processes of one store tell each other of changes.
pub(super) fn channel(shared: &Shared) -> String {
    format!("agent_data_store_{:08x}", shared.tables.number())
}

/// What stands for a user there, where others can listen.
pub(super) fn mark_of(user: &str) -> String {
    format!("{:08x}", number_of(&["notify", user]))
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

//! One client over this process's standard streams: a JSON-RPC message in each line.
//!
//! Both streams have a thread of their own, since on most systems they cannot be waited for otherwise. Nothing but messages
//! goes to stdout.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent_data_store::{Error, ErrorKind, Result};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, GetExtensions, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::service::{RoleServer, ServerInitializeError, serve_server};
use rmcp::transport::Transport;
use rmcp::{ErrorData, transport::TransportAdapterIdentity};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::arguments::Message;
use super::envelope::{no_message, without_arguments};
use super::handler::Handler;
use super::position;
use crate::caller::Caller;

/// Longest message that is taken, in bytes: longer than the largest value, however it is escaped.
const LONGEST: u64 = 256 << 20;
/// Messages that are taken in before earlier ones are seen to.
const AHEAD: usize = 64;
/// How much a client may leave unread, in bytes. One that leaves more reads nothing at all.
const UNREAD: usize = 64 << 20;
/// How long the last answers may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Serves until the client closes its end. `ended` is set as soon as it does, so that nobody waits on its behalf.
pub(super) async fn serve(handler: Handler, caller: Caller, ended: watch::Sender<bool>) -> Result<()> {
    let streams = Streams::open(caller, ended).map_err(|source| {
        let message = format!("the system refuses threads for the standard streams: {source}");
        Error::new(ErrorKind::Unavailable, message).caused_by(source)
    })?;
    let trouble = streams.trouble.clone();
    let served = serve_server::<_, _, _, TransportAdapterIdentity>(handler, streams).await;
    match served {
        // An error here is a panic, which has been reported by its own task.
        Ok(running) => drop(running.waiting().await),
        // Whoever only looks whether there is a server.
        Err(ServerInitializeError::ConnectionClosed(_)) => {}
        Err(error) => return Err(unavailable(format!("the client did not begin as the protocol asks: {error}"))),
    }
    let trouble = trouble.borrow();
    match &*trouble {
        Some(trouble) => Err(unavailable(trouble.clone())),
        None => Ok(()),
    }
}

fn unavailable(message: String) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// The standard streams as the protocol's transport.
struct Streams {
    caller: Caller,
    lines: mpsc::Receiver<Vec<u8>>,
    answers: Option<mpsc::UnboundedSender<Vec<u8>>>,
    /// Bytes of answers that have not been taken yet.
    unread: Arc<AtomicUsize>,
    /// Comes when all answers have been taken.
    taken: Option<oneshot::Receiver<()>>,
    /// Why there is an end before the client's own.
    trouble: watch::Receiver<Option<String>>,
    troubled: Arc<watch::Sender<Option<String>>>,
}

impl Streams {
    fn open(caller: Caller, ended: watch::Sender<bool>) -> io::Result<Self> {
        let (line, lines) = mpsc::channel(AHEAD);
        let (answers, answer) = mpsc::unbounded_channel();
        let (all_taken, taken) = oneshot::channel();
        let (troubled, trouble) = watch::channel(None);
        let troubled = Arc::new(troubled);
        let unread = Arc::new(AtomicUsize::new(0));
        let reading = Arc::clone(&troubled);
        std::thread::Builder::new().name("mcp-stdin".to_owned()).spawn(move || {
            if let Err(error) = read(&line) {
                reading.send_replace(Some(error));
            }
            ended.send_replace(true);
        })?;
        let (writing, left) = (Arc::clone(&troubled), Arc::clone(&unread));
        std::thread::Builder::new().name("mcp-stdout".to_owned()).spawn(move || {
            if write(answer, &left).is_err() {
                // A client that has gone reads nothing: an end like any other.
                writing.send_replace(None);
            }
            let _ = all_taken.send(());
        })?;
        Ok(Self { caller, lines, answers: Some(answers), unread, taken: Some(taken), trouble, troubled })
    }

    /// The message in a line, with what its handler needs to know of it.
    async fn understood(&mut self, line: Vec<u8>) -> Option<ClientJsonRpcMessage> {
        let read = without_arguments(&line).and_then(|rest| serde_json::from_slice(&rest).map_err(|_| no_message()));
        let mut message: ClientJsonRpcMessage = match read {
            Ok(message) => message,
            Err(error) => {
                self.refuse(&line, &error);
                return None;
            }
        };
        if let JsonRpcMessage::Request(request) = &mut message {
            let position = match &request.request {
                ClientRequest::SubscriptionsListenRequest(_) => position(&self.caller).await,
                _ => None,
            };
            let extensions = request.request.extensions_mut();
            if let Some(position) = position {
                extensions.insert(position);
            }
            extensions.insert(Message::Line(line.into()));
        }
        Some(message)
    }

    /// Tells the client what is wrong with a line, if it waits for an answer to it.
    fn refuse(&mut self, line: &[u8], error: &Error) {
        #[derive(Deserialize)]
        struct Named {
            id: RequestId,
        }
        let is_json = serde_json::from_slice::<IgnoredAny>(line).is_ok();
        let refusal = match is_json {
            true => ErrorData::invalid_request(error.message().to_owned(), None),
            false => ErrorData::parse_error(error.message().to_owned(), None),
        };
        tracing::warn!("a line is no message of the protocol");
        let id = serde_json::from_slice::<Named>(line).ok().map(|named| named.id);
        // Without an id nobody waits, and an answer could be taken for a message that is as wrong.
        if id.is_some() {
            let _ = self.answer(&ServerJsonRpcMessage::error(refusal, id));
        }
    }

    fn answer(&self, message: &ServerJsonRpcMessage) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let unread = self.unread.fetch_add(line.len(), Ordering::Relaxed) + line.len();
        if unread > UNREAD {
            self.troubled.send_replace(Some("the client does not read its answers".to_owned()));
            return Err(io::ErrorKind::TimedOut.into());
        }
        let answers = self.answers.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        answers.send(line).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Transport<RoleServer> for Streams {
    type Error = io::Error;

    fn send(&mut self, message: ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        std::future::ready(self.answer(&message))
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let line = tokio::select! {
                line = self.lines.recv() => line?,
                _ = self.trouble.changed() => return None,
            };
            if let Some(message) = self.understood(line).await {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.answers = None;
        if let Some(taken) = self.taken.take() {
            let _ = timeout(LAST_ANSWERS, taken).await;
        }
        Ok(())
    }
}

/// Reads lines until the client closes its end.
fn read(lines: &mpsc::Sender<Vec<u8>>) -> std::result::Result<(), String> {
    let mut stdin = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        match stdin.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(read) if read as u64 == LONGEST && line.last() != Some(&b'\n') => {
                return Err(format!("a message is longer than {LONGEST} bytes"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("stdin cannot be read: {error}")),
        }
        // Without its end a line is no whole message: the client has gone while it sent it.
        if line.pop() != Some(b'\n') || lines.blocking_send(line).is_err() {
            return Ok(());
        }
    }
}

/// Writes answers until there are no more to come.
fn write(mut answers: mpsc::UnboundedReceiver<Vec<u8>>, unread: &AtomicUsize) -> io::Result<()> {
    let mut stdout = io::stdout();
    while let Some(line) = answers.blocking_recv() {
        stdout.write_all(&line)?;
        stdout.flush()?;
        unread.fetch_sub(line.len(), Ordering::Relaxed);
    }
    Ok(())
}

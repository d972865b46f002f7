//! The remote engine: an agent data store over HTTP, behind the same face as one in a file.
//!
//! A store URL `http://host:port` or `https://host:port`, with a path if the server is below one, takes these parameters:
//!
//! - `timeout=SECONDS` (default 30): how long the server may take for one step of a call, such as beginning its answer.
//! - `ca_file=PATH`: certificates in PEM that are trusted in place of the system's.
//!
//! **Every call waits for the network in the thread that makes it**, also where it is a future: call it from threads that may
//! wait. Only waiting for a change leaves the thread alone once it has begun.
//!
//! Connections are kept and used again. A call that meets no server, one that is restarting, or one that is asked too often,
//! is repeated for up to ten seconds, with growing pauses. Every write has a request id, so that it is applied once, however
//! often it had to be sent. Beyond that time the call fails with `Unavailable`; a write may then have been applied.

mod address;
mod client;
mod connect;
mod decode;
mod encode;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use ureq::http::Method;

use self::address::Address as ServerAddress;
use self::client::{Call, Client, Held, Reply};
use self::waiting::{Still, Waiting};
use crate::clock::Timestamp;
use crate::data_store::Identity;
use crate::engine::{Answer, Engine, Suspended};
use crate::error::{Error, ErrorKind, Result};
use crate::import::Import;
use crate::limits::{KEY_BYTES, NAMESPACE_BYTES};
use crate::model::{
    Access, Address, Batch, Changes, NamespaceStats, Outcome, Page, PageSize, Range, Row, Version, View,
};
use crate::request::RequestId;
use crate::store::Options;
use crate::verify::Problem;

/// Changes that are asked for at once.
const CHANGES_AT_ONCE: usize = 10_000;

/// A store on a server.
#[derive(Debug)]
pub struct RemoteEngine {
    client: Arc<Client>,
    waiting: Waiting,
    caller: Option<Identity>,
}

impl RemoteEngine {
    /// Connects to the server at `url` with the token of `options`, and asks whom it takes that for.
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that cannot be; `Unauthenticated` for a token that the server does not know or no longer;
    /// `Unavailable` where there is no server, or another than an agent data store.
    pub fn open(url: &str, options: &Options) -> Result<Self> {
        let client = Arc::new(Client::new(ServerAddress::parse(url)?, options.token.as_ref())?);
        let asked = Call { user: None, ..Call::get("", encode::WHOAMI.to_owned()) };
        let reply = client.first_call(&asked)?;
        let who = decode::whoami(&reply.body).ok_or_else(|| client.not_understood())?;
        let caller = who.user.map(|user| Identity::new(&user, who.agent.as_deref())).transpose();
        let caller = caller.map_err(|_| client.not_understood())?;
        let waiting = Waiting::new(Arc::clone(&client), Arc::clone(&options.clock));
        Ok(Self { client, waiting, caller })
    }

    fn get<T>(&self, user: &str, path: String, decode: impl FnOnce(Reply) -> Option<T>) -> Result<T> {
        self.decoded(self.client.call(&Call::get(user, path))?, decode)
    }

    fn decoded<T>(&self, reply: Reply, decode: impl FnOnce(Reply) -> Option<T>) -> Result<T> {
        Some(reply).filter(|reply| reply.found).and_then(decode).ok_or_else(|| self.client.not_understood())
    }

    fn scanned(&self, user: &str, namespace: &str, range: Range<'_>, view: View, page: PageSize) -> Result<Page<Row>> {
        if range.prefix.len() > KEY_BYTES {
            return self.client.check_open().map(|()| Page { rows: Vec::new(), more: false });
        }
        self.get(user, encode::scan_path(namespace, range, view, page), |reply| {
            let rows = decode::found_records(&reply.body, view)?.into_iter().collect::<Option<_>>()?;
            Some(Page { rows, more: reply.has_next() })
        })
    }

    fn namespaces_page(&self, user: &str, range: Range<'_>, page: PageSize) -> Result<Page<NamespaceStats>> {
        if range.prefix.len() > NAMESPACE_BYTES {
            return self.client.check_open().map(|()| Page { rows: Vec::new(), more: false });
        }
        self.get(user, encode::namespaces_path(range, page), |reply| {
            let mut rows = decode::namespaces(&reply.body)?;
            let mut more = reply.has_next();
            let mut bytes = 0;
            let fits = rows.iter().take_while(|stats| {
                bytes += stats.namespace.len();
                bytes <= page.bytes
            });
            let fitting = fits.count().max(1);
            if fitting < rows.len() {
                rows.truncate(fitting);
                more = true;
            }
            Some(Page { rows, more })
        })
    }

    fn written(&self, batch: &Batch) -> Result<Vec<Outcome>> {
        let own;
        let request = match &batch.request {
            Some(request) => request,
            None => {
                own = new_request()?;
                &own
            }
        };
        let call = Call {
            agent: batch.agent.as_deref(),
            request: Some(request.as_str()),
            ..Call::post(&batch.user, encode::BATCH, encode::batch_body(batch))
        };
        let outcomes = self.decoded(self.client.call(&call)?, |reply| decode::outcomes(&reply.body))?;
        match outcomes.len() == batch.writes.len() {
            true => Ok(outcomes),
            false => Err(self.client.not_understood()),
        }
    }

    fn cleared(&self, user: &str, agent: Option<&str>, namespace: &str, request: Option<&RequestId>) -> Result<u64> {
        let own;
        let request = match request {
            Some(request) => request,
            None => {
                own = new_request()?;
                &own
            }
        };
        let call = Call {
            method: Method::DELETE,
            agent,
            request: Some(request.as_str()),
            ..Call::get(user, encode::namespace_path(namespace))
        };
        self.decoded(self.client.call(&call)?, |reply| decode::cleared(&reply.body))
    }

    /// Counts reads, user by user. What may have been counted is not sent again, so once some are the rest is dropped
    /// rather than counted twice; and so is what the server does not let this caller count.
    fn accessed(&self, accesses: &[Access]) -> Result<()> {
        let mut of_users: BTreeMap<&str, Vec<&Access>> = BTreeMap::new();
        for access in accesses {
            of_users.entry(&access.user).or_default().push(access);
        }
        self.client.check_open()?;
        for (index, (user, accesses)) in of_users.into_iter().enumerate() {
            let body = encode::access_body(accesses);
            let call = Call { repeatable: false, ..Call::post(user, encode::ACCESS, body) };
            match self.client.call(&call) {
                Err(error) if index == 0 && error.kind() == ErrorKind::Unavailable => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn changed(&self, user: &str, since: Version, limit: usize) -> Result<Changes> {
        let page = |since, limit| {
            let path = encode::changes_path(since, limit, 0);
            self.get(user, path, |reply| decode::changes(&reply.body))
        };
        let mut found = page(since, limit.min(CHANGES_AT_ONCE))?;
        // A server gives so many at once, and not more.
        while let Some(newest) = found.changes.last().map(|change| change.version)
            && newest < found.last
            && found.changes.len() < limit
        {
            let next = page(newest, (limit - found.changes.len()).min(CHANGES_AT_ONCE))?;
            found.last = next.last;
            if next.changes.is_empty() {
                break;
            }
            found.changes.extend(next.changes);
        }
        Ok(found)
    }
}

/// An id that no other write has. From the system each time: numbers of our own would come again after a `fork`.
fn new_request() -> Result<RequestId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|_| Error::unavailable("the system gives no random numbers for the id of a write: try again"))?;
    RequestId::new(&format!("{:032x}", u128::from_le_bytes(random)))
}

impl Engine for RemoteEngine {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn place(&self) -> String {
        self.client.base().to_owned()
    }

    fn is_inline(&self) -> bool {
        false
    }

    fn caller(&self) -> Option<&Identity> {
        self.caller.as_ref()
    }

    fn read<'a>(&'a self, user: &'a str, addresses: &'a [Address], view: View) -> Answer<'a, Vec<Option<Row>>> {
        let call = Call::post(user, encode::READ, encode::read_body(addresses, view));
        Answer::ready(self.client.call(&call).and_then(|reply| {
            let rows =
                |reply: Reply| decode::found_records(&reply.body, view).filter(|rows| rows.len() == addresses.len());
            self.decoded(reply, rows)
        }))
    }

    fn read_one<'a>(&'a self, user: &'a str, namespace: &'a str, key: &'a str, view: View) -> Answer<'a, Option<Row>> {
        let reply = self.client.call(&Call::get(user, encode::record_path(namespace, key, view)));
        Answer::ready(reply.and_then(|reply| match reply.found {
            true => self.decoded(reply, |reply| decode::record(reply, view)).map(Some),
            false => Ok(None),
        }))
    }

    fn scan<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        range: Range<'a>,
        view: View,
        page: PageSize,
    ) -> Answer<'a, Page<Row>> {
        Answer::ready(self.scanned(user, namespace, range, view, page))
    }

    fn count<'a>(&'a self, user: &'a str, namespace: &'a str, prefix: &'a str) -> Answer<'a, u64> {
        if prefix.len() > KEY_BYTES {
            return Answer::ready(self.client.check_open().map(|()| 0));
        }
        Answer::ready(self.get(user, encode::count_path(namespace, prefix), |reply| decode::count(&reply.body)))
    }

    fn namespace_names<'a>(&'a self, user: &'a str, prefix: &'a str) -> Answer<'a, Vec<Box<str>>> {
        if prefix.len() > NAMESPACE_BYTES {
            return Answer::ready(self.client.check_open().map(|()| Vec::new()));
        }
        Answer::ready(self.get(user, encode::namespace_names_path(prefix), |reply| decode::names(&reply.body)))
    }

    fn namespaces<'a>(&'a self, user: &'a str, range: Range<'a>, page: PageSize) -> Answer<'a, Page<NamespaceStats>> {
        Answer::ready(self.namespaces_page(user, range, page))
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        Answer::ready(self.written(&batch))
    }

    fn clear<'a>(
        &'a self,
        user: &'a str,
        agent: Option<&'a str>,
        namespace: &'a str,
        request: Option<&'a RequestId>,
    ) -> Answer<'a, u64> {
        Answer::ready(self.cleared(user, agent, namespace, request))
    }

    fn record_access(&self, accesses: Vec<Access>) -> Answer<'_, ()> {
        Answer::ready(self.accessed(&accesses))
    }

    fn changes<'a>(&'a self, user: &'a str, since: Version, limit: usize) -> Answer<'a, Changes> {
        Answer::ready(self.changed(user, since, limit))
    }

    fn wait_for_change<'a>(&'a self, user: &'a str, since: Version, until: Timestamp) -> Answer<'a, Version> {
        Answer::pending(self.waiting.beyond(user, since, until))
    }

    fn users<'a>(&'a self, _: Range<'a>, _: PageSize) -> Answer<'a, Page<Box<str>>> {
        Answer::ready(Err(of_whole_stores()))
    }

    fn import(&self, _: Import) -> Answer<'_, ()> {
        Answer::ready(Err(of_whole_stores()))
    }

    fn check(&self) -> Answer<'_, Vec<Problem>> {
        Answer::ready(Err(of_whole_stores()))
    }

    fn mend<'a>(&'a self, _: &'a [Problem]) -> Answer<'a, ()> {
        Answer::ready(Err(of_whole_stores()))
    }

    /// Nothing to do: the server does its own housekeeping.
    fn maintain(&self) -> Answer<'_, bool> {
        Answer::ready(self.client.check_open().map(|()| false))
    }

    fn suspend(&self) -> Box<dyn Suspended + '_> {
        // Those who wait first: woken, they would call.
        let still = self.waiting.hold();
        Box::new(Rest { _calls: self.client.hold(), _waits: still })
    }

    fn close(&self) -> Answer<'_, ()> {
        self.waiting.close();
        self.client.close();
        Answer::ready(Ok(()))
    }
}

fn of_whole_stores() -> Error {
    Error::invalid(
        "a server shows and takes the records of its callers, not whole stores: name the store behind it, by the URL that the \
         server was started with",
    )
}

/// The engine at rest. The order of the fields is the order in which they are let go.
struct Rest<'a> {
    _calls: Held<'a>,
    _waits: Still<'a>,
}

impl Suspended for Rest<'_> {}

//! What clients see when the store fails beneath the server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use agent_data_store::engine::{Answer, Engine, Suspended};
use agent_data_store::import::Import;
use agent_data_store::model::{
    Access, Address, Batch, Changes, NamespaceStats, Outcome, Page, PageSize, Range, Row, Version, View,
};
use agent_data_store::verify::Problem;
use agent_data_store::{Error, ErrorKind, RequestId, Timestamp};
use serde_json::json;

use crate::support::{TestServer, record};

/// An engine that fails where a key asks for it.
#[derive(Debug)]
struct Failing {
    engine: Arc<dyn Engine>,
    is_inline: bool,
    gate: Arc<Gate>,
}

/// Where calls wait until it is opened.
#[derive(Debug, Default)]
struct Gate {
    waiting: AtomicUsize,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let opened = self.opened.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open);
        drop(opened.unwrap());
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

fn fail(key: &str) -> Option<Error> {
    let kind = match key {
        "panic" => panic!("hunter2"),
        "busy" => ErrorKind::Unavailable,
        "damaged" => ErrorKind::CorruptStore,
        "full" => ErrorKind::QuotaExceeded,
        "stranger" => ErrorKind::Unauthenticated,
        "forbidden" => ErrorKind::PermissionDenied,
        _ => return None,
    };
    Some(Error::new(kind, "as asked").caused_by("hunter2"))
}

impl Engine for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn place(&self) -> String {
        self.engine.place()
    }

    fn is_inline(&self) -> bool {
        self.is_inline
    }

    fn read<'a>(&'a self, user: &'a str, addresses: &'a [Address], view: View) -> Answer<'a, Vec<Option<Row>>> {
        self.engine.read(user, addresses, view)
    }

    fn read_one<'a>(&'a self, user: &'a str, namespace: &'a str, key: &'a str, view: View) -> Answer<'a, Option<Row>> {
        match fail(key) {
            Some(error) => Answer::ready(Err(error)),
            None => self.engine.read_one(user, namespace, key, view),
        }
    }

    fn scan<'a>(
        &'a self,
        user: &'a str,
        namespace: &'a str,
        range: Range<'a>,
        view: View,
        page: PageSize,
    ) -> Answer<'a, Page<Row>> {
        match range.after.filter(|_| namespace == "breaks") {
            Some(_) => Answer::ready(Err(Error::new(ErrorKind::Unavailable, "as asked"))),
            None => self.engine.scan(user, namespace, range, view, page),
        }
    }

    fn count<'a>(&'a self, user: &'a str, namespace: &'a str, prefix: &'a str) -> Answer<'a, u64> {
        if prefix == "waits" {
            self.gate.pass();
        }
        self.engine.count(user, namespace, prefix)
    }

    fn namespace_names<'a>(&'a self, user: &'a str, prefix: &'a str) -> Answer<'a, Vec<Box<str>>> {
        self.engine.namespace_names(user, prefix)
    }

    fn namespaces<'a>(&'a self, user: &'a str, range: Range<'a>, page: PageSize) -> Answer<'a, Page<NamespaceStats>> {
        self.engine.namespaces(user, range, page)
    }

    fn write(&self, batch: Batch) -> Answer<'_, Vec<Outcome>> {
        match batch.writes.iter().find_map(|write| fail(&write.address.key)) {
            Some(error) => Answer::ready(Err(error)),
            None => self.engine.write(batch),
        }
    }

    fn clear<'a>(
        &'a self,
        user: &'a str,
        agent: Option<&'a str>,
        namespace: &'a str,
        request: Option<&'a RequestId>,
    ) -> Answer<'a, u64> {
        self.engine.clear(user, agent, namespace, request)
    }

    fn record_access(&self, accesses: Vec<Access>) -> Answer<'_, ()> {
        self.engine.record_access(accesses)
    }

    fn changes<'a>(&'a self, user: &'a str, since: Version, limit: usize) -> Answer<'a, Changes> {
        self.engine.changes(user, since, limit)
    }

    fn wait_for_change<'a>(&'a self, user: &'a str, since: Version, until: Timestamp) -> Answer<'a, Version> {
        self.engine.wait_for_change(user, since, until)
    }

    fn users<'a>(&'a self, range: Range<'a>, page: PageSize) -> Answer<'a, Page<Box<str>>> {
        self.engine.users(range, page)
    }

    fn import(&self, import: Import) -> Answer<'_, ()> {
        self.engine.import(import)
    }

    fn check(&self) -> Answer<'_, Vec<Problem>> {
        self.engine.check()
    }

    fn mend<'a>(&'a self, problems: &'a [Problem]) -> Answer<'a, ()> {
        self.engine.mend(problems)
    }

    fn maintain(&self) -> Answer<'_, bool> {
        self.engine.maintain()
    }

    fn suspend(&self) -> Box<dyn Suspended + '_> {
        self.engine.suspend()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.engine.close()
    }
}

/// Servers over an engine that works where it is called, and over one that does not.
fn servers() -> [TestServer; 2] {
    let failing = |engine, is_inline| Failing { engine, is_inline, gate: Arc::default() };
    [true, false].map(|is_inline| TestServer::layered(|engine| Arc::new(failing(engine, is_inline))))
}

#[test]
fn long_reads_leave_a_thread_for_writes() {
    // More than a runtime has threads for what waits.
    const READS: usize = 600;
    let gate = Arc::new(Gate::default());
    let of_engine = Arc::clone(&gate);
    let server = TestServer::layered(|engine| Arc::new(Failing { engine, is_inline: true, gate: of_engine }));
    let reads: Vec<_> = (0..READS).map(|_| server.begin("/data-store/namespaces/n/count?prefix=waits")).collect();
    server.await_in_flight(READS);
    server.await_until("some read", || gate.waiting.load(Ordering::Relaxed) > 0);
    server.put(&record("n", "k"), r#"{"value": 1}"#).expect(200);
    server.get(&record("n", "k")).expect(200);
    gate.open();
    for read in reads {
        assert_eq!(read.end().expect(200)["count"], 0);
    }
}

#[test]
fn each_kind_of_failure_has_its_status() {
    for server in servers() {
        for (key, status, code) in [
            ("busy", 503, "unavailable"),
            ("damaged", 500, "corrupt_store"),
            ("full", 507, "quota_exceeded"),
            ("stranger", 401, "unauthenticated"),
            ("forbidden", 403, "permission_denied"),
        ] {
            let read = server.get(&record("n", key));
            let written = server.put(&record("n", key), r#"{"value": 1}"#);
            for reply in [read, written] {
                let error = reply.fails(status, code);
                assert!(!error.to_string().contains("hunter2"), "{error}");
                assert_eq!(reply.header("retry-after"), (status == 503).then_some("1"));
                assert_eq!(reply.header("www-authenticate"), (status == 401).then_some("Bearer"));
            }
        }
    }
}

#[test]
fn a_panic_is_one_failed_request_that_says_nothing() {
    for server in servers() {
        for _ in 0..3 {
            let error = server.get(&record("n", "panic")).fails(500, "internal_error");
            assert_eq!(error, json!({"detail": "internal error: see the server's log", "code": "internal_error"}));
            let reply = server.put(&record("n", "panic"), r#"{"value": 1}"#);
            assert!(reply.status >= 500 && !String::from_utf8_lossy(&reply.body).contains("hunter2"), "{reply:?}");
        }
        server.put(&record("n", "k"), r#"{"value": 1}"#).expect(200);
        let metrics = server.get("/metrics").body;
        assert!(String::from_utf8_lossy(&metrics).contains("ads_http_requests_in_flight 1\n"), "nothing is left over");
    }
}

#[test]
fn a_list_that_cannot_be_read_to_its_end_does_not_look_whole() {
    for server in servers() {
        let writes: Vec<_> = (0..3_000)
            .map(|n| json!({"namespace": "breaks", "key": format!("k{n:05}"), "op": "set", "value": n}))
            .collect();
        server.post("/data-store/batch", &json!({"writes": writes}).to_string()).expect(200);
        assert!(server.breaks_off("/data-store/namespaces/breaks/records"));
        assert!(!server.breaks_off("/data-store/namespaces/breaks/records?snapshot=true"));
        // Where nothing has been sent yet, there is a proper answer.
        server.get("/data-store/namespaces/breaks/records?after=k00001").fails(503, "unavailable");
    }
}

//! One of the two engines, and everything that can be seen of it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::history::{At, Guard, KEYS, NAMESPACES, Op, PlannedWrite, USERS};
use crate::blocking::block_on;
use crate::clock::{ManualClock, Timestamp};
use crate::conformance::subject::{Handle, Subject, WriteExt, maintain, options};
use crate::model::ChangeKind::{Clear, Delete, Expire, Set};
use crate::model::{Address, Change, Outcome, PageSize, Precondition, Range, Record, Row, Version, View, Write};
use crate::store::Store;

/// A user, a namespace and a key.
type Place = [String; 3];

pub(super) struct Side<'h> {
    store: Store,
    /// The engine under test; the reference has none.
    subject: Option<Subject<'h>>,
    /// The same store, opened once more.
    beside: Option<Subject<'h>>,
    clock: Arc<ManualClock>,
    /// The versions of each record in the order in which they were given. Engines choose them, so it is their places in
    /// this order that are compared.
    versions: HashMap<Place, Vec<Version>>,
    positions: HashMap<&'static str, Version>,
    /// The versions that created a record.
    creations: HashSet<(Place, Version)>,
    /// The records that the change feed says are there.
    fed: BTreeSet<Place>,
}

impl<'h> Side<'h> {
    pub(super) fn reference(clock: &Arc<ManualClock>) -> Self {
        let store = block_on(Store::open("memory:", options(clock))).expect("the memory engine opens");
        Self::new(store, None, clock)
    }

    pub(super) fn examined(subject: Subject<'h>) -> Self {
        let (store, clock) = (subject.store().clone(), Arc::clone(subject.clock()));
        Self::new(store, Some(subject), &clock)
    }

    fn new(store: Store, subject: Option<Subject<'h>>, clock: &Arc<ManualClock>) -> Self {
        Self {
            store,
            subject,
            beside: None,
            clock: Arc::clone(clock),
            versions: HashMap::new(),
            positions: HashMap::new(),
            creations: HashSet::new(),
            fed: BTreeSet::new(),
        }
    }

    /// Moves the time of both sides: they share a clock.
    pub(super) fn advance(&self, by: Duration) {
        match &self.subject {
            Some(subject) => subject.advance(by),
            None => self.clock.advance(by),
        }
    }

    fn maintain(&self) {
        match &self.subject {
            Some(subject) => subject.maintain(),
            None => maintain(|| block_on(self.store.maintain()).expect("maintain")),
        }
    }

    /// The earliest expiry that is still to come.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        let records =
            USERS.iter().flat_map(|user| NAMESPACES.map(|namespace| self.handle(user, None, namespace).records()));
        records.flatten().filter_map(|record| record.expires_at).min()
    }

    fn handle(&self, user: &str, agent: Option<&str>, namespace: &str) -> Handle {
        Handle::new(&self.store, user, agent, namespace)
    }

    fn here(&self, at: &At) -> Handle {
        self.handle(at.user, at.agent, at.namespace)
    }

    /// Carries the operation out; returns line by line what it returned and what can be seen after it.
    pub(super) fn carry_out(&mut self, op: &Op) -> Vec<String> {
        let result = self.result_of(op);
        let mut lines = vec![result];
        let users: &[&'static str] = match op.user() {
            Some("ann") => &USERS[..1],
            Some(_) => &USERS[1..],
            None => &USERS,
        };
        for user in users {
            let cleared_nothing = matches!(op, Op::Clear(_)) && lines[0] == "cleared 0";
            self.take_changes(user, cleared_nothing, &mut lines);
            self.look_at(user, &mut lines);
        }
        lines
    }

    fn result_of(&mut self, op: &Op) -> String {
        match op {
            Op::Advance(_) | Op::AdvanceToExpiry(_) => "advanced".to_owned(),
            Op::Maintain => {
                self.maintain();
                "maintained".to_owned()
            }
            Op::Flush => {
                block_on(self.store.flush()).expect("flush");
                "flushed".to_owned()
            }
            Op::Reopen => {
                self.reopen();
                "opened again".to_owned()
            }
            Op::Turn => {
                self.turn();
                "turned".to_owned()
            }
            Op::Write(at, writes) => self.write(at, writes),
            Op::Clear(at) => format!("cleared {}", self.here(at).clear()),
            Op::Get(at, key) => format!("value {:?}", self.here(at).get(key)),
            Op::GetRecord(at, key) => {
                let record = self.here(at).find(key);
                format!("record {:?}", record.map(|record| self.describe(&record)))
            }
            Op::GetMany(at, keys) => format!("values {:?}", self.here(at).get_many(keys)),
            Op::GetAll(at) => format!("values {:?}", self.here(at).get_all()),
            Op::Page { at, prefix, after, rows, bytes } => {
                let size = PageSize { rows: *rows, bytes: *bytes };
                format!("page {:?}", self.here(at).page(Range { prefix, after: *after }, size))
            }
            Op::List(at, prefix) => {
                let here = self.here(at);
                let (keys, count) = (here.keys(prefix), here.count(prefix));
                format!("keys {keys:?}, count {count}, namespaces {:?}", here.list_namespaces(prefix))
            }
        }
    }

    fn reopen(&mut self) {
        block_on(self.store.flush()).expect("flush");
        if let Some(subject) = &self.subject {
            subject.close();
            let again = subject.again();
            self.store = again.store().clone();
            self.subject = Some(again);
        }
    }

    fn turn(&mut self) {
        // Each handle gathers its own reads.
        block_on(self.store.flush()).expect("flush");
        if let Some(subject) = self.subject.take() {
            let next = self.beside.take().unwrap_or_else(|| subject.again());
            self.store = next.store().clone();
            self.subject = Some(next);
            self.beside = Some(subject);
        }
    }

    fn write(&mut self, at: &At, planned: &[PlannedWrite]) -> String {
        let writes = planned.iter().map(|write| self.resolve(at, write)).collect();
        match self.here(at).try_write(writes) {
            Ok(outcomes) => {
                let describe = |(outcome, write): (&Outcome, &PlannedWrite)| {
                    let place = [at.user, write.namespace, write.key].map(str::to_owned);
                    if !outcome.existed && outcome.version != 0 {
                        self.creations.insert((place.clone(), outcome.version));
                    }
                    let version = self.learn(place, outcome.version);
                    let result = outcome.result.as_ref().map(ToString::to_string);
                    format!("(existed {}, version {version}, result {result:?})", outcome.existed)
                };
                format!("wrote {:?}", outcomes.iter().zip(planned).map(describe).collect::<Vec<_>>())
            }
            Err(error) => {
                let place = [at.user, error.namespace().unwrap_or_default(), error.key().unwrap_or_default()];
                let place = place.map(str::to_owned);
                // A batch may meet versions that it gave itself and that went with it.
                let mismatch = error.version_mismatch().map(|versions| {
                    [versions.expected, versions.actual].map(|version| self.place_in_order(&place, version))
                });
                format!("refused {:?} at {place:?}, versions {mismatch:?}", error.kind())
            }
        }
    }

    fn resolve(&self, at: &At, planned: &PlannedWrite) -> Write {
        let there = self.handle(at.user, None, planned.namespace);
        let place = [at.user, planned.namespace, planned.key].map(str::to_owned);
        let precondition = match planned.guard {
            Guard::None => Precondition::None,
            Guard::Absent => Precondition::Version(0),
            Guard::Present => Precondition::Version(there.find(planned.key).map_or(0, |record| record.version)),
            Guard::First => Precondition::Version(
                self.versions.get(&place).and_then(|versions| versions.first().copied()).unwrap_or(0),
            ),
        };
        let write = there.write_to(planned.key, planned.mutation.mutation()).expiring(planned.expiry);
        let write = Write { precondition, ..write };
        planned.metadata.map_or_else(|| write.clone(), |metadata| write.clone().with_metadata(metadata))
    }

    /// Remembers a version that a write returned.
    fn learn(&mut self, place: Place, version: Version) -> String {
        let versions = self.versions.entry(place.clone()).or_default();
        if version != 0 && !versions.contains(&version) {
            assert!(versions.iter().all(|earlier| *earlier < version), "version {version} is not above {versions:?}");
            versions.push(version);
        }
        self.place_in_order(&place, version)
    }

    fn place_in_order(&self, place: &Place, version: Version) -> String {
        let known = self.versions.get(place).and_then(|versions| versions.iter().position(|known| *known == version));
        match (version, known) {
            (0, _) => "none".to_owned(),
            (_, Some(index)) => format!("#{index}"),
            (_, None) => "unknown".to_owned(),
        }
    }

    /// Follows the change feed. When expired records are swept is an engine's own choice, and so is whether the clear of
    /// a namespace without live records is a change.
    fn take_changes(&mut self, user: &'static str, cleared_nothing: bool, lines: &mut Vec<String>) {
        let since = self.positions.get(user).copied().unwrap_or(0);
        let changes = block_on(self.store.engine().changes(user, since, usize::MAX)).expect("changes").changes;
        let mut position = since;
        for change in changes {
            assert!(change.version > position, "the feed does not rise: {change:?} after {position}");
            position = change.version;
            self.follow(user, &change);
            let place = [user, &change.namespace, change.key.as_deref().unwrap_or_default()].map(str::to_owned);
            let version = if change.kind == Set { self.place_in_order(&place, change.version) } else { String::new() };
            if change.kind == Expire || (change.kind == Clear && cleared_nothing) {
                continue;
            }
            lines.push(format!("change {:?} {place:?} {version} by {:?} at {}", change.kind, change.agent, change.at));
        }
        self.positions.insert(user, position);
    }

    fn follow(&mut self, user: &str, change: &Change) {
        let place = |key: &str| [user, &change.namespace, key].map(str::to_owned);
        match (change.kind, change.key.as_deref()) {
            (Set, Some(key)) => {
                let created = self.creations.contains(&(place(key), change.version));
                // What ended the record before is in the feed too, be it an expiry that nobody saw.
                assert_eq!(self.fed.insert(place(key)), created, "created or not: {change:?}");
            }
            (Delete | Expire, Some(key)) => assert!(self.fed.remove(&place(key)), "nothing was there for {change:?}"),
            (Clear, None) => self.fed.retain(|[owner, namespace, _]| owner != user || **namespace != *change.namespace),
            _ => panic!("a key where none belongs, or none where one does: {change:?}"),
        }
    }

    /// Everything of a user, as an administrator sees it.
    fn look_at(&self, user: &str, lines: &mut Vec<String>) {
        for (stats, records) in self.handle(user, None, NAMESPACES[0]).everything() {
            // How long agents of expired records are remembered depends on sweeping.
            let agents = (*stats.namespace == *NAMESPACES[0]).then_some(&stats.agents);
            lines.push(format!(
                "namespace {user} {}: {} records, {} bytes, updated {}, agents {agents:?}",
                stats.namespace, stats.records, stats.bytes, stats.updated_at
            ));
            for record in records {
                let place = [user, &record.namespace, &record.key].map(str::to_owned);
                assert!(self.fed.contains(&place), "the feed has not told of {place:?}");
                lines.push(self.describe(&record));
            }
        }
        self.look_closely(user);
    }

    /// Every way to read a value gives that of the record, and may put it at hand for the next look.
    fn look_closely(&self, user: &str) {
        let engine = self.store.engine();
        let here = |namespace| KEYS.map(|key| Address { namespace: Arc::from(namespace), key: key.into() });
        let asked = NAMESPACES.map(here).concat();
        // All at once: of a server, most of the time of a history went into asking for each one by itself.
        let records = block_on(engine.read(user, &asked, View::Record)).expect("read");
        let expected: Vec<_> =
            records.into_iter().map(|record| record.map(|row| Row { details: None, ..row })).collect();
        for (Address { namespace, key }, row) in asked.iter().zip(&expected) {
            let place = [user, namespace, key];
            let row = row.clone().map(|row| Row { key: Box::default(), ..row });
            assert!(engine.peek(user, namespace, key).is_none_or(|at_hand| at_hand == row), "at hand: {place:?}");
            let read = block_on(engine.read_one(user, namespace, key, View::Value)).expect("read_one");
            assert_eq!(read, row, "{place:?}");
        }
        assert_eq!(block_on(engine.read(user, &asked, View::Value)).expect("read"), expected);
    }

    fn describe(&self, record: &Record) -> String {
        let place = [&*record.user_id, &*record.namespace, &*record.key].map(str::to_owned);
        format!(
            "record {place:?}: value {}, metadata {}, version {}, created {} by {:?}, updated {} by {:?}, \
             accessed {:?} times, last {:?} by {:?}, expires {:?}",
            record.value,
            record.metadata,
            self.place_in_order(&place, record.version),
            record.created_at,
            record.created_by_agent,
            record.updated_at,
            record.updated_by_agent,
            record.access_count,
            record.last_accessed_at,
            record.last_accessed_by_agent,
            record.expires_at,
        )
    }

    /// With everything swept, the change feed tells of the records that are there and of no other.
    pub(super) fn assert_feed_complete(&mut self) {
        self.maintain();
        for user in USERS {
            self.take_changes(user, false, &mut Vec::new());
            for namespace in NAMESPACES {
                let here = self.handle(user, None, namespace);
                let told = self.fed.iter().filter(|[owner, name, _]| owner == user && name == namespace);
                let mut told: Vec<_> = told.map(|[_, _, key]| key.clone()).collect();
                told.sort_unstable();
                assert_eq!(told, here.keys(""), "{user}, {namespace}: the feed tells of other records than are there");
            }
        }
    }
}

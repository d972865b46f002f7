//! Eight processes want one lock, and its holders are killed: there is never more than one holder, and nobody waits for
//! much longer than the lease of a dead one.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use agent_data_store::model::{Change, ChangeKind, Version};
use agent_data_store::{DataStore, ErrorKind, Lease, LockOptions, block_on};

use super::crew::{Crew, Told, commands, tell};
use super::place::{Place, Seat, view, view_as};
use super::{json, set};
use crate::forms::short_or_long;

const PROCESSES: usize = 8;
const LEASE: Duration = Duration::from_secs(1);

/// By how much longer than the lease of a dead holder anybody may wait. The short form runs on machines that are busy with
/// other tests.
fn grace() -> Duration {
    Duration::from_secs(short_or_long(10, 1))
}

fn duration() -> Duration {
    Duration::from_secs(short_or_long(5, 60))
}

/// What the lock protects: a file that knows the greatest token so far and refuses smaller ones.
struct Resource(PathBuf);

impl Resource {
    fn beside(seat: &Seat) -> Self {
        Self(seat.folder().join("resource"))
    }

    /// Gives the greatest token and the process that brought it to `function`, and keeps what that returns. Nobody else
    /// is at it meanwhile; the system sees to that.
    fn visit(&self, function: impl FnOnce(Version, u32) -> (Version, u32)) {
        let mut file: File =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.0).unwrap();
        file.lock().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let (token, pid) = text.trim().split_once(' ').unwrap_or(("0", "0"));
        let (token, pid) = function(token.parse().unwrap(), pid.parse().unwrap());
        file.rewind().unwrap();
        write!(file, "{token:020} {pid:010}").unwrap();
    }

    /// Whether it accepts this token.
    fn accepts(&self, own: Version) -> bool {
        let mut accepted = false;
        self.visit(|greatest, pid| {
            assert!(own != greatest || pid == std::process::id(), "two processes have the token {own}");
            accepted = own >= greatest;
            if accepted { (own, std::process::id()) } else { (greatest, pid) }
        });
        accepted
    }
}

/// Takes the lock, uses what it protects, and releases it, again and again. Ends only by being killed.
pub(crate) fn work(seat: &Seat) {
    let store = seat.open();
    let data_store = view_as(&store, &std::process::id().to_string());
    let resource = Resource::beside(seat);
    let (sender, told) = channel();
    thread::spawn(move || commands().for_each(|command| sender.send(command).expect("somebody listens")));
    assert_eq!(told.recv().as_deref(), Ok("go"));
    loop {
        let stall = match told.try_recv() {
            Ok(command) => command == "stall",
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => return,
        };
        let options = LockOptions { ttl: LEASE, wait: Duration::from_secs(3_600), keep_alive: !stall, owner: None };
        let asked = Instant::now();
        let lease = block_on(data_store.lock("resource", options)).expect("the lock");
        tell("held", format!("{} {}", lease.token(), asked.elapsed().as_micros()));
        let mut accepted = resource.accepts(lease.token());
        if stall {
            tell("stalled", "");
            assert_eq!(told.recv().as_deref(), Ok("go on"));
        }
        set(&data_store, "last", &lease.token().to_string()).expect("set");
        accepted &= resource.accepts(lease.token());
        end(lease, accepted);
        // Something else to do.
        set(&data_store, &std::process::id().to_string(), "1").expect("set");
    }
}

/// Only who was the one holder all the time may release the lock.
fn end(lease: Lease, accepted: bool) {
    let token = lease.token();
    match block_on(lease.release()) {
        Ok(()) => assert!(accepted, "another one had the lock while {token} was valid"),
        Err(error) if error.kind() == ErrorKind::LeaseLost => tell("lost", token),
        Err(error) => panic!("{error}"),
    }
}

/// What the feed shows of the lock, one change after the other.
#[derive(Default)]
struct Holders {
    present: Option<(String, Change)>,
    tokens: HashSet<Version>,
}

impl Holders {
    fn note(&mut self, change: Change) {
        let agent = || change.agent.as_deref().expect("an agent").to_owned();
        match (change.kind, self.present.take()) {
            (ChangeKind::Set, None) => {
                self.tokens.insert(change.version);
                self.present = Some((agent(), change));
            }
            (ChangeKind::Set, Some((holder, _))) => {
                assert_eq!(holder, agent(), "two holders: {change:?}");
                self.present = Some((holder, change));
            }
            (ChangeKind::Delete, Some((holder, _))) => assert_eq!(holder, agent(), "not the holder's to release"),
            (ChangeKind::Expire, Some((_, last))) => {
                assert!(change.at >= last.at.saturating_add(LEASE), "{change:?} is too early after {last:?}");
            }
            (kind, present) => panic!("{kind:?} after {present:?}"),
        }
    }
}

/// What the workers tell.
#[derive(Default)]
struct Log {
    tokens: HashSet<Version>,
    longest_wait: Duration,
    lost: usize,
    /// Who has had the lock since somebody was last kept from releasing it.
    served: HashSet<u32>,
}

impl Log {
    fn note(&mut self, told: &Told) {
        match told.what.as_str() {
            "held" => {
                let (token, waited) = told.value.split_once(' ').expect("two numbers");
                assert!(self.tokens.insert(token.parse().unwrap()), "a token was given twice: {told:?}");
                self.longest_wait = self.longest_wait.max(Duration::from_micros(waited.parse().unwrap()));
                self.served.insert(told.pid);
            }
            "lost" => self.lost += 1,
            _ => {}
        }
    }
}

/// Kills the holder, or somebody, while nobody is at the resource.
fn kill_one(crew: &mut Crew, resource: &Resource) {
    resource.visit(|token, pid| {
        let holder = crew.number_of(pid);
        let anyone = fastrand::usize(..PROCESSES);
        crew.replace(if fastrand::bool() { holder.unwrap_or(anyone) } else { anyone }, "go");
        (token, pid)
    });
}

/// Has one hold the lock without renewing it until another one has it.
fn stall_one(crew: &mut Crew, log: &mut Log) {
    let number = fastrand::usize(..PROCESSES);
    crew.say_to(number, "stall");
    let hear_until = |log: &mut Log, is_it: &dyn Fn(&Told) -> bool| loop {
        let told = crew.hear();
        log.note(&told);
        if is_it(&told) {
            return;
        }
    };
    hear_until(log, &|told| told.what == "stalled");
    hear_until(log, &|told| told.what == "held" && told.number != number);
    crew.say_to(number, "go on");
}

/// Eight processes want one lock, whose holders are killed or stand still for longer than their lease.
///
/// # Panics
/// Where that does not hold.
pub fn a_lock_has_one_holder_at_a_time_though_holders_are_killed(place: &Place) {
    let store = place.own_seat().open();
    let data_store: DataStore = view(&store);
    let resource = Resource::beside(&place.own_seat());
    let mut crew = Crew::start("locks", place, PROCESSES);
    let mut feed = data_store.follow("lock:", 0);
    crew.say("go");

    let (mut log, mut holders, mut victims) = (Log::default(), Holders::default(), 0);
    let end = Instant::now() + duration();
    while Instant::now() < end {
        // Everybody has had a turn, so that nobody has to wait for two that have died.
        while log.served.iter().filter(|pid| crew.number_of(**pid).is_some()).count() < PROCESSES {
            log.note(&crew.hear());
        }
        match victims % 3 {
            2 => stall_one(&mut crew, &mut log),
            _ => kill_one(&mut crew, &resource),
        }
        victims += 1;
        log.served.clear();
        while let Some(change) = block_on(feed.next(Duration::ZERO)).unwrap() {
            holders.note(change);
        }
    }
    crew.end().iter().for_each(|told| log.note(told));
    while let Some(change) = block_on(feed.next(Duration::ZERO)).unwrap() {
        holders.note(change);
    }

    assert!(log.tokens.is_subset(&holders.tokens), "every token is the version with which a holder began");
    let Log { tokens, longest_wait, lost, .. } = &log;
    println!(
        "{} holders, {victims} victims, {lost} leases lost; the longest wait was {longest_wait:?} with leases of {LEASE:?}",
        tokens.len()
    );
    assert!(victims > 1 && *longest_wait <= LEASE + grace());
    set(&data_store, "end", json("1").as_str()).unwrap();
    drop((feed, data_store, store));
}

//! Runs the cases against one engine.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::thread;

use super::cases::{Case, all};
use super::harness::Harness;
use super::subject::Subject;

/// One case against one engine.
pub struct Trial<'h> {
    harness: &'h dyn Harness,
    name: &'static str,
    what: What,
}

enum What {
    Case(Case),
    Excepted(Case, &'static str),
    /// Fails: the suite or the harness's list of exceptions is wrong.
    Mistake(&'static str),
}

impl Trial<'_> {
    /// The promise that is tried.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Why it is left out, if the engine's exceptions name it.
    pub fn skipped(&self) -> Option<&'static str> {
        match self.what {
            What::Excepted(_, reason) => Some(reason),
            _ => None,
        }
    }

    /// Runs it, even if it is to be left out, on a fresh store and in a thread that bears the name of engine and case.
    ///
    /// # Errors
    /// The message of the assertion that failed.
    pub fn run(&self) -> Result<(), String> {
        let case = match &self.what {
            What::Case(case) | What::Excepted(case, _) => case,
            What::Mistake(mistake) => return Err((*mistake).to_owned()),
        };
        let run = || {
            let subject = Subject::open(self.harness, case.options);
            (case.promise)(&subject);
        };
        thread::scope(|scope| {
            let name = format!("{}: {}", self.harness.name(), self.name);
            let thread = thread::Builder::new().name(name).spawn_scoped(scope, run);
            thread.map_err(|error| format!("no thread for the case: {error}"))?.join().map_err(|panic| message(&*panic))
        })
    }
}

pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}

impl fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("engine", &self.harness.name()).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every case as a trial of the harness's engine, for a test runner; [`run`] is one.
pub fn trials<'h>(harness: &'h dyn Harness) -> Vec<Trial<'h>> {
    let exceptions = harness.exceptions();
    let mut names = HashSet::new();
    let mut trials: Vec<_> = all()
        .into_iter()
        .map(|case| {
            let name = case.name;
            let exception = exceptions.iter().find(|exception| exception.case == name);
            let what = match exception {
                _ if !names.insert(name) => What::Mistake("another case has the same name: rename one"),
                Some(exception) => What::Excepted(case, exception.reason),
                None => What::Case(case),
            };
            Trial { harness, name, what }
        })
        .collect();
    let unknown = exceptions.iter().filter(|exception| !names.contains(exception.case));
    trials.extend(unknown.map(|exception| {
        let what = What::Mistake("no case has the name of this exception: correct or remove it");
        Trial { harness, name: exception.case, what }
    }));
    trials
}

/// Runs every case against the harness's engine, printing what fails and, at the end, the count.
pub fn run(harness: &dyn Harness) -> Report {
    let mut report = Report { engine: harness.name().to_owned(), passed: 0, failures: Vec::new(), skipped: Vec::new() };
    for trial in trials(harness) {
        if let Some(reason) = trial.skipped() {
            report.skipped.push((trial.name(), reason));
            continue;
        }
        match trial.run() {
            Ok(()) => report.passed += 1,
            Err(message) => {
                println!("{}: {}: {message}", harness.name(), trial.name());
                report.failures.push((trial.name(), message));
            }
        }
    }
    println!("{report}");
    report
}

/// What came of a run; displayed as `memory: 150 passed, 0 failed, 7 skipped`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The engine's name.
    pub engine: String,
    /// How many cases passed.
    pub passed: usize,
    /// The cases that failed, each with the message of its assertion.
    pub failures: Vec<(&'static str, String)>,
    /// The cases that the harness excepted, each with its reason.
    pub skipped: Vec<(&'static str, &'static str)>,
}

impl Report {
    /// Whether nothing failed.
    pub fn is_success(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, passed, failures, skipped } = self;
        write!(f, "{engine}: {passed} passed, {} failed, {} skipped", failures.len(), skipped.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Exception, Place};
    use crate::error::{Error, Result};
    use crate::store::Options;

    struct Unreachable(Vec<Exception>);

    impl Harness for Unreachable {
        fn name(&self) -> &str {
            "unreachable"
        }

        fn prepare(&self, _: Options) -> Result<Box<dyn Place>> {
            Err(Error::unavailable("no engine here"))
        }

        fn exceptions(&self) -> &[Exception] {
            &self.0
        }
    }

    #[test]
    fn every_case_runs_or_is_named_as_an_exception() {
        let except = |case| Exception { case, reason: "it is not there" };
        let report = run(&Unreachable(vec![except("a fresh store is empty")]));
        assert_eq!((report.passed, report.failures.len()), (0, all().len() - 1));
        assert!(report.failures.iter().all(|(_, message)| message.contains("no engine here")));
        assert_eq!(report.skipped, [("a fresh store is empty", "it is not there")]);
        assert_eq!(report.to_string(), format!("unreachable: 0 passed, {} failed, 1 skipped", all().len() - 1));
    }

    #[test]
    fn an_exception_that_names_no_case_fails() {
        let except = |case| Exception { case, reason: "it is not there" };
        let exceptions = all().iter().map(|case| except(case.name)).chain([except("no such case")]).collect();
        let report = run(&Unreachable(exceptions));
        assert_eq!(report.failures.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["no such case"]);
        assert!(!report.is_success());
    }

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = all().iter().map(|case| case.name).collect();
        assert_eq!(names.len(), all().len());
    }
}

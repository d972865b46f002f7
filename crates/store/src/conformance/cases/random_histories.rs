//! Random histories have the results that the memory engine gives.

use super::Cases;
use crate::conformance::model::{Profile, compare};

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("random histories give the same results as on the memory engine", |subject| {
        compare(subject, Profile { expiring: 30, batch: 3, reopening: false });
    });

    cases.add("random histories rich in expiry give the same results as on the memory engine", |subject| {
        compare(subject, Profile { expiring: 80, batch: 2, reopening: false });
    });

    cases.add("random histories rich in batches give the same results as on the memory engine", |subject| {
        compare(subject, Profile { expiring: 10, batch: 8, reopening: false });
    });

    cases.add("random histories give the same results in a store that is opened again and again", |subject| {
        compare(subject, Profile { expiring: 40, batch: 3, reopening: true });
    });
}

//! Random histories have the results that the memory engine gives.

use super::Cases;
use crate::conformance::model::{Handles, Profile, compare};

pub(super) fn add_to(cases: &mut Cases) {
    cases.add("random histories give the same results as on the memory engine", |subject| {
        compare(subject, Profile { expiring: 30, batch: 3, handles: Handles::One });
    });

    cases.add("random histories rich in expiry give the same results as on the memory engine", |subject| {
        compare(subject, Profile { expiring: 80, batch: 2, handles: Handles::One });
    });

    cases.add("random histories rich in batches give the same results as on the memory engine", |subject| {
        compare(subject, Profile { expiring: 10, batch: 8, handles: Handles::One });
    });

    cases.add("random histories give the same results in a store that is opened again and again", |subject| {
        compare(subject, Profile { expiring: 40, batch: 3, handles: Handles::OneAfterAnother });
    });

    cases.add("random histories give the same results in a store opened twice, through its handles in turn", |subject| {
        compare(subject, Profile { expiring: 20, batch: 2, handles: Handles::TwoInTurn });
    });
}

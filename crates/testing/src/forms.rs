//! How long a test runs, and which random choices it makes.

/// What a test does by default, or what it does where `ADS_TEST_LONG` asks for the long form.
pub fn short_or_long<T>(short: T, long: T) -> T {
    if std::env::var_os("ADS_TEST_LONG").is_some() { long } else { short }
}

/// From which everything random follows: `ADS_TEST_SEED`, or another one each time.
///
/// # Panics
/// Where `ADS_TEST_SEED` is no whole number.
pub fn seed() -> u64 {
    match std::env::var("ADS_TEST_SEED") {
        Ok(seed) => seed.parse().expect("ADS_TEST_SEED is a whole number"),
        Err(_) => fastrand::u64(..),
    }
}

/// Said where the test fails while this lives.
#[derive(Debug)]
pub struct Says(pub String);

impl Drop for Says {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

//! What this process counts about itself as it works. Whoever holds the database holds the meter
//! with it, so that work is counted alike, whichever face asked for it. [`metrics`](crate::metrics)
//! shows what is counted here.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Bounds for what should take milliseconds, in seconds.
const FAST: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Bounds for how late an owner is told, in seconds: a minute to three days.
const SLOW: &[f64] = &[60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0];

/// Everything that is counted.
#[derive(Debug)]
pub struct Meter {
    /// Attempts to send a mail, by how they ended.
    pub mail: Counters<{ MAIL.len() }>,
    /// Mails that may have been delivered twice.
    pub possible_duplicates: Counter,
    /// How much later than ideal owners were told.
    pub notice_delay: Histogram,
    /// Pings of whoever watches from outside, by how they ended.
    pub ping: Counters<{ PING.len() }>,
    /// Codes of second factors, by what became of them.
    pub otp: Counters<{ OTP.len() }>,
    /// Statements that failed.
    pub database_failures: Counter,
    database: [Histogram; VERBS.len()],
}

/// How an attempt to send a mail ends: accepted, or by whose fault it was not.
pub const MAIL: [&str; 7] =
    ["accepted", "channel", "transient", "mailbox_full", "recipient", "message", "policy"];

/// How a ping ends.
pub const PING: [&str; 2] = ["answered", "failed"];

/// What becomes of a code of a second factor.
pub const OTP: [&str; 6] = ["accepted", "wrong", "replayed", "throttled", "held", "missing"];

/// What a statement does.
const VERBS: [&str; 5] = ["select", "insert", "update", "delete", "other"];

impl Meter {
    /// A meter that has counted nothing.
    pub fn new() -> Self {
        Self {
            mail: Counters::new(MAIL),
            possible_duplicates: Counter::default(),
            notice_delay: Histogram::new(SLOW),
            ping: Counters::new(PING),
            otp: Counters::new(OTP),
            database_failures: Counter::default(),
            database: VERBS.map(|_| Histogram::new(FAST)),
        }
    }

    /// Counts a statement.
    pub fn statement(&self, text: &str, took: Duration, has_failed: bool) {
        let verb = text.trim_start().get(..6).unwrap_or_default();
        let at = VERBS.iter().position(|known| known.eq_ignore_ascii_case(verb));
        if let Some(histogram) = self.database.get(at.unwrap_or(VERBS.len() - 1)) {
            histogram.observe(took);
        }
        if has_failed {
            self.database_failures.add(1);
        }
    }

    /// How long statements took, by what they do.
    pub fn statements(&self) -> Vec<(&'static str, Observed)> {
        VERBS.iter().zip(&self.database).map(|(verb, seen)| (*verb, seen.read())).collect()
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// How long answers to requests took. Apart from the [`Meter`]: HTTP is served before there is a
/// database.
#[derive(Debug, Default)]
pub struct Answers(Mutex<BTreeMap<String, BTreeMap<&'static str, Histogram>>>);

impl Answers {
    /// Counts an answer to a request for `route`, which is a pattern and no path: there are only
    /// so many of them.
    pub fn count(&self, route: &str, status: u16, took: Duration) {
        let class = match status {
            0..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        // What is in there is whole at any time, so a panic elsewhere spoils nothing.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_route = match seen.get_mut(route) {
            Some(of_route) => of_route,
            None => seen.entry(route.to_owned()).or_default(),
        };
        of_route.entry(class).or_insert_with(|| Histogram::new(FAST)).observe(took);
    }

    /// How long answers took, by route and class of status.
    pub fn read(&self) -> Vec<((String, &'static str), Observed)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_route = |(route, classes): (&String, &BTreeMap<&'static str, Histogram>)| {
            let read =
                |(class, seen): (&&'static str, &Histogram)| ((route.clone(), *class), seen.read());
            classes.iter().map(read).collect::<Vec<_>>()
        };
        all.iter().flat_map(of_route).collect()
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The sum so far.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Numbers that only grow, one for each of `N` words.
#[derive(Debug)]
pub struct Counters<const N: usize>([(&'static str, Counter); N]);

impl<const N: usize> Counters<N> {
    fn new(words: [&'static str; N]) -> Self {
        Self(words.map(|word| (word, Counter::default())))
    }

    /// Counts one of `word`. A word that is not among them is counted nowhere.
    pub fn count(&self, word: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == word) {
            counter.add(1);
        }
    }

    /// Each word with its sum.
    pub fn read(&self) -> [(&'static str, u64); N] {
        self.0.each_ref().map(|(word, counter)| (*word, counter.read()))
    }
}

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    /// In seconds, growing.
    bounds: &'static [f64],
    /// One for each bound, and one for what is above the last.
    counts: Vec<AtomicU64>,
    sum_us: AtomicU64,
}

/// What a [`Histogram`] has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// All that was observed, in seconds.
    pub sum: f64,
    /// How often.
    pub count: u64,
    /// For each bound, and for infinity, how often it was between that bound and the one before.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self { bounds, counts, sum_us: AtomicU64::default() }
    }

    /// Counts something that took so long.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = self.bounds.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.counts.get(at.unwrap_or(self.bounds.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was observed so far.
    pub fn read(&self) -> Observed {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64();
        Observed { sum, count: buckets.iter().map(|(_, n)| n).sum(), buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for ms in [0, 1_000, 1_001, 2_000, 2_001] {
            histogram.observe(Duration::from_millis(ms));
        }
        let seen = histogram.read();
        assert_eq!(seen.buckets, [(1.0, 2), (2.0, 2), (f64::INFINITY, 1)]);
        assert_eq!((seen.sum, seen.count), (6.002, 5));
    }

    #[test]
    fn statements_are_counted_by_what_they_do() {
        let meter = Meter::new();
        for text in ["SELECT 1", "  select 2", "UPDATE x", "SAVEPOINT a", "", "PRAG"] {
            meter.statement(text, Duration::ZERO, text.is_empty());
        }
        let counts = meter.statements().into_iter().map(|(verb, seen)| (verb, seen.count));
        let expected = [("select", 2), ("insert", 0), ("update", 1), ("delete", 0), ("other", 3)];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
        assert_eq!(meter.database_failures.read(), 1);
    }

    #[test]
    fn answers_are_counted_by_route_and_class() {
        let answers = Answers::default();
        for status in [200, 204, 404, 503] {
            answers.count("/readyz", status, Duration::ZERO);
        }
        let counts: Vec<_> =
            answers.read().into_iter().map(|((_, class), seen)| (class, seen.count)).collect();
        assert_eq!(counts, [("2xx", 2), ("4xx", 1), ("5xx", 1)]);
    }
}

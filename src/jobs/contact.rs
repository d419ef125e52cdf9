//! Contact with the database, and manners while there is none: say so once, and ask less often.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use crate::store::StoreError;

/// What is known about the database from the last work that needed it.
///
/// Every job asks the database, so an outage would fill the log with as many lines as there are
/// runs. This is the one place that says it, and it says it when it changes.
#[derive(Debug)]
pub struct Contact(Mutex<Known>);

/// What the database last did, and since when it has done so.
#[derive(Clone, Copy, Debug)]
struct Known {
    state: State,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// It answers, but others hold what is needed.
    Busy,
    /// It answers, but takes no changes.
    Unwritable,
    /// It does not answer.
    Lost,
}

/// Work that needed the database: what its end says of it.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// When it began. Work that ended well, but began before the trouble did, is no sign that the
    /// trouble is over; nor is work that began in the last trouble a sign of another one.
    pub began: Instant,
    /// Whether it wrote anything. To read is no sign that a full disk is mended.
    pub has_written: bool,
}

impl Default for Contact {
    fn default() -> Self {
        Self(Mutex::new(Known { state: State::Good, since: Instant::now() }))
    }
}

impl Contact {
    /// Notes how `work` ended, and logs what that changes.
    ///
    /// Returns whether the work failed only because the database is away, busy or full: then
    /// everything there is to say has been said, and the same work is tried again.
    pub fn note<T>(&self, result: &anyhow::Result<T>, work: Work) -> bool {
        let (state, error) = match result {
            Ok(_) => (State::Good, None),
            Err(error) => match store_error(error) {
                Some(StoreError::Unavailable { .. }) => (State::Lost, Some(error)),
                Some(StoreError::Busy { .. }) => (State::Busy, Some(error)),
                Some(StoreError::Unwritable { .. }) => (State::Unwritable, Some(error)),
                // The database has answered, if only to refuse.
                Some(_) => (State::Good, None),
                // This failure says nothing about the database.
                None => return false,
            },
        };
        if self.change(state, work) {
            match error {
                Some(error) if state == State::Lost => {
                    warn!("The database cannot be reached; trying again until it can: {error:#}");
                }
                Some(error) if state == State::Busy => {
                    warn!("The database is too busy; trying again: {error:#}");
                }
                Some(error) => error!("Waiting until the database can be written to: {error:#}"),
                None => info!("The database is back"),
            }
        }
        state != State::Good
    }

    /// Whether the database did not answer when it was last needed.
    pub fn is_lost(&self) -> bool {
        self.lock().state == State::Lost
    }

    /// For how long the database has answered, but taken no changes.
    pub fn unwritable_for(&self) -> Option<Duration> {
        let known = *self.lock();
        (known.state == State::Unwritable).then(|| known.since.elapsed())
    }

    /// Returns whether `state`, as found by `work`, is news.
    fn change(&self, state: State, work: Work) -> bool {
        let mut known = self.lock();
        let is_proof = match (known.state, state) {
            (State::Unwritable, State::Good) => work.has_written,
            _ => true,
        };
        let is_news = known.state != state && is_proof && known.since <= work.began;
        if is_news {
            *known = Known { state, since: Instant::now() };
        }
        is_news
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // A state is whole at any time, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the work that failed with `error` may succeed later without anybody's doing.
pub fn is_passing(error: &anyhow::Error) -> bool {
    store_error(error).is_some_and(StoreError::is_passing)
}

/// What the database said, if that is at the bottom of `error`.
fn store_error(error: &anyhow::Error) -> Option<&StoreError> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// How long to wait before the next attempt while the database is away.
#[derive(Debug, Default)]
pub struct Backoff {
    n_failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    /// Counts one more failure and says how long to wait: a second, doubled each time up to half
    /// a minute. `jitter` in `0.0..=1.0` cuts up to half of it off, so that daemons that lost the
    /// same database do not come back to it all at once.
    pub fn failed(&mut self, jitter: f64) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1_u32.checked_shl(self.n_failures).unwrap_or(0));
        self.n_failures = (self.n_failures + 1).min(5);
        doubled.min(Self::LONGEST).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Begins anew: the last attempt reached the database.
    pub fn reached(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;
    use crate::store::samples;

    fn away() -> anyhow::Result<()> {
        Err(samples::unavailable()).context("sweep a batch")
    }

    fn busy() -> anyhow::Result<()> {
        Err(samples::busy().into())
    }

    fn refused() -> anyhow::Result<()> {
        Err(samples::refused().into())
    }

    /// Work that begins now, and writes.
    fn now() -> Work {
        Work { began: Instant::now(), has_written: true }
    }

    #[test]
    fn only_a_failure_that_passes_is_dealt_with_here() {
        let contact = Contact::default();
        assert!(contact.note(&away(), now()), "through any context");
        assert!(contact.note(&busy(), now()));
        assert!(!contact.note(&refused(), now()));
        assert!(!contact.note(&Err::<(), _>(anyhow!("a panic")), now()));
        assert!(!contact.note(&Ok(()), now()));
        assert!(is_passing(&away().unwrap_err()) && !is_passing(&refused().unwrap_err()));
    }

    #[test]
    fn an_outage_is_news_once_and_so_is_its_end() {
        let contact = Contact::default();
        assert!(!contact.change(State::Good, now()), "nobody had doubted it");
        assert!(contact.change(State::Lost, now()));
        assert!(!contact.change(State::Lost, now()), "the second run of many");
        assert!(contact.is_lost());
        assert!(
            contact.change(State::Busy, now()),
            "it answers again, but that is another trouble"
        );
        assert!(contact.change(State::Good, now()));
        assert!(!contact.change(State::Good, now()));
    }

    #[test]
    fn work_from_before_a_change_does_not_undo_it() {
        let (contact, before) = (Contact::default(), now());
        assert!(contact.change(State::Lost, now()));
        assert!(!contact.change(State::Good, before));
        assert!(contact.is_lost());
        let meanwhile = now();
        assert!(contact.change(State::Good, now()));
        assert!(!contact.change(State::Lost, meanwhile), "that was the same outage");
        assert!(contact.change(State::Lost, now()));
    }

    #[test]
    fn only_what_was_written_shows_that_it_can_be_written() {
        let contact = Contact::default();
        assert_eq!(contact.unwritable_for(), None);
        assert!(contact.change(State::Unwritable, now()));
        assert!(!contact.change(State::Good, Work { has_written: false, ..now() }));
        assert!(contact.unwritable_for().is_some());
        assert!(contact.change(State::Good, now()));
        assert_eq!(contact.unwritable_for(), None);
    }

    #[test]
    fn what_says_nothing_about_the_database_changes_nothing() {
        let contact = Contact::default();
        contact.note(&away(), now());
        contact.note(&Err::<(), _>(anyhow!("a panic")), now());
        assert!(contact.is_lost());
        contact.note(&refused(), now());
        assert!(!contact.is_lost(), "a refusal is an answer");
    }

    #[test]
    fn the_wait_doubles_to_half_a_minute_and_jitter_shortens_it() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.failed(0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff.failed(1.0).as_secs(), 15);
        backoff.reached();
        assert_eq!(backoff.failed(1.0), Duration::from_millis(500));
    }
}

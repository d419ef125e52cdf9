//! The one door to the time of this machine.
//!
//! A server database has a clock of its own, and decisions go by that one ([`crate::store::Db`]);
//! this is for SQLite, for measuring, and for everything that is not decided by the time.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The time, to the millisecond, as it is stored.
    fn now(&self) -> DateTime<Utc>;

    /// What has gone by since some moment of this process, on a clock that nobody can set.
    fn monotonic(&self) -> Duration;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock everyone else asks")]
    fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
    }

    fn monotonic(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}

/// A clock that stands still until it is moved: for tests, and for `lapsed demo`.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Hands>);

/// Both in milliseconds.
#[derive(Debug)]
struct Hands {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: DateTime<Utc>) -> Self {
        let wall = AtomicI64::new(now.timestamp_millis());
        Self(Arc::new(Hands { wall, monotonic: AtomicI64::new(0) }))
    }

    /// Lets time go by; a negative `by` sets the clock back.
    pub fn advance(&self, by: TimeDelta) {
        let by = by.num_milliseconds();
        self.0.wall.fetch_add(by, Ordering::SeqCst);
        self.0.monotonic.fetch_add(by.max(0), Ordering::SeqCst);
    }

    /// Sets the clock, as somebody does who thinks it is wrong: no time goes by.
    pub fn set(&self, now: DateTime<Utc>) {
        self.0.wall.store(now.timestamp_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.wall.load(Ordering::SeqCst)).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        let ms = self.0.monotonic.load(Ordering::SeqCst);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }
}

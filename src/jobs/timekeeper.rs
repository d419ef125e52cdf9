//! Whether the clock is believed, asked before anything is done that a wrong one would make wrong.
//!
//! While all is well this costs one look at the clock: what a process believed a minute ago, and
//! the monotonic clock, say what the time must be. Only a start, or a doubt, asks what is
//! remembered in the database.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use crate::{
    clock::Clock,
    domain::doubt::{Doubt, Reading, Standing, judge},
    jobs::Deps,
    store::{Db, StoreError, clock},
};

/// How old the mark may grow before it is written again: well within the gap that raises a doubt.
const MARK_EVERY: TimeDelta = TimeDelta::minutes(10);

/// What this process knows of the time.
#[derive(Debug, Default)]
pub struct Timekeeper(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The time last believed, and what the monotonic clock showed then.
    believed: Option<(DateTime<Utc>, Duration)>,
    /// When the mark was last written.
    marked_at: Option<DateTime<Utc>>,
    /// When this process first met the doubt that stands, by the monotonic clock, and for how long
    /// it had stood then.
    met: Option<(Duration, TimeDelta)>,
    doubt: Option<Doubt>,
}

impl Timekeeper {
    /// Why the clock was not believed when it was last asked.
    pub fn doubt(&self) -> Option<Doubt> {
        self.lock().doubt
    }

    /// Looks at the clocks, and says why they are not believed, if they are not. Says so in the
    /// log when that changes, and remembers it.
    ///
    /// # Errors
    /// As the database answers.
    pub(super) async fn look(&self, deps: &Deps) -> Result<Option<Doubt>, StoreError> {
        let Some(settle) = deps.limits.settle else { return Ok(None) };
        let (db, clock) = (&deps.db, &*deps.clock);
        let known = *self.lock();
        let mut reading = read(db, clock, settle).await?;
        let ticked = clock.monotonic();
        reading.expected = known.believed.map(|(at, then)| at + length(ticked, then));
        if let (Some((at, _)), None) = (known.believed, known.doubt) {
            // No mark is earlier than this.
            reading.mark = Some(at);
            if judge(&reading).is_ok() {
                return self.believe(db, reading.now, ticked).await.map(|()| None);
            }
        }

        let remembered = clock::read(db).await?;
        reading.mark = remembered.mark;
        // An operator, or another daemon, has believed the clock since this process doubted it.
        if known.believed.is_some_and(|(at, _)| remembered.mark.is_some_and(|mark| at < mark)) {
            reading.expected = None;
        }
        reading.standing = remembered.standing.map(|standing| {
            let stood = reading.now - standing.since;
            // Watched by this process, it is not shortened by another jump.
            let watched = known.met.map(|(since, stood)| stood + length(ticked, since));
            (standing, watched.map_or(stood, |watched| watched.min(stood)))
        });
        match judge(&reading) {
            Ok(()) => {
                if known.doubt.is_some() || remembered.standing.is_some() {
                    clock::trust(db, "daemon", reading.now).await?;
                    info!("The clock is believed again");
                }
                self.believe(db, reading.now, ticked).await?;
                Ok(None)
            }
            Err(doubt) => {
                self.raise(db, &reading, ticked, doubt).await?;
                Ok(Some(doubt))
            }
        }
    }

    async fn believe(
        &self,
        db: &Db,
        now: DateTime<Utc>,
        ticked: Duration,
    ) -> Result<(), StoreError> {
        let marked_at = self.lock().marked_at;
        let is_due = marked_at.is_none_or(|at| at + MARK_EVERY <= now || now < at);
        if is_due {
            clock::believe(db, now).await?;
        }
        *self.lock() = Known {
            believed: Some((now, ticked)),
            marked_at: if is_due { Some(now) } else { marked_at },
            met: None,
            doubt: None,
        };
        Ok(())
    }

    async fn raise(
        &self,
        db: &Db,
        reading: &Reading,
        ticked: Duration,
        doubt: Doubt,
    ) -> Result<(), StoreError> {
        let settles = doubt.until == Some(reading.now + reading.settle);
        let is_new = self.lock().doubt.is_none_or(|last| last.cause != doubt.cause);
        let stood = reading.standing.map(|(_, stood)| stood);
        let stood = stood.filter(|stood| TimeDelta::zero() <= *stood);
        if settles && stood.is_none() {
            let standing = Standing { cause: doubt.cause, since: reading.now };
            clock::doubt(db, standing, &doubt.to_string()).await?;
            self.lock().met = None;
        }
        let mut known = self.lock();
        known.met.get_or_insert((ticked, stood.unwrap_or_default()));
        known.doubt = Some(doubt);
        drop(known);
        if is_new {
            let until = doubt.until.map(|until| until.to_rfc3339());
            warn!(until, "Doubting the clock, so nothing is destroyed: {doubt}");
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // What is known is whole at any time, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the clock is not believed, for whoever asks without being the daemon. Remembers nothing.
///
/// # Errors
/// As the database answers.
pub async fn peek(
    db: &Db,
    clock: &dyn Clock,
    settle: Option<TimeDelta>,
) -> Result<Option<Doubt>, StoreError> {
    let Some(settle) = settle else { return Ok(None) };
    let mut reading = read(db, clock, settle).await?;
    let remembered = clock::read(db).await?;
    let Some(mark) = remembered.mark else { return Ok(None) };
    reading.mark = Some(mark);
    reading.standing = remembered.standing.map(|standing| (standing, reading.now - standing.since));
    // A daemon that is down leaves a gap, which is no doubt before it looks.
    if reading.standing.is_none() {
        reading.expected = Some(reading.now);
    }
    Ok(judge(&reading).err())
}

/// The time that decides, and how far this machine's is from it.
async fn read(db: &Db, clock: &dyn Clock, settle: TimeDelta) -> Result<Reading, StoreError> {
    let before = clock.now();
    let now = db.now(db.conn()).await?;
    let after = clock.now();
    let apart = match db.has_own_clock() {
        true => (before - now).max(now - after).max(TimeDelta::zero()),
        false => TimeDelta::zero(),
    };
    Ok(Reading { now, apart, settle, ..Reading::default() })
}

/// The time from `then` to `now` on the monotonic clock.
fn length(now: Duration, then: Duration) -> TimeDelta {
    TimeDelta::from_std(now.saturating_sub(then)).unwrap_or(TimeDelta::MAX)
}

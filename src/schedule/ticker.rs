//! The clockwork: the only file that knows tokio-cron-scheduler, and a guard over it.
//!
//! The library says when a line is due, and that is all it is trusted with. It keeps the UTC
//! offset of the day it started, so that a line is an hour off after the clocks change; it falls
//! silent for as long as the machine's clock is set back; and what it missed it forgets. So each
//! second its next tick is compared with the one the line really names. Only cron jobs are used,
//! and their closures neither wait nor panic: a panic in one would silence it for ever.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use tokio_cron_scheduler::{Job as CronJob, JobScheduler};
use tracing::warn;
use uuid::Uuid;

use crate::{config::CronLine, jobs::runner::Cause, schedule::slot::Slot};

/// How late the library may be before it counts as having missed a tick, in seconds. It looks
/// every half second.
const LATE: i64 = 3;

/// Pokes slots when their lines are due.
pub(super) struct Ticker {
    scheduler: JobScheduler,
    entries: Vec<Entry>,
}

struct Entry {
    id: Uuid,
    cron: Cron,
    time_zone: Tz,
    slot: Arc<Slot>,
    expected: Option<Expected>,
}

/// The next tick, and since when it is the next. Most of the work of a second in which nothing is due
/// would be to find it anew.
#[derive(Clone, Copy, Debug)]
struct Expected {
    since: DateTime<Utc>,
    /// `None`: the line never comes again.
    tick: Option<DateTime<Utc>>,
}

impl Ticker {
    /// A clockwork that stands still and knows no lines.
    pub(super) async fn new() -> anyhow::Result<Self> {
        let scheduler = JobScheduler::new().await.context("make the scheduler")?;
        Ok(Self { scheduler, entries: Vec::new() })
    }

    /// Pokes `slot` whenever `line` is due in `time_zone`.
    pub(super) async fn add(
        &mut self,
        line: &CronLine,
        time_zone: Tz,
        slot: Arc<Slot>,
    ) -> anyhow::Result<()> {
        let poked = slot.clone();
        let job = CronJob::new_async_tz(line.as_str(), time_zone, move |_id, _scheduler| {
            poked.poke(Cause::Schedule);
            Box::pin(std::future::ready(()))
        });
        let job = job.map_err(|error| anyhow!("read the cron line \"{line}\": {error}"))?;
        let id = self.scheduler.add(job).await.context("add a cron line")?;
        self.entries.push(Entry { id, cron: line.cron().clone(), time_zone, slot, expected: None });
        Ok(())
    }

    /// Sets it going.
    pub(super) async fn start(&self) -> anyhow::Result<()> {
        self.scheduler.start().await.context("start the scheduler")
    }

    /// Puts right what a change of the clocks, a clock that was set, or a stall has made wrong.
    pub(super) async fn put_right(&mut self, now: DateTime<Utc>) {
        for entry in &mut self.entries {
            if let Err(error) = entry.put_right(&self.scheduler, now).await {
                warn!("Failed to check the scheduler: {error:#}");
            }
        }
    }

    /// Stops ticking. One more tick may come.
    pub(super) async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            warn!("Failed to stop the scheduler: {error}");
        }
    }
}

impl Entry {
    async fn put_right(
        &mut self,
        scheduler: &JobScheduler,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        // A line that never comes again asks for nothing.
        let Some(next) = self.next_tick(now) else { return Ok(()) };
        let store = scheduler.context().metadata_storage.clone();
        let mut store = store.write().await;
        let stored = store.get(self.id).await.context("read a tick")?;
        let stored = stored.context("find a tick")?;
        let stored = Stored {
            next: i64::try_from(stored.next_tick).unwrap_or(i64::MAX),
            last: stored.last_tick.map(|last| i64::try_from(last).unwrap_or(i64::MAX)),
        };
        let verdict = stored.judge(next.timestamp(), now.timestamp());
        if verdict == Verdict::Right {
            return Ok(());
        }
        store.set_next_and_last_tick(self.id, Some(next), None).await.context("set a tick")?;
        if verdict == Verdict::Missed {
            self.slot.poke(Cause::Schedule);
        }
        Ok(())
    }
}

impl Entry {
    /// When the line is due next, after `now`: found anew once that time has come, or when the clock
    /// was set back.
    fn next_tick(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let holds =
            |known: &Expected| known.since <= now && known.tick.is_none_or(|tick| now < tick);
        let find = || Expected { since: now, tick: next_tick(&self.cron, self.time_zone, now) };
        let expected = self.expected.filter(holds).unwrap_or_else(find);
        self.expected = Some(expected);
        expected.tick
    }
}

/// When a line is due next, after `now`.
fn next_tick(cron: &Cron, time_zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let next = cron.find_next_occurrence(&now.with_timezone(&time_zone), false).ok()?;
    Some(next.with_timezone(&Utc))
}

/// What the library goes by, in seconds of the epoch.
#[derive(Clone, Copy, Debug)]
struct Stored {
    next: i64,
    last: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It will tick when it should.
    Right,
    /// It would tick at another time, or not at all.
    Wrong,
    /// The same, and a tick has been lost.
    Missed,
}

impl Stored {
    fn judge(self, next: i64, now: i64) -> Verdict {
        // The library passes over a tick before the last one.
        let is_open = |tick| self.last.is_none_or(|last| last <= tick);
        let is_about_to_tick = self.next <= now && now - self.next < LATE && is_open(self.next);
        let is_set = self.next == next && self.last.is_none_or(|last| last <= now);
        if is_set || is_about_to_tick {
            Verdict::Right
        } else if 0 < self.next && self.next <= now {
            Verdict::Missed
        } else {
            Verdict::Wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use futures_util::FutureExt as _;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    fn judge(next: i64, last: Option<i64>, want: i64) -> Verdict {
        Stored { next, last }.judge(want, 10_000)
    }

    #[test]
    fn a_tick_that_is_right_or_just_due_is_left_alone() {
        assert_eq!(judge(10_060, Some(10_000), 10_060), Verdict::Right);
        assert_eq!(judge(10_060, None, 10_060), Verdict::Right);
        assert_eq!(judge(10_000, Some(9_940), 10_060), Verdict::Right, "due this second");
        assert_eq!(judge(9_998, Some(9_940), 10_060), Verdict::Right, "the library is on its way");
    }

    #[test]
    fn a_tick_of_another_time_is_put_right() {
        assert_eq!(judge(13_600, Some(10_000), 10_060), Verdict::Wrong, "the clock was set back");
        assert_eq!(judge(10_060, Some(13_600), 10_060), Verdict::Wrong, "and forgets that it was");
        assert_eq!(judge(17_200, Some(10_000), 13_600), Verdict::Wrong, "the clocks have changed");
        assert_eq!(judge(0, None, 10_060), Verdict::Wrong, "the library has lost it");
    }

    #[test]
    fn a_tick_that_never_came_is_made_up_for() {
        assert_eq!(judge(9_997, Some(9_940), 10_060), Verdict::Missed, "a stall");
        assert_eq!(judge(6_400, Some(6_340), 10_060), Verdict::Missed, "the clock was set on");
    }

    #[test]
    fn the_next_tick_is_right_across_a_change_of_the_clocks() {
        let line: CronLine = "0 30 3 * * *".parse().unwrap();
        let berlin = chrono_tz::Europe::Berlin;
        let next = |now: &str| {
            let tick = next_tick(line.cron(), berlin, now.parse().unwrap()).unwrap();
            tick.with_timezone(&berlin).to_string()
        };
        assert_eq!(next("2026-10-24T12:00:00Z"), "2026-10-25 03:30:00 CET");
        assert_eq!(next("2026-10-25T02:30:00Z"), "2026-10-26 03:30:00 CET");
        assert_eq!(next("2027-03-27T12:00:00Z"), "2027-03-28 03:30:00 CEST");
        let line: CronLine = "0 30 2 * * *".parse().unwrap();
        let tick = next_tick(line.cron(), berlin, "2027-03-27T12:00:00Z".parse().unwrap());
        let tick = tick.unwrap().with_timezone(&berlin).to_string();
        assert_eq!(tick, "2027-03-28 03:00:00 CEST", "half past two is left out that night");
    }

    #[tokio::test]
    async fn a_clock_set_back_by_an_hour_ticks_again_at_once() {
        let (slot, token) = (Arc::new(Slot::default()), CancellationToken::new());
        let mut ticker = Ticker::new().await.unwrap();
        let every_second = "* * * * * *".parse().unwrap();
        ticker.add(&every_second, chrono_tz::UTC, slot.clone()).await.unwrap();
        // As the library would leave it: an hour ahead of the clock it finds now.
        let ahead = SystemClock.now() + TimeDelta::hours(1);
        let store = ticker.scheduler.context().metadata_storage.clone();
        let id = ticker.entries[0].id;
        let set = store.write().await.set_next_and_last_tick(id, Some(ahead), Some(ahead));
        set.await.unwrap();
        ticker.start().await.unwrap();
        ticker.put_right(SystemClock.now()).await;
        let tick = tokio::time::timeout(Duration::from_secs(10), slot.turn(&token)).await;
        assert_eq!(tick, Ok(Some(Cause::Schedule)));
        ticker.stop().await;
    }

    #[tokio::test]
    async fn a_missed_tick_is_made_up_for_once() {
        let (slot, token) = (Arc::new(Slot::default()), CancellationToken::new());
        let mut ticker = Ticker::new().await.unwrap();
        let daily = "0 17 3 * * *".parse().unwrap();
        ticker.add(&daily, chrono_tz::UTC, slot.clone()).await.unwrap();
        let tomorrow = SystemClock.now() + TimeDelta::hours(25);
        ticker.put_right(tomorrow).await;
        assert_eq!(slot.turn(&token).now_or_never(), Some(Some(Cause::Schedule)));
        ticker.put_right(tomorrow).await;
        assert_eq!(slot.turn(&token).now_or_never(), None);
    }
}

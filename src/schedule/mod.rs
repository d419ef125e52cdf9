//! When the jobs run: cron lines, and jobs that leave work for each other.
//!
//! A library tells the time ([`ticker`]); everything of worth is here: one [`worker`] per job, so
//! that runs never overlap, and a [`slot`] in front of it, so that ticks never pile up.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock as _, SystemClock},
    config::{CronLine, ScheduleConfig},
    heartbeat::Heartbeat,
    jobs::{
        JOBS,
        runner::{Cause, Runner},
    },
    schedule::{slot::Slot, ticker::Ticker},
    shutdown::{Shutdown, pause},
};

mod slot;
mod ticker;
mod worker;

/// Jobs that run once as the daemon starts, to catch up on what fell due while it was down.
const AT_START: [&str; 3] = ["sweep", "deliver", "purge"];

/// Jobs that leave work for another one, which then runs at once.
const WAKES: [(&str, &str); 2] = [("sweep", "deliver"), ("purge", "deliver")];

/// The jobs that have a cron line, each with its worker. Cheap to clone.
#[derive(Clone)]
pub struct Schedule(Arc<HashMap<&'static str, Arc<Slot>>>);

impl Schedule {
    /// Runs the jobs by the lines of `config` until `shutdown`, and catches up at once. A job
    /// without a line does not run at all. Beats `heartbeat` every second.
    ///
    /// # Errors
    /// If the scheduler does not take a line.
    pub async fn start(
        runner: &Runner,
        config: &ScheduleConfig,
        heartbeat: Heartbeat,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let mut ticker = Ticker::new().await?;
        let mut slots = HashMap::new();
        for (name, line) in lines(config) {
            let Some(line) = line else { continue };
            let slot = Arc::new(Slot::default());
            let added = ticker.add(line, config.time_zone, slot.clone()).await;
            added.with_context(|| format!("use schedule.{name}"))?;
            slots.insert(name, slot);
        }
        ticker.start().await?;
        let schedule = Self(Arc::new(slots));
        for name in AT_START {
            schedule.poke(name, Cause::Schedule);
        }
        schedule.hire(runner, shutdown);
        shutdown.tracker.spawn(watch(ticker, heartbeat, shutdown.token.clone()));
        Ok(schedule)
    }

    /// Asks for a run of the job called `name`, as soon as the last one is over. Returns `false`
    /// if the schedule does not run it.
    pub fn poke(&self, name: &str, cause: Cause) -> bool {
        self.0.get(name).map(|slot| slot.poke(cause)).is_some()
    }

    /// Starts a worker for each slot.
    fn hire(&self, runner: &Runner, shutdown: &Shutdown) {
        for job in JOBS {
            let Some(slot) = self.0.get(job.name) else { continue };
            let next = WAKES.iter().find(|(name, _)| *name == job.name);
            let wakes = next.and_then(|(_, next)| self.0.get(next)).cloned();
            let runner = runner.clone();
            let run = move |cause| {
                let runner = runner.clone();
                async move { runner.run(job, cause).await }
            };
            let token = shutdown.token.clone();
            shutdown.tracker.spawn(worker::work(slot.clone(), wakes, token, run));
        }
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Schedule").field(&self.0.keys()).finish()
    }
}

/// Each job's line.
fn lines(config: &ScheduleConfig) -> [(&'static str, Option<&CronLine>); 5] {
    [
        ("sweep", config.sweep.as_ref()),
        ("deliver", config.deliver.as_ref()),
        ("purge", config.purge.as_ref()),
        ("prune", config.prune.as_ref()),
        ("seal", config.seal.as_ref()),
    ]
}

/// Looks after the clockwork until the daemon stops.
async fn watch(ticker: Ticker, heartbeat: Heartbeat, token: CancellationToken) {
    while pause(&token, Duration::from_secs(1)).await {
        // The machine's own time, whatever the jobs go by: that is what the library goes by.
        ticker.put_right(SystemClock.now()).await;
        heartbeat.beat();
    }
    ticker.stop().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, jobs};

    #[test]
    fn every_job_has_a_line_and_every_name_is_a_job() {
        let config = Config::load(None, std::iter::empty()).unwrap().config.schedule;
        let lines = lines(&config);
        let lined: Vec<_> = lines.iter().map(|(name, _)| *name).collect();
        assert_eq!(lined, JOBS.iter().map(|job| job.name).collect::<Vec<_>>());
        assert!(lines.iter().all(|(_, line)| line.is_some()), "the default runs them all");
        let named = AT_START.into_iter().chain(WAKES.into_iter().flat_map(|(a, b)| [a, b]));
        assert!(named.into_iter().all(|name| jobs::find(name).is_some()));
    }
}

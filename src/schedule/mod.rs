//! When the jobs run: cron lines, and jobs that leave work for each other.
//!
//! A library tells the time ([`ticker`]); everything of worth is here: one [`worker`] per job, so
//! that runs never overlap, and a [`slot`] in front of it, so that ticks never pile up.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing::error;

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
pub struct Schedule {
    slots: Arc<HashMap<&'static str, Arc<Slot>>>,
    /// Ends this schedule, and not the daemon.
    token: CancellationToken,
}

impl Schedule {
    /// Runs the jobs by the lines of `config` until `shutdown`, and catches up at once. A job
    /// without a line does not run at all. Beats `heartbeat` every second, as long as no run is
    /// stuck.
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
            let due = runner.clone();
            let slot = Arc::new(Slot::new(move || due.due(name)));
            let added = ticker.add(line, config.time_zone, slot.clone()).await;
            added.with_context(|| format!("use schedule.{name}"))?;
            slots.insert(name, slot);
        }
        ticker.start().await?;
        let schedule = Self { slots: Arc::new(slots), token: shutdown.token.child_token() };
        for name in AT_START {
            schedule.poke(name, Cause::Schedule);
        }
        schedule.hire(runner, shutdown);
        let watch = watch(ticker, runner.clone(), heartbeat, schedule.token.clone());
        shutdown.tracker.spawn(watch);
        Ok(schedule)
    }

    /// Ends this schedule, so that another may take its place. Runs that are under way go on; the
    /// other schedule's first run of the same job comes after them, or is left out.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Asks for a run of the job called `name`, as soon as the last one is over. Returns `false`
    /// if the schedule does not run it.
    pub fn poke(&self, name: &str, cause: Cause) -> bool {
        self.slots.get(name).map(|slot| slot.poke(cause)).is_some()
    }

    /// Starts a worker for each slot.
    fn hire(&self, runner: &Runner, shutdown: &Shutdown) {
        for job in JOBS {
            let Some(slot) = self.slots.get(job.name) else { continue };
            let next = WAKES.iter().find(|(name, _)| *name == job.name);
            let wakes = next.and_then(|(_, next)| self.slots.get(next)).cloned();
            let runner = runner.clone();
            let run = move |cause| {
                let runner = runner.clone();
                async move { runner.run(job, cause).await }
            };
            let token = self.token.clone();
            shutdown.tracker.spawn(worker::work(slot.clone(), wakes, token, run));
        }
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Schedule").field(&self.slots.keys()).finish()
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

/// Looks after the clockwork until the schedule ends. A run that is stuck stops the heart: then
/// whoever watches the daemon starts it anew.
async fn watch(mut ticker: Ticker, runner: Runner, heartbeat: Heartbeat, token: CancellationToken) {
    let mut is_stuck = false;
    while pause(&token, Duration::from_secs(1)).await {
        // The machine's own time, whatever the jobs go by: that is what the library goes by.
        ticker.put_right(SystemClock.now()).await;
        match runner.stuck() {
            None => {
                is_stuck = false;
                heartbeat.beat();
            }
            Some(name) if !std::mem::replace(&mut is_stuck, true) => {
                error!(
                    job.name = name,
                    "Job `{name}` is stuck: it does not stop when it is asked to"
                );
            }
            Some(_) => {}
        }
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

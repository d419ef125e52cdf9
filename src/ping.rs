//! The dead man's ping: a sign of life for somebody who watches from outside, and calls for help when
//! it stays away. Whatever becomes of it, the work goes on as if there were none.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use crate::{
    fetch::Fetcher,
    jobs::{
        self,
        runner::{JobState, Runner, Well},
    },
    meter::Meter,
    shutdown::Shutdown,
};

/// Who is pinged.
#[derive(Clone, Debug)]
pub struct Ping {
    fetcher: Fetcher,
    patience: Duration,
}

impl Ping {
    /// A ping of `url`, which is given up after `patience`.
    ///
    /// # Errors
    /// If that is no URL that can be fetched.
    pub fn new(url: &str, patience: Duration) -> anyhow::Result<Self> {
        let fetcher = Fetcher::new(url).context("use ping.url")?;
        Ok(Self { fetcher, patience })
    }

    /// Pings after each round of `runner` that went well, until `shutdown`, or until what comes
    /// back is dropped. A round is a sweep, and a delivery that began after it.
    pub fn follow(self, runner: Runner, shutdown: &Shutdown) -> DropGuard {
        let token = shutdown.token.child_token();
        shutdown.tracker.spawn(self.attend(runner, token.clone()));
        token.drop_guard()
    }

    async fn attend(self, runner: Runner, token: CancellationToken) {
        let (Some(sweep), Some(deliver)) = (jobs::find("sweep"), jobs::find("deliver")) else {
            return;
        };
        let Some(mut delivered) = runner.follow(deliver) else { return };
        let (mut last, mut n_runs, mut was_answered) = (None, 0, true);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                changed = delivered.changed() => if changed.is_err() { return },
            }
            let deliver = delivered.borrow_and_update().clone();
            if std::mem::replace(&mut n_runs, deliver.n_runs) == deliver.n_runs {
                continue; // Something else has changed than that a delivery ended.
            }
            let Some(round) = round(&runner.state(sweep), &deliver) else { continue };
            if last == Some(round) || is_mail_resting(&runner) {
                continue;
            }
            let deps = runner.deps();
            let is_answered = tokio::select! {
                () = token.cancelled() => return,
                is_answered = self.once(deps.db.meter(), was_answered) => is_answered,
            };
            if is_answered {
                last = Some(round);
            }
            was_answered = is_answered;
        }
    }

    /// Pings once. Returns whether it was answered well; the log says when that is not as it
    /// `was_answered` the last time.
    pub async fn once(&self, meter: &Meter, was_answered: bool) -> bool {
        let place = self.fetcher.place();
        let failure = match timeout(self.patience, self.fetcher.get()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {:?}", self.patience)),
        };
        meter.ping.count(if failure.is_none() { "answered" } else { "failed" });
        match &failure {
            None if was_answered => debug!("Pinged {place}"),
            None => info!("The ping of {place} is answered again"),
            Some(error) if was_answered => {
                warn!("Failed to ping {place}; trying again after each round: {error}");
            }
            Some(error) => debug!("Failed to ping {place}: {error}"),
        }
        failure.is_none()
    }
}

/// Whether no mail is tried at present: then owners are not told, which is no sign of life.
pub fn is_mail_resting(runner: &Runner) -> bool {
    let deps = runner.deps();
    deps.mailer.breaker.rests_until(deps.clock.now()).is_some()
}

/// The last round, if it is whole and went well: named by the end of its sweep.
fn round(sweep: &JobState, deliver: &JobState) -> Option<Instant> {
    let (Well { ended, .. }, Well { began, .. }) = (sweep.last_well?, deliver.last_well?);
    (ended <= began).then_some(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_a_sweep_and_a_delivery_after_it() {
        let start = Instant::now();
        let well = |began: u64, ended: u64| {
            let at = |second| start + Duration::from_secs(second);
            JobState {
                last_well: Some(Well { began: at(began), ended: at(ended) }),
                ..JobState::default()
            }
        };
        assert_eq!(round(&JobState::default(), &well(1, 2)), None);
        assert_eq!(round(&well(1, 2), &JobState::default()), None);
        assert_eq!(
            round(&well(1, 3), &well(2, 4)),
            None,
            "it may have missed what the sweep wrote"
        );
        assert_eq!(round(&well(1, 3), &well(3, 4)), Some(start + Duration::from_secs(3)));
    }
}

//! One task per job, which runs it whenever it is poked. One task: that is why runs of a job
//! never overlap, however often it is due.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    jobs::{
        Outcome,
        contact::Backoff,
        runner::{Cause, RunError},
    },
    schedule::slot::Slot,
    shutdown::pause,
};

/// Runs a job for each poke of its `slot`, until `token` is cancelled. A run that is under way
/// then is waited for. A run that changed something pokes the slot of the job that it left work
/// for, if there is one.
///
/// A run that met no database is repeated after a while, and the next tick is not waited for: it
/// may be a day away.
pub(super) async fn work<F>(
    slot: Arc<Slot>,
    wakes: Option<Arc<Slot>>,
    token: CancellationToken,
    run: impl Fn(Cause) -> F,
) where
    F: Future<Output = Result<Outcome, RunError>>,
{
    let mut backoff = Backoff::default();
    while let Some(cause) = slot.turn(&token).await {
        let result = run(cause).await;
        match result {
            Err(error) if error.is_passing() => {
                if !pause(&token, backoff.failed(rand::random())).await {
                    return;
                }
                slot.poke(cause);
                continue;
            }
            Ok(Outcome { n_changed: 1.., .. }) => {
                if let Some(next) = &wakes {
                    next.poke(Cause::Wake);
                }
            }
            // The runner has logged a failure, and the next tick is the retry.
            Ok(_) | Err(RunError::Failed { .. }) => {}
            Err(error) => debug!("Left a run out: {error}"),
        }
        backoff.reached();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        time::{Duration, Instant},
    };

    use anyhow::anyhow;
    use futures_util::FutureExt as _;
    use tokio::sync::Semaphore;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::store::samples;

    fn changed(n_changed: u64) -> Result<Outcome, RunError> {
        Ok(Outcome { n_examined: n_changed, n_changed, n_failed: 0 })
    }

    fn failed(source: anyhow::Error) -> Result<Outcome, RunError> {
        Err(RunError::Failed { name: "sweep", source })
    }

    fn away() -> Result<Outcome, RunError> {
        failed(samples::unavailable().into())
    }

    /// Runs the worker over one poke, with a job that answers `result`, and stops it. Returns
    /// what it left in the slot of the job it wakes.
    async fn woken_by(result: fn() -> Result<Outcome, RunError>) -> Option<Cause> {
        let (slot, next, token) =
            (Arc::new(Slot::default()), Arc::default(), CancellationToken::new());
        slot.poke(Cause::Schedule);
        let stop = token.clone();
        let run = move |_| {
            stop.cancel();
            ready(result())
        };
        work(slot, Some(Arc::clone(&next)), token, run).await;
        next.turn(&CancellationToken::new()).now_or_never().flatten()
    }

    #[tokio::test]
    async fn what_changed_something_wakes_the_next_job() {
        assert_eq!(woken_by(|| changed(1)).await, Some(Cause::Wake));
        assert_eq!(woken_by(|| changed(0)).await, None);
        assert_eq!(woken_by(|| failed(anyhow!("a panic"))).await, None);
        assert_eq!(woken_by(|| Err(RunError::Busy("sweep"))).await, None);
    }

    /// A job whose runs begin when they like, and end when the test says so.
    struct Held {
        begun: Semaphore,
        may_end: Semaphore,
        n_now: AtomicUsize,
        n_most: AtomicUsize,
    }

    impl Held {
        fn start(slot: &Arc<Slot>, token: &CancellationToken, tracker: &TaskTracker) -> Arc<Self> {
            let held = Arc::new(Self {
                begun: Semaphore::new(0),
                may_end: Semaphore::new(0),
                n_now: AtomicUsize::new(0),
                n_most: AtomicUsize::new(0),
            });
            let job = held.clone();
            let run = move |_| {
                let job = job.clone();
                async move { job.run().await }
            };
            tracker.spawn(work(slot.clone(), None, token.clone(), run));
            held
        }

        async fn run(&self) -> Result<Outcome, RunError> {
            self.n_most.fetch_max(self.n_now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            self.begun.add_permits(1);
            self.may_end.acquire().await.unwrap().forget();
            self.n_now.fetch_sub(1, Ordering::SeqCst);
            changed(0)
        }

        async fn has_begun(&self) {
            self.begun.acquire().await.unwrap().forget();
        }
    }

    #[tokio::test]
    async fn ticks_during_a_run_become_one_run_after_it() {
        let (slot, token, tracker) = (Arc::default(), CancellationToken::new(), TaskTracker::new());
        let held = Held::start(&slot, &token, &tracker);
        slot.poke(Cause::Schedule);
        held.has_begun().await;
        for _ in 0..5 {
            slot.poke(Cause::Schedule);
        }
        held.may_end.add_permits(9);
        held.has_begun().await;
        // The worker is asleep again when this comes through, so nothing is left to be run.
        slot.poke(Cause::Manual);
        held.has_begun().await;
        token.cancel();
        tracker.close();
        tracker.wait().await;
        assert_eq!(held.n_most.load(Ordering::SeqCst), 1, "never two at a time");
        assert_eq!(held.may_end.available_permits(), 9 - 3, "five ticks became one run");
    }

    #[tokio::test]
    async fn a_stop_waits_for_the_run_under_way() {
        let (slot, token, tracker) = (Arc::default(), CancellationToken::new(), TaskTracker::new());
        let held = Held::start(&slot, &token, &tracker);
        slot.poke(Cause::Schedule);
        held.has_begun().await;
        slot.poke(Cause::Schedule);
        token.cancel();
        tracker.close();
        assert_eq!(tracker.wait().now_or_never(), None, "it is still at work");
        held.may_end.add_permits(9);
        tracker.wait().await;
        assert_eq!(held.begun.available_permits(), 0, "and nothing begins after a stop");
    }

    #[tokio::test]
    async fn a_run_without_a_database_is_repeated_after_a_while() {
        let (slot, token) = (Arc::new(Slot::default()), CancellationToken::new());
        slot.poke(Cause::Schedule);
        let runs = Mutex::new(Vec::new());
        let run = |_| {
            let mut runs = runs.lock().unwrap();
            runs.push(Instant::now());
            slot.poke(Cause::Schedule); // Ticks go on meanwhile.
            if runs.len() == 2 {
                token.cancel();
            }
            ready(away())
        };
        work(slot.clone(), None, token.clone(), run).await;
        let runs = runs.into_inner().unwrap();
        let waited = runs[1] - runs[0];
        assert!(Duration::from_millis(500) <= waited, "half the first wait at least: {waited:?}");
        assert!(waited < Duration::from_secs(10), "{waited:?}");
    }
}

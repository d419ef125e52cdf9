//! Answers that are kept for a while, so that neither a scraper nor a load balancer can make the
//! database work more than a little.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// An answer that is looked up anew when it is asked for and has grown old.
///
/// One look-up at a time, in a task of its own: whoever asked may go away half-way, and a
/// database that hangs is asked once, not once per request.
#[derive(Debug)]
pub(super) struct Fresh<T> {
    /// How long an answer is good for.
    max_age: Duration,
    /// How many times as long as the look-up took an answer is good for, at least.
    thrift: u32,
    answer: watch::Sender<Answer<T>>,
}

#[derive(Debug)]
struct Answer<T> {
    is_being_looked_up: bool,
    looked_up_at: Option<Instant>,
    took: Duration,
    value: Option<Arc<T>>,
}

/// What is known when somebody asks.
#[derive(Debug)]
pub(super) struct Known<T> {
    /// `None` if the last look-up failed, or none has ended yet.
    pub(super) value: Option<Arc<T>>,
    /// Whether it is no older than it may be.
    pub(super) is_fresh: bool,
}

impl<T: Clone> Known<T> {
    /// What is known, fresh or not.
    pub(super) fn latest(self) -> Option<T> {
        self.value.as_deref().cloned()
    }
}

impl<T: Send + Sync + 'static> Fresh<T> {
    /// Answers that are good for `max_age`.
    pub(super) fn new(max_age: Duration) -> Self {
        let answer = Answer {
            is_being_looked_up: false,
            looked_up_at: None,
            took: Duration::ZERO,
            value: None,
        };
        Self { max_age, thrift: 0, answer: watch::Sender::new(answer) }
    }

    /// As [`Fresh::new`], but a look-up that takes long makes its answer last longer: no more
    /// than one part in `thrift` of the time is spent on looking up.
    pub(super) fn thrifty(max_age: Duration, thrift: u32) -> Self {
        Self { thrift, ..Self::new(max_age) }
    }

    /// What is known: after at most `patience`, what `look_up` finds if that is needed.
    pub(super) async fn get<F>(
        &self,
        tracker: &TaskTracker,
        patience: Duration,
        look_up: impl FnOnce() -> F,
    ) -> Known<T>
    where
        F: Future<Output = Option<T>> + Send + 'static,
    {
        if self.is_fresh() {
            return self.known(true);
        }
        let mut answer = self.answer.subscribe();
        if let Some(look) = Look::begin(&self.answer) {
            let found = look_up();
            tracker.spawn(async move { look.end(found.await) });
        }
        let ended = answer.wait_for(|answer| !answer.is_being_looked_up);
        // Only the wait is given up; the look-up goes on.
        let is_fresh = tokio::time::timeout(patience, ended).await.is_ok_and(|ended| ended.is_ok());
        self.known(is_fresh)
    }

    fn known(&self, is_fresh: bool) -> Known<T> {
        Known { value: self.answer.borrow().value.clone(), is_fresh }
    }

    fn is_fresh(&self) -> bool {
        let answer = self.answer.borrow();
        let max_age = self.max_age.max(answer.took.saturating_mul(self.thrift));
        answer.looked_up_at.is_some_and(|at| at.elapsed() < max_age)
    }
}

/// A look-up under way. It ends when it is dropped, whatever happened to it.
struct Look<T> {
    began: Instant,
    answer: watch::Sender<Answer<T>>,
}

impl<T> Look<T> {
    /// Begins a look-up, unless there is one.
    fn begin(answer: &watch::Sender<Answer<T>>) -> Option<Self> {
        let is_first = answer
            .send_if_modified(|answer| !std::mem::replace(&mut answer.is_being_looked_up, true));
        is_first.then(|| Self { began: Instant::now(), answer: answer.clone() })
    }

    fn end(self, value: Option<T>) {
        self.answer.send_modify(|answer| {
            answer.looked_up_at = Some(Instant::now());
            answer.took = self.began.elapsed();
            answer.value = value.map(Arc::new);
        });
    }
}

impl<T> Drop for Look<T> {
    fn drop(&mut self) {
        self.answer.send_modify(|answer| answer.is_being_looked_up = false);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn an_answer_is_kept_as_long_as_it_is_good_for() {
        let (kept, gone) = (Fresh::new(LONG), Fresh::new(Duration::ZERO));
        let tracker = TaskTracker::new();
        for n in 0..3 {
            let known = kept.get(&tracker, PATIENCE, || ready(Some(n))).await;
            assert_eq!((known.value.as_deref(), known.is_fresh), (Some(&0), true));
            let known = gone.get(&tracker, PATIENCE, || ready(Some(n))).await;
            assert_eq!((known.value.as_deref(), known.is_fresh), (Some(&n), true));
        }
    }

    #[tokio::test]
    async fn a_failure_is_an_answer_too() {
        let (fresh, tracker) = (Fresh::new(LONG), TaskTracker::new());
        let known = fresh.get(&tracker, PATIENCE, || ready(None)).await;
        assert!(known.value.is_none() && known.is_fresh);
        let known = fresh.get(&tracker, PATIENCE, || ready(Some(1))).await;
        assert!(known.value.is_none(), "it is not asked again at once");
    }

    #[tokio::test]
    async fn a_look_up_that_hangs_is_the_only_one_and_the_old_answer_stays() {
        let (fresh, tracker) = (Fresh::new(Duration::ZERO), TaskTracker::new());
        fresh.get(&tracker, PATIENCE, || ready(Some(1))).await;
        for _ in 0..2 {
            let known = fresh.get(&tracker, Duration::from_millis(1), pending).await;
            assert_eq!((known.value.as_deref(), known.is_fresh), (Some(&1), false));
        }
        assert_eq!(tracker.len(), 1);
    }

    #[tokio::test]
    async fn a_look_up_that_panics_does_not_block_the_next() {
        let (fresh, tracker) = (Fresh::new(LONG), TaskTracker::new());
        let panics = || async { panic!("for the test") };
        assert!(fresh.get(&tracker, PATIENCE, panics).await.value.is_none());
        assert!(fresh.get(&tracker, PATIENCE, || ready(Some(1))).await.value.is_some());
    }

    #[tokio::test]
    async fn a_dear_answer_lasts_longer() {
        let (fresh, tracker) = (Fresh::thrifty(Duration::ZERO, u32::MAX), TaskTracker::new());
        for n in 0..3 {
            let look_up = || async move {
                tokio::task::yield_now().await;
                Some(n)
            };
            let known = fresh.get(&tracker, PATIENCE, look_up).await;
            assert_eq!(known.value.as_deref(), Some(&0));
        }
    }
}

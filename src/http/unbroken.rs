//! Work that is carried through though nobody waits for it any more.
//!
//! A client that hangs up drops the handler of its request, wherever that waits; and a future of the
//! store must not be dropped half-way. A task of its own for each request would keep it whole, at
//! the cost of two changes of task for each answer. So a request runs in the task of its
//! connection, and is moved into one of its own only when its client has gone.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

/// The work panicked. Where and why has been reported there.
#[derive(Debug)]
pub(super) struct Panicked;

/// `work`, in whichever task waits for it; and on to its end in one that `tracker` counts, if it is
/// dropped before that. A panic ends nothing but the work.
pub(super) fn unbroken<T: Send + 'static>(
    tracker: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> Unbroken<T> {
    let work = AssertUnwindSafe(work).catch_unwind().boxed();
    let (tracker, span) = (tracker.clone(), Span::current());
    Unbroken { work: Some(work), has_begun: false, tracker, span }
}

/// See [`unbroken`].
pub(super) struct Unbroken<T: Send + 'static> {
    /// `None` once it has ended.
    work: Option<BoxFuture<'static, std::thread::Result<T>>>,
    has_begun: bool,
    tracker: TaskTracker,
    /// What its lines in the log belong to, in whichever task.
    span: Span,
}

impl<T: Send + 'static> Future for Unbroken<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.has_begun = true;
        let Some(work) = &mut this.work else { return Poll::Pending };
        let ended = std::task::ready!(work.as_mut().poll(cx));
        this.work = None;
        Poll::Ready(ended.map_err(|_| Panicked))
    }
}

impl<T: Send + 'static> Drop for Unbroken<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.has_begun) else { return };
        // Without a runtime there is nothing that could carry it on.
        if Handle::try_current().is_ok() {
            self.tracker.spawn(work.instrument(self.span.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_carried_through() {
        let tracker = TaskTracker::new();
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut work = Box::pin(unbroken(&tracker, async move {
            gone.await.unwrap();
            tell.send(7).unwrap();
        }));
        assert!(work.as_mut().now_or_never().is_none(), "it waits");
        assert!(tracker.is_empty(), "in the task of whoever waits for it");
        drop(work);
        assert_eq!(tracker.len(), 1, "a stop waits for it");
        go.send(()).unwrap();
        assert_eq!(told.await, Ok(7));
        tracker.close();
        tracker.wait().await;
    }

    #[tokio::test]
    async fn what_has_ended_or_never_begun_needs_no_task() {
        let tracker = TaskTracker::new();
        assert_eq!(unbroken(&tracker, async { 7 }).await.unwrap(), 7);
        drop(unbroken(&tracker, std::future::pending::<()>()));
        assert!(tracker.is_empty());
    }

    #[tokio::test]
    async fn a_panic_ends_nothing_but_the_work() {
        let tracker = TaskTracker::new();
        let work = async { panic!("this is only a test") };
        assert!(unbroken::<()>(&tracker, work).await.is_err());
    }
}

//! Stopping in order: signals, waits that a stop ends, and tasks that a stop waits for.

use std::{io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// The two things every task needs to stop in order.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Set when the daemon shall stop.
    pub token: CancellationToken,
    /// Every task that has to be waited for.
    pub tracker: TaskTracker,
}

impl Shutdown {
    /// A daemon that nobody has asked to stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for SIGTERM or SIGINT, or until somebody else asks for the stop; then lets what is
    /// under way finish for at most `grace`. A second signal ends the wait at once.
    ///
    /// Returns whether everything finished.
    ///
    /// # Errors
    /// If signals cannot be listened for.
    pub async fn wait(&self, grace: Duration) -> io::Result<bool> {
        let mut sigterm = signal(SignalKind::terminate())?;
        let mut sigint = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = sigterm.recv() => info!("Stopping on SIGTERM"),
            _ = sigint.recv() => info!("Stopping on SIGINT"),
            () = self.token.cancelled() => info!("Stopping"),
        }
        self.token.cancel();
        self.tracker.close();
        let is_done = tokio::select! {
            () = self.tracker.wait() => true,
            () = timer(grace) => false,
            _ = sigterm.recv() => false,
            _ = sigint.recv() => false,
        };
        if !is_done {
            warn!(n_tasks = self.tracker.len(), "Stopped before everything was finished");
        }
        Ok(is_done)
    }
}

/// Waits for `duration`, or until `token` is cancelled. Returns `false` in that case.
pub async fn pause(token: &CancellationToken, duration: Duration) -> bool {
    tokio::select! {
        biased;
        () = token.cancelled() => false,
        () = timer(duration) => true,
    }
}

#[expect(clippy::disallowed_methods, reason = "the one wait; everything else waits through here")]
async fn timer(duration: Duration) {
    tokio::time::sleep(duration).await;
}

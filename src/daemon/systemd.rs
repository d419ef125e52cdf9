//! What systemd is told. Without systemd nobody is told anything.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

use crate::{
    heartbeat::Heartbeat,
    shutdown::{Shutdown, pause},
};

/// How much longer systemd is asked to wait for the start, each time it is asked. Longer than the
/// longest pause between two attempts.
const MORE_TIME: Duration = Duration::from_secs(60);

/// The daemon waits for its database, and that may take longer than systemd gives a start.
pub(super) fn waiting() {
    let more = u32::try_from(MORE_TIME.as_micros()).unwrap_or(u32::MAX);
    let status = NotifyState::Status("waiting for the database");
    tell(&[status, NotifyState::ExtendTimeoutUsec(more)]);
}

/// The daemon works.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The daemon begins to read its configuration anew; [`ready`] says when it is done. The time is
/// what systemd tells this reload from an earlier one by.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        // Without the time systemd would wait for ever for a reload to end.
        Err(error) => debug!("Failed to read the monotonic clock: {error}"),
    }
}

/// Tells of the stop when it comes, and feeds the watchdog until then, if the unit has one. A
/// loop that stands still leaves it hungry.
pub(super) fn follow(heartbeat: Heartbeat, shutdown: &Shutdown) {
    let token = shutdown.token.clone();
    shutdown.tracker.spawn(async move {
        if let Some(limit) = sd_notify::watchdog_enabled() {
            while pause(&token, limit / 3).await {
                if heartbeat.age() < limit {
                    tell(&[NotifyState::Watchdog]);
                }
            }
        }
        token.cancelled().await;
        tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way")]);
    });
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("Failed to notify systemd: {error}");
    }
}

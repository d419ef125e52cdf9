//! SIGHUP: the configuration is read anew, checked whole, and only then put in the old one's place.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};
use tracing::{error, info, warn};

use crate::{
    app::App,
    config::Loaded,
    daemon::{Boot, systemd},
    heartbeat::Heartbeat,
    jobs::runner::Runner,
    schedule::Schedule,
    shutdown::Shutdown,
    store::{Db, StoreError, channel},
    telemetry,
};

/// Holds the configuration in force, and all that works by it.
pub(super) struct Reloader {
    boot: Boot,
    heartbeat: Heartbeat,
    shutdown: Shutdown,
    address: SocketAddr,
    loaded: std::sync::Mutex<Loaded>,
    working: Mutex<Option<Working>>,
}

/// What works by a configuration, once the database was reached.
pub(super) struct Working {
    pub(super) app: App,
    pub(super) runner: Runner,
    pub(super) schedule: Schedule,
}

impl Reloader {
    /// A daemon that works by `boot`'s configuration, and serves HTTP on `address`.
    pub(super) fn new(
        boot: Boot,
        heartbeat: Heartbeat,
        shutdown: Shutdown,
        address: SocketAddr,
    ) -> Arc<Self> {
        let loaded = std::sync::Mutex::new(boot.loaded.clone());
        let working = Mutex::new(None);
        Arc::new(Self { boot, heartbeat, shutdown, address, loaded, working })
    }

    /// Reloads at every SIGHUP from now on, until the daemon stops.
    ///
    /// # Errors
    /// If signals cannot be listened for.
    pub(super) fn follow(self: &Arc<Self>) -> io::Result<()> {
        let mut hang_ups = signal(SignalKind::hangup())?;
        let reloader = self.clone();
        self.shutdown.tracker.spawn(async move {
            loop {
                tokio::select! {
                    () = reloader.shutdown.token.cancelled() => return,
                    _ = hang_ups.recv() => {}
                }
                reloader.reload().await;
            }
        });
        Ok(())
    }

    /// The configuration in force, and where systemd puts secrets.
    pub(super) fn configuration(&self) -> (Loaded, Option<PathBuf>) {
        (self.loaded().clone(), self.boot.credentials.clone())
    }

    /// The daemon works from now on; systemd is told.
    pub(super) async fn started(&self, working: Working) {
        let mut place = self.working.lock().await;
        let is_old = !working.app.loaded.differing(&self.loaded()).is_empty();
        *place = Some(working);
        systemd::ready(&self.status());
        drop(place);
        if is_old {
            // A SIGHUP came while the database was being opened under the old one.
            self.reload().await;
        }
    }

    async fn reload(&self) {
        let mut working = self.working.lock().await;
        let is_working = working.is_some();
        if is_working {
            systemd::reloading();
        }
        let status = match self.renew(working.as_mut()).await {
            Ok(kept) => {
                info!("Reloaded the configuration");
                if !kept.is_empty() {
                    let options = kept.join(", ");
                    warn!(options, "A restart is needed before these options change: {options}");
                }
                self.status()
            }
            Err(error) => {
                error!("Refused the new configuration; the old one stays in force: {error:#}");
                let reason = format!("{error:#}");
                let reason = reason.lines().next().unwrap_or_default();
                format!("{}; refused a new configuration: {reason}", self.status())
            }
        };
        if is_working {
            systemd::ready(&status);
        }
    }

    /// Puts the new configuration in force. Returns the options that need a restart. Nothing has
    /// changed if this fails.
    async fn renew(&self, working: Option<&mut Working>) -> anyhow::Result<Vec<&'static str>> {
        let mut loaded = (self.boot.reread)()?;
        loaded.check_files(self.boot.credentials.as_deref())?;
        telemetry::check_filter(&loaded.config.log.filter)?;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        // Before the database was reached, everything but the socket and the log can still change.
        let (renewed, kept) = self.loaded().renewed(loaded.clone());
        let Some(working) = working else {
            self.set_filter(&loaded)?;
            *self.loaded() = loaded;
            return Ok(kept.into_iter().filter(|option| is_in_use_early(option)).collect());
        };
        let app = working.app.under(renewed.clone())?;
        let old = working.runner.deps();
        let mut deps = app.deps()?;
        // Who this daemon is, and what it has seen, are no matter of configuration.
        deps.swept = old.swept.clone();
        deps.timekeeper = old.timekeeper.clone();
        deps.audit_key = old.audit_key.clone();
        deps.instance = old.instance.clone();
        let limit = app.config().jobs.time_limit.get();
        let old_limit = working.app.config().jobs.time_limit.get();
        working.runner.renew(deps, limit);
        let lines = &app.config().schedule;
        let schedule =
            Schedule::start(&working.runner, lines, self.heartbeat.clone(), &self.shutdown).await;
        let schedule = match schedule.context("start the new schedule") {
            Ok(schedule) => schedule,
            Err(error) => {
                working.runner.renew(old, old_limit);
                return Err(error);
            }
        };
        std::mem::replace(&mut working.schedule, schedule).stop();
        working.app = app;
        // The password may be another one now.
        if let Err(error) = end_mail_pause(&working.app.db, &old.instance).await {
            warn!("Mail rests as long as it was to: {:#}", anyhow::Error::from(error));
        }
        self.set_filter(&renewed)?;
        *self.loaded() = renewed;
        Ok(kept)
    }

    fn set_filter(&self, loaded: &Loaded) -> anyhow::Result<()> {
        self.boot.log.as_ref().map_or(Ok(()), |log| log.set_filter(&loaded.config.log.filter))
    }

    fn status(&self) -> String {
        format!("working; HTTP on {}", self.address)
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        // A configuration is whole at any time, so a panic elsewhere spoils nothing.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end_mail_pause(db: &Db, actor: &str) -> Result<(), StoreError> {
    let now = db.now(db.conn()).await?;
    channel::end_pause(db.conn(), actor, now).await
}

/// Whether the option is in use before the database is reached.
fn is_in_use_early(option: &str) -> bool {
    option.starts_with("http.") || option == "log.format"
}

//! `lapsed run`: the daemon from its start to its stop.
//!
//! HTTP comes first, so that health can be asked for while the database is awaited; then the
//! database, however long it takes; then the schedule. A stop is asked for by a token and waited
//! for by a tracker: no task is dropped half-way.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::{
    app::{App, SchemaBehind},
    config::{Config, ConfigErrors, Loaded, Transport},
    daemon::reload::{Reloader, Working},
    heartbeat::Heartbeat,
    http::{
        self, House, Paces, Proxies, Vitals,
        pages::Pages,
        v1::{Api, Guesses},
    },
    jobs::{
        contact::{Backoff, Contact, Work},
        runner::Runner,
    },
    schedule::Schedule,
    shutdown::{Shutdown, pause},
    store::{Db, Engine},
    telemetry::Log,
};

mod reload;
mod systemd;

/// How long a stop waits for what is under way.
const GRACE: Duration = Duration::from_secs(30);

/// Reads the configuration anew, from where it came.
pub type Reread = Arc<dyn Fn() -> Result<Loaded, ConfigErrors> + Send + Sync>;

/// What a daemon begins with.
#[derive(Clone)]
pub struct Boot {
    /// The configuration.
    pub loaded: Loaded,
    /// Where systemd puts secrets.
    pub credentials: Option<PathBuf>,
    /// How a reload reads the configuration.
    pub reread: Reread,
    /// The log, whose filter a reload changes.
    pub log: Option<Log>,
}

impl Boot {
    /// A daemon whose configuration is always `loaded`: there is nothing to read anew.
    pub fn fixed(loaded: Loaded) -> Self {
        let same = loaded.clone();
        Self { loaded, credentials: None, reread: Arc::new(move || Ok(same.clone())), log: None }
    }
}

/// Runs the daemon until a signal stops it.
///
/// A database that cannot be reached is waited for, and so is a schema that somebody else has to
/// bring up to date; every other mistake is an error. SIGHUP reads the configuration anew.
///
/// # Errors
/// If the daemon cannot start, or had to stop before everything was finished.
pub async fn run(boot: Boot) -> anyhow::Result<()> {
    run_until(boot, &Shutdown::new(), |_| ()).await
}

/// As [`run`], but stops with `shutdown` too, and calls `on_listening` with the address that HTTP
/// is served on.
///
/// # Errors
/// As [`run`].
pub async fn run_until(
    boot: Boot,
    shutdown: &Shutdown,
    on_listening: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let listen = boot.loaded.config.http.listen;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("listen on http.listen = \"{listen}\""))?;
    let address = listener.local_addr().context("read the address that is listened on")?;
    let heartbeat = Heartbeat::new();
    let vitals = Vitals::new(heartbeat.clone(), shutdown.clone());
    let config = &boot.loaded.config.http;
    let proxies = Proxies::new(&config.proxies());
    let guesses = Guesses::new(proxies.clone(), config.guesses_per_second);
    let (pages, api) = (Pages::new(shutdown.clone()), Api::new(shutdown.clone(), guesses));
    let paces = Paces::new(proxies);
    let router = http::whole(vitals.clone(), pages.clone(), api.clone(), paces);
    shutdown.tracker.spawn(http::serve(listener, router, shutdown.clone()));
    systemd::follow(heartbeat.clone(), shutdown);
    if let Some(log) = boot.log.clone() {
        if log.has_collector() {
            vitals.spans_are_collected();
        }
        shutdown.tracker.spawn(log.export(shutdown.token.clone()));
    }
    let reloader = Reloader::new(boot, heartbeat.clone(), shutdown.clone(), address);
    reloader.follow().context("listen for signals")?;
    info!(http = %address, "Listening");
    on_listening(address);

    let start = Start {
        reloader,
        shutdown: shutdown.clone(),
        heartbeat,
        vitals,
        pages,
        api: api.clone(),
        address,
    };
    // In a task of its own, so that a signal is heard while the database is awaited.
    let started = shutdown.tracker.spawn(start.begin());
    let is_finished = shutdown.wait(GRACE).await.context("listen for signals")?;
    // A start that failed is the better reason, where there are two.
    let db = match is_finished || started.is_finished() {
        true => started.await.context("start the daemon")??,
        false => None,
    };
    if !is_finished {
        bail!("the daemon stopped before everything was finished");
    }
    if let Some(db) = db {
        api.flush().await;
        db.close().await?;
    }
    info!("Stopped lapsed; everything was finished");
    Ok(())
}

/// What a start needs.
struct Start {
    reloader: Arc<Reloader>,
    shutdown: Shutdown,
    heartbeat: Heartbeat,
    vitals: Vitals,
    pages: Pages,
    api: Api,
    address: SocketAddr,
}

impl Start {
    /// Starts everything, or stops the daemon.
    async fn begin(self) -> anyhow::Result<Option<Db>> {
        // Dropped by a panic too.
        let stop = self.shutdown.token.clone().drop_guard();
        let started = self.everything().await?;
        stop.disarm();
        Ok(started)
    }

    /// Starts everything that needs the database. `None` if a stop came first.
    async fn everything(&self) -> anyhow::Result<Option<Db>> {
        let Some(app) = self.reach().await? else { return Ok(None) };
        let config = app.config();
        let keyring = app.keyring().context("read the master key")?;
        let runner = Runner::new(app.deps()?, config.jobs.time_limit.get(), self.shutdown.clone());
        self.vitals.reached(runner.clone());
        let (db, brand) = (app.db.clone(), app.brand);
        let house = Arc::new(House { db, runner: runner.clone(), brand, keyring });
        self.pages.reached(house.clone());
        self.api.reached(house);
        let heartbeat = self.heartbeat.clone();
        let schedule =
            Schedule::start(&runner, &config.schedule, heartbeat, &self.shutdown).await?;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            database = engine_name(app.db.engine()),
            mail = mail_goes_to(config),
            http = %self.address,
            "Started lapsed"
        );
        let db = app.db.clone();
        let ping = app.ping()?.map(|ping| ping.follow(runner.clone(), &self.shutdown));
        self.reloader.started(Working { app, runner, schedule, ping }).await;
        Ok(Some(db))
    }

    /// Opens the database, as often as it takes, until its schema is this program's. `None` if a
    /// stop came first.
    async fn reach(&self) -> anyhow::Result<Option<App>> {
        let (contact, mut backoff) = (Contact::default(), Backoff::default());
        let mut is_schema_awaited = false;
        loop {
            let work = Work { began: Instant::now(), has_written: true };
            let Some(opened) = self.open().await else { return Ok(None) };
            let is_away = contact.note(&opened, work);
            let wait = match opened.as_ref().err().and_then(|error| error.downcast_ref()) {
                // Somebody is at it, or will be: it takes no longer than a few statements.
                Some(SchemaBehind { n_pending }) => {
                    if !std::mem::replace(&mut is_schema_awaited, true) {
                        warn!(
                            n_pending,
                            "Waiting for `lapsed db migrate`: the database's schema is older than \
                             this program"
                        );
                    }
                    backoff.reached();
                    backoff.failed(rand::random())
                }
                None if is_away => backoff.failed(rand::random()),
                None => return opened.map(Some),
            };
            // Shorter than the five minutes after which a loop counts as standing still.
            if !pause(&self.shutdown.token, wait).await {
                return Ok(None);
            }
        }
    }

    /// Tries to open the database, and beats the heart meanwhile. `None` if a stop came first.
    async fn open(&self) -> Option<anyhow::Result<App>> {
        let (loaded, credentials) = self.reloader.configuration();
        // A task of its own, since it must not be dropped half-way.
        let open = async move { App::open(loaded, credentials.as_deref()).await };
        let mut opening = self.shutdown.tracker.spawn(open);
        loop {
            self.heartbeat.beat();
            systemd::waiting();
            tokio::select! {
                opened = &mut opening => {
                    return Some(opened.context("open the database").and_then(|opened| opened));
                }
                goes_on = pause(&self.shutdown.token, Duration::from_secs(1)) => {
                    if !goes_on {
                        return None;
                    }
                }
            }
        }
    }
}

/// An engine's name for people.
fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "SQLite",
        Engine::Postgres => "PostgreSQL",
        Engine::MariaDb => "MariaDB/MySQL",
    }
}

/// Where mails go, for people.
fn mail_goes_to(config: &Config) -> String {
    match config.mail.transport {
        Transport::File => format!("files in {}", config.mail.folder.display()),
        Transport::Smtp => format!("{}:{}", config.smtp.host, config.smtp.port()),
    }
}

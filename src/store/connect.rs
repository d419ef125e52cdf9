//! One database on one of three engines, and its transactions.

use std::{ops::Deref, path::Path, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sqlx::{
        Executor as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{clock::Clock, crash, meter::Meter, store::StoreError};

/// The engines there are. They differ in a few statements, and in what they can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded: one machine, one daemon, one writer at a time.
    Sqlite,
    /// PostgreSQL 14 or later.
    Postgres,
    /// MariaDB 10.6 or later, or MySQL 8.
    MariaDb,
}

impl Engine {
    /// Reads the scheme of `url`.
    ///
    /// # Errors
    /// [`StoreError::Url`] for any other scheme.
    pub fn of_url(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(Self::Sqlite),
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            Some("mysql" | "mariadb") => Ok(Self::MariaDb),
            _ => Err(StoreError::Url(
                "must begin with `sqlite:`, `postgres:`, `mysql:` or `mariadb:`".to_owned(),
            )),
        }
    }
}

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is, without the password.
    pub url: String,
    /// The password, if the server wants one.
    pub password: Option<SecretString>,
    /// The most connections held at a time.
    pub max_connections: u32,
    /// How long a statement waits for a free connection.
    pub acquire_timeout: Duration,
}

/// The database, as everybody holds it. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    conn: DatabaseConnection,
    engine: Engine,
    /// The clock that decides where the engine has none, or where a test wants its own.
    clock: Option<Arc<dyn Clock>>,
    /// SQLite has one writer at a time. Those who wait for it in this process queue here, in
    /// order, instead of asking again and again.
    writer: Arc<Mutex<()>>,
    meter: Arc<Meter>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The connection's own Debug may hold the URL.
        f.debug_struct("Db").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Db {
    /// Connects. `clock` decides on SQLite; a server's own clock decides otherwise, unless the
    /// clock is `forced` (tests, `lapsed demo`).
    ///
    /// # Errors
    /// [`StoreError::Url`] for a URL that cannot be used, else as the database answers.
    pub async fn connect(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        is_forced: bool,
    ) -> Result<Self, StoreError> {
        let engine = Engine::of_url(&settings.url)?;
        let mut options = ConnectOptions::new(full_url(settings)?);
        options
            .max_connections(settings.max_connections.max(1))
            .min_connections(1)
            .acquire_timeout(settings.acquire_timeout)
            .max_lifetime(Duration::from_secs(1800))
            .test_before_acquire_if_idle_for(Duration::from_secs(5))
            .sqlx_logging(false);
        tune(&mut options, server_port(&settings.url, engine));
        let mut conn = Database::connect(options).await.map_err(StoreError::during("connect"))?;
        let meter = Arc::new(Meter::new());
        let counted = meter.clone();
        conn.set_metric_callback(move |info| {
            counted.statement(&info.statement.sql, info.elapsed, info.failed);
        });
        let clock = (is_forced || engine == Engine::Sqlite).then_some(clock);
        Ok(Self { conn, engine, clock, writer: Arc::default(), meter })
    }

    /// For reads, and for single statements that need no transaction.
    pub fn conn(&self) -> &DatabaseConnection {
        &self.conn
    }

    /// Which engine it is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Whether one transaction writes at a time, and keeps all others waiting.
    pub fn has_one_writer(&self) -> bool {
        self.engine == Engine::Sqlite
    }

    /// What this process counts as it works.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Whether the time that decides is not this machine's.
    pub fn has_own_clock(&self) -> bool {
        self.clock.is_none()
    }

    /// The clock to go by, where the database's own is not.
    pub(super) fn host_clock(&self) -> Option<&dyn Clock> {
        self.clock.as_deref()
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let mut options = TransactionOptions::default();
        let mut turn = None;
        if self.engine == Engine::Sqlite {
            turn = Some(self.writer.clone().lock_owned().await);
            // A transaction that begins by reading and then writes fails at once when somebody
            // else has written meanwhile; this one takes the write lock first, and waits for it.
            options.sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        }
        let tx = self.conn.begin_with_options(options).await;
        let tx = tx.map_err(StoreError::during("begin a transaction"))?;
        Ok(Tx { tx, meter: self.meter.clone(), _turn: turn })
    }

    /// Closes all connections, after what is under way.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.conn.clone().close().await.map_err(StoreError::during("close the database"))
    }
}

/// A transaction that writes. Dropped without [`Tx::commit`], it leaves nothing.
pub struct Tx {
    tx: DatabaseTransaction,
    meter: Arc<Meter>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Tx {
    /// What this process counts as it works.
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Makes everything in it true at once.
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`] it is unknown whether it was made true.
    pub async fn commit(self) -> Result<(), StoreError> {
        crash::point();
        let committed = self.tx.commit().await.map_err(StoreError::during("commit"));
        crash::point();
        committed
    }

    /// Leaves nothing, and waits until that is so: a transaction that is only dropped is undone at
    /// some later moment, and its rows are locked until then.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn undo(self) -> Result<(), StoreError> {
        self.tx.rollback().await.map_err(StoreError::during("undo a transaction"))
    }
}

impl Deref for Tx {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.tx
    }
}

/// The engine of a connection, for statements.
pub(super) fn engine_of(backend: DbBackend) -> Engine {
    match backend {
        DbBackend::Sqlite => Engine::Sqlite,
        DbBackend::Postgres => Engine::Postgres,
        _ => Engine::MariaDb,
    }
}

/// The URL with the password in its place; for SQLite, with its folder made.
fn full_url(settings: &Settings) -> Result<String, StoreError> {
    let url = settings.url.as_str();
    if Engine::of_url(url)? == Engine::Sqlite {
        let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
        let path = path.split('?').next().unwrap_or_default();
        if let Some(folder) = Path::new(path).parent().filter(|_| !path.starts_with(':')) {
            std::fs::create_dir_all(folder).map_err(|error| {
                StoreError::Url(format!("needs the folder {}: {error}", folder.display()))
            })?;
        }
        return Ok(url.to_owned());
    }
    let url = url.replacen("mariadb:", "mysql:", 1);
    let Some(password) = &settings.password else { return Ok(url) };
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| StoreError::Url("has no `//` after its scheme".to_owned()))?;
    let (user, rest) = rest.split_once('@').ok_or_else(|| {
        StoreError::Url("has no user name, but database.password_file is set".to_owned())
    })?;
    Ok(format!("{scheme}://{user}:{}@{rest}", percent_encode(password.expose_secret())))
}

/// The port of the server in `url`, or the usual one.
fn server_port(url: &str, engine: Engine) -> u16 {
    let usual = if engine == Engine::Postgres { 5432 } else { 3306 };
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let server = rest.split(['/', '?']).next().unwrap_or_default();
    server.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(usual)
}

/// Everything but unreserved characters as `%XX` (RFC 3986 section 2.1).
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// What each engine needs so that nothing waits for ever and nothing committed is lost.
///
/// Nor does a statement wait for Nagle's algorithm: sqlx 0.9.0 leaves it on, and the end of a large
/// batch would wait for 40 ms.
fn tune(options: &mut ConnectOptions, port: u16) {
    options
        .map_sqlx_postgres_pool_opts(move |options| {
            options.after_connect(move |_, _| {
                nodelay::set(port);
                Box::pin(async { Ok(()) })
            })
        })
        .map_sqlx_sqlite_opts(|options| {
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // A commit that was answered survives a power cut: the outbox promises that.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(5))
                .foreign_keys(true)
                .pragma("journal_size_limit", "67108864")
                .pragma("cache_size", "-16384")
                .optimize_on_close(true, None)
        })
        .map_sqlx_postgres_opts(|options| {
            options.application_name("lapsed").options([
                ("statement_timeout", "30000"),
                ("lock_timeout", "5000"),
                ("idle_in_transaction_session_timeout", "10000"),
                // What a batch reads lies close together and is in memory. By the usual 4, a
                // thousand rows found by their numbers cost more than all rows.
                ("random_page_cost", "1.1"),
            ])
        })
        .map_sqlx_mysql_pool_opts(move |options| {
            options.after_connect(move |conn, _| {
                nodelay::set(port);
                Box::pin(async move {
                    conn.execute(MARIADB_SESSION).await?;
                    conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                    Ok(())
                })
            })
        });
}

/// Time limits in seconds. MySQL has only the first one, and takes the rest for a comment. A daemon
/// that freezes in the middle of a transaction would hold its rows for hours: only MariaDB can be
/// told to put it out. (Under READ COMMITTED a claim locks the rows it returns, and not the gaps between them, into
/// which other daemons want to insert.)
pub(super) const MARIADB_SESSION: &str = "SET SESSION innodb_lock_wait_timeout = 5 \
     /*M! , max_statement_time = 30, idle_transaction_timeout = 10 */";

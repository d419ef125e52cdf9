//! One database on one of three engines, and its transactions.

use std::{ops::Deref, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use secrecy::SecretString;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{clock::Clock, crash, meter::Meter, store::StoreError};

mod options;

pub(super) use options::MARIADB_SESSION;
use options::{full_url, is_in_memory, server_port, tune};

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
    /// Where transactions begin. SQLite's have a connection of their own: the pages that it has read
    /// stay true as long as nobody else writes, and hardly anybody else does.
    writing: DatabaseConnection,
    engine: Engine,
    /// The clock that decides where the engine has none, or where a test wants its own.
    clock: Option<Arc<dyn Clock>>,
    /// SQLite has one writer at a time. Those who wait for it in this process queue here, in
    /// order, instead of asking again and again.
    writer: Arc<Mutex<Writer>>,
    meter: Arc<Meter>,
}

/// What SQLite's writer has been told.
#[derive(Debug, Default)]
struct Writer {
    /// Whether it does not wait for the disk when it commits.
    is_ahead: bool,
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
        let meter = Arc::new(Meter::new());
        let conn = pool(options.clone(), &meter).await?;
        let writing = if engine == Engine::Sqlite && !is_in_memory(&settings.url) {
            pool(options.max_connections(1).clone(), &meter).await?
        } else {
            conn.clone()
        };
        let clock = (is_forced || engine == Engine::Sqlite).then_some(clock);
        Ok(Self { conn, writing, engine, clock, writer: Arc::default(), meter })
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

    /// Whether a statement that changes rows also locks, for a moment, those that it only comes by
    /// on its way. Another that passes over locked rows then misses some that nobody changes.
    pub fn locks_what_it_passes(&self) -> bool {
        self.engine == Engine::MariaDb
    }

    /// Whether a changed row is written anew at another place, with all its index entries, and not
    /// only where it changed. A change then reads and writes many pages.
    pub fn moves_what_it_changes(&self) -> bool {
        self.engine == Engine::Postgres
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
        self.begin_ahead(false).await
    }

    /// Begins a transaction whose commit, on SQLite, `is_ahead` of the disk.
    async fn begin_ahead(&self, is_ahead: bool) -> Result<Tx, StoreError> {
        let mut options = TransactionOptions::default();
        let mut turn = None;
        if self.engine == Engine::Sqlite {
            let mut writer = self.writer.clone().lock_owned().await;
            if writer.is_ahead != is_ahead {
                let level = if is_ahead { "NORMAL" } else { "FULL" };
                let told = format!("PRAGMA synchronous = {level}");
                let told = self.writing.execute_unprepared(&told).await;
                told.map_err(StoreError::during("begin a transaction"))?;
                writer.is_ahead = is_ahead;
            }
            turn = Some(writer);
            // A transaction that begins by reading and then writes fails at once when somebody
            // else has written meanwhile; this one takes the write lock first, and waits for it.
            options.sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        }
        let tx = self.writing.begin_with_options(options).await;
        let tx = tx.map_err(StoreError::during("begin a transaction"))?;
        Ok(Tx { tx, meter: self.meter.clone(), _turn: turn })
    }

    /// Begins a transaction that writes one step of a run, and reads the time that decides.
    ///
    /// PostgreSQL and SQLite answer its commit before it is on the disk, so that no step waits there for
    /// the one before. A crash of the server, or of SQLite's machine, undoes it only together with
    /// everything that was committed after it, since both write one log in order: once the run is in
    /// the history, whose commit does wait, all its steps are safe.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn begin_step(&self) -> Result<(Tx, DateTime<Utc>), StoreError> {
        let tx = self.begin_ahead(true).await?;
        let now = self.now_of_step(&*tx).await?;
        Ok((tx, now))
    }

    /// Closes all connections, after what is under way.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn close(&self) -> Result<(), StoreError> {
        for conn in [&self.writing, &self.conn] {
            conn.clone().close().await.map_err(StoreError::during("close the database"))?;
        }
        Ok(())
    }
}

/// Opens connections whose statements `meter` counts.
async fn pool(
    options: ConnectOptions,
    meter: &Arc<Meter>,
) -> Result<DatabaseConnection, StoreError> {
    let mut conn = Database::connect(options).await.map_err(StoreError::during("connect"))?;
    let meter = meter.clone();
    conn.set_metric_callback(move |info| {
        meter.statement(&info.statement.sql, info.elapsed, info.failed);
    });
    Ok(conn)
}

/// A transaction that writes. Dropped without [`Tx::commit`], it leaves nothing.
pub struct Tx {
    tx: DatabaseTransaction,
    meter: Arc<Meter>,
    _turn: Option<OwnedMutexGuard<Writer>>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, store::sql::Sql};

    async fn in_memory() -> Db {
        at("sqlite::memory:").await
    }

    async fn at(url: &str) -> Db {
        let settings = Settings {
            url: url.to_owned(),
            password: None,
            max_connections: 2,
            acquire_timeout: Duration::from_secs(5),
        };
        Db::connect(&settings, Arc::new(SystemClock), false).await.unwrap()
    }

    /// What .cargo/config.toml asks for.
    #[tokio::test]
    async fn sqlite_is_built_as_it_is_fast() {
        let db = in_memory().await;
        let rows = Sql::new(db.conn(), "read").push("PRAGMA compile_options").all(db.conn()).await;
        let options: Vec<String> =
            rows.unwrap().iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
        let has = |option: &str| options.iter().any(|one| one == option);
        assert!(has("DEFAULT_MEMSTATUS=0"), "{options:?}");
        assert!(has("STMTJRNL_SPILL=-1"), "{options:?}");
        assert!(!has("ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
    }

    #[tokio::test]
    async fn only_a_step_does_not_wait_for_the_disk() {
        const AHEAD: i32 = 1;
        const FULL: i32 = 2;
        let folder = tempfile::tempdir().unwrap();
        let db = at(&format!("sqlite://{}/db", folder.path().display())).await;
        let level = async |tx: Tx| {
            let row = Sql::new(&*tx, "read").push("PRAGMA synchronous").one(&*tx).await;
            let level: i32 = row.unwrap().unwrap().try_get_by_index(0).unwrap();
            tx.commit().await.unwrap();
            level
        };
        assert_eq!(level(db.begin().await.unwrap()).await, FULL);
        for _ in 0..2 {
            assert_eq!(level(db.begin_step().await.unwrap().0).await, AHEAD);
        }
        assert_eq!(level(db.begin().await.unwrap()).await, FULL);
        drop(db.begin_step().await.unwrap());
        assert_eq!(level(db.begin().await.unwrap()).await, FULL, "after one that was dropped");
        db.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_in_memory_is_written_where_it_is_read() {
        let db = in_memory().await;
        let tx = db.begin().await.unwrap();
        Sql::new(&*tx, "write").push("CREATE TABLE here (n INTEGER)").execute(&*tx).await.unwrap();
        tx.commit().await.unwrap();
        let sql = Sql::new(db.conn(), "read").push("SELECT COUNT(*) FROM here");
        let row = sql.one(db.conn()).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0);
        db.close().await.unwrap();
    }
}

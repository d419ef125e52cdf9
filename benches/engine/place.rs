//! Databases to measure in: made for one measurement, dropped after it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use lapsed::{
    clock::SystemClock,
    store::{Db, Engine, Settings, sql::Sql},
};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};

use crate::args::Args;

/// A database that nobody else uses.
#[derive(Debug)]
pub(crate) struct Place {
    /// On which engine.
    pub(crate) engine: Engine,
    /// How to reach it.
    pub(crate) url: String,
    /// One connection of its own, for filling and for the references. It has no time limits.
    pub(crate) conn: DatabaseConnection,
    /// The server's own database, and our name on it.
    server: Option<(String, String)>,
    /// SQLite's folder; it goes with this.
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    /// Makes an empty database with the schema in it.
    pub(crate) async fn make(args: &Args, engine: Engine) -> anyhow::Result<Self> {
        let name = format!("lapsed_bench_{:08x}", rand::random::<u32>());
        let (url, server, folder) = match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().context("make a folder")?;
                let url = format!("sqlite://{}", folder.path().join("bench.db").display());
                (url, None, Some(folder))
            }
            Engine::Postgres => {
                let server = (format!("{}/postgres", args.postgres), name.clone());
                (format!("{}/{name}", args.postgres), Some(server), None)
            }
            Engine::MariaDb => {
                let server = (format!("{}/mysql", args.mariadb), name.clone());
                (format!("{}/{name}", args.mariadb), Some(server), None)
            }
        };
        if let Some((server, name)) = &server {
            once(server, &format!("CREATE DATABASE {name}")).await?;
        }
        let db = open(&url).await?;
        db.migrate().await.context("make the schema")?;
        db.close().await?;
        let conn = bare(&url).await?;
        if engine == Engine::MariaDb {
            // As the daemon has it.
            conn.execute_unprepared("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                .await?;
        }
        if engine == Engine::Sqlite {
            conn.execute_unprepared("PRAGMA temp_store = MEMORY").await?;
        }
        Ok(Self { engine, url, conn, server, _folder: folder })
    }

    /// Connects to it as the daemon does, which has been there for a while: its connections are
    /// open, like the one of the reference.
    pub(crate) async fn open(&self) -> anyhow::Result<Db> {
        let db = open(&self.url).await?;
        if !db.has_one_writer() {
            let (first, second, third) = tokio::try_join!(db.begin(), db.begin(), db.begin())?;
            for tx in [first, second, third] {
                tx.undo().await?;
            }
        }
        Ok(db)
    }

    /// Another connection to it, which makes and drops nothing.
    pub(crate) async fn twin(&self) -> anyhow::Result<Self> {
        let (engine, url) = (self.engine, self.url.clone());
        Ok(Self { engine, conn: bare(&url).await?, url, server: None, _folder: None })
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, statement: &str) -> anyhow::Result<()> {
        let done = self.conn.execute_unprepared(statement).await;
        done.map(drop).with_context(|| format!("run `{}`", head(statement)))
    }

    /// All rows of a query, a line each.
    pub(crate) async fn lines(&self, query: &str) -> anyhow::Result<Vec<String>> {
        let rows = Sql::new(&self.conn, "read").push(query).all(&self.conn).await?;
        let line = |row: &sea_orm::QueryResult| row.try_get_by_index::<String>(0);
        let lines: Result<_, _> = rows.iter().map(line).collect();
        lines.with_context(|| format!("read `{}`", head(query)))
    }

    /// The number that a query answers.
    pub(crate) async fn number(&self, query: &str) -> anyhow::Result<i64> {
        let row = Sql::new(&self.conn, "read").push(query).one(&self.conn).await?;
        let row = row.with_context(|| format!("no row from `{}`", head(query)))?;
        row.try_get_by_index(0).with_context(|| format!("read `{}`", head(query)))
    }

    /// Puts the tables in order after much was changed, as an idle night does: what the last
    /// round left behind must not be paid by the next.
    pub(crate) async fn tidy(&self) -> anyhow::Result<()> {
        match self.engine {
            Engine::Sqlite => {
                self.execute("ANALYZE").await?;
                self.execute("PRAGMA wal_checkpoint(TRUNCATE)").await
            }
            Engine::Postgres => {
                self.execute("VACUUM (ANALYZE)").await?;
                self.execute("CHECKPOINT").await
            }
            Engine::MariaDb => {
                self.execute("ANALYZE TABLE api_keys, notices, messages").await?;
                self.settle().await
            }
        }
    }

    /// Waits until InnoDB has cleared away what nobody can see any more.
    async fn settle(&self) -> anyhow::Result<()> {
        let query = "SELECT CAST(VARIABLE_VALUE AS SIGNED) \
                     FROM information_schema.GLOBAL_STATUS \
                     WHERE VARIABLE_NAME = 'INNODB_HISTORY_LIST_LENGTH'";
        for _ in 0..120 {
            if self.number(query).await? < 1_000 {
                break;
            }
            crate::measure::wait(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Drops it.
    pub(crate) async fn drop(self) -> anyhow::Result<()> {
        self.conn.close().await?;
        let Some((server, name)) = self.server else { return Ok(()) };
        let force = if self.engine == Engine::Postgres { " WITH (FORCE)" } else { "" };
        once(&server, &format!("DROP DATABASE {name}{force}")).await
    }
}

/// Does `work` in a database of its own, which is dropped whether it goes well or not.
pub(crate) async fn within<T>(
    args: &Args,
    engine: Engine,
    work: impl AsyncFnOnce(&Place) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let place = Place::make(args, engine).await.context("make a database")?;
    let result = work(&place).await;
    place.drop().await.context("drop the database")?;
    result
}

async fn open(url: &str) -> anyhow::Result<Db> {
    let settings = Settings {
        url: url.to_owned(),
        password: None,
        max_connections: 8,
        acquire_timeout: Duration::from_secs(5),
    };
    Db::connect(&settings, Arc::new(SystemClock), false).await.context("connect")
}

/// One connection with nothing between us and the server. SQLite keeps its promises in the same
/// way as for the daemon.
async fn bare(url: &str) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false).map_sqlx_sqlite_opts(|options| {
        options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(60))
            .foreign_keys(true)
            .pragma("journal_size_limit", "67108864")
            .pragma("cache_size", "-16384")
            .pragma("wal_autocheckpoint", "8000")
    });
    Ok(Database::connect(options).await?)
}

async fn once(url: &str, statement: &str) -> anyhow::Result<()> {
    let conn = bare(url).await.with_context(|| format!("connect to {url}"))?;
    conn.execute_unprepared(statement).await.with_context(|| format!("run `{statement}`"))?;
    Ok(conn.close().await?)
}

/// Enough of a statement to know it by.
fn head(statement: &str) -> String {
    statement.chars().take(80).collect()
}

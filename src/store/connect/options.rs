//! Where a database is, and what each engine needs so that nothing waits for ever and nothing
//! committed is lost.

use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectOptions,
    sqlx::{
        Connection as _, Executor as _,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use secrecy::ExposeSecret;

use crate::store::{
    StoreError,
    connect::{Engine, Settings},
};

/// Whether each pool of connections would see a database of its own.
pub(super) fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// The URL with the password in its place; for SQLite, with its folder made.
pub(super) fn full_url(settings: &Settings) -> Result<String, StoreError> {
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
pub(super) fn server_port(url: &str, engine: Engine) -> u16 {
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
pub(super) fn tune(options: &mut ConnectOptions, port: u16) {
    options
        .map_sqlx_postgres_pool_opts(move |options| {
            options.after_connect(move |_, _| {
                nodelay::set(port);
                Box::pin(async { Ok(()) })
            })
        })
        .map_sqlx_sqlite_pool_opts(|options| {
            // A full disk makes SQLite undo a transaction by itself. The driver, whose own undoing then
            // fails, takes it for open still, and would begin the next one inside of it.
            options.after_release(|conn, _| {
                Box::pin(async move {
                    if conn.is_in_transaction() {
                        // After what is under way.
                        conn.ping().await?;
                    }
                    Ok(!conn.is_in_transaction())
                })
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
                // 32 MB. By the usual 1,000 pages, a sweep copies the same pages of its indexes into
                // the file every fourth batch, and waits for the disk each time.
                .pragma("wal_autocheckpoint", "8000")
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
pub(in crate::store) const MARIADB_SESSION: &str = "SET SESSION innodb_lock_wait_timeout = 5 \
     /*M! , max_statement_time = 30, idle_transaction_timeout = 10 */";

//! The least that could answer: axum as it comes, the very read of a verification by sqlx, and no
//! secret is compared. Connections are not asked whether they are alive before each use, as the daemon's are
//! not either.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use sea_orm::sqlx::{
    self, PgPool, Row as _, SqlitePool, postgres::PgPoolOptions, sqlite::SqlitePoolOptions,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::house::CONNECTIONS;

/// Where the read has a key's state, and its expiry.
const STATE: usize = 4;
const EXPIRES_AT: usize = 6;

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A server with one handler.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
}

#[derive(Deserialize)]
struct Presented {
    key: String,
}

#[derive(Serialize)]
struct Answer {
    valid: bool,
    state: i16,
    expires_at: Option<i64>,
}

impl Bare {
    /// Serves the keys of the database under `url`, which `read` reads.
    pub(crate) async fn serve(
        url: &str,
        read: &'static str,
        tracker: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let pool = if url.starts_with("sqlite") {
            let options =
                SqlitePoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
            Pool::Sqlite(options.connect(url).await?)
        } else {
            let options =
                PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
            Pool::Postgres(options.connect(url).await?)
        };
        let router = Router::new().route("/verify", post(verify)).with_state((pool, read));
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr()?;
        // It ends with the program.
        tracker.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address })
    }
}

async fn verify(
    State((pool, read)): State<(Pool, &'static str)>,
    Json(presented): Json<Presented>,
) -> Result<Json<Answer>, StatusCode> {
    let id = presented.key.get(9..21).ok_or(StatusCode::BAD_REQUEST)?;
    let found = match &pool {
        Pool::Sqlite(pool) => {
            let rows = sqlx::query(read).bind(id).fetch_all(pool).await;
            rows.map(|rows| rows.first().map(|row| (row.get(STATE), row.get(EXPIRES_AT))))
        }
        Pool::Postgres(pool) => {
            let rows = sqlx::query(read).bind(id).fetch_all(pool).await;
            rows.map(|rows| rows.first().map(|row| (row.get(STATE), row.get(EXPIRES_AT))))
        }
    };
    let found: Option<(i16, Option<i64>)> = found.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (state, expires_at) = found.ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(Answer { valid: state == 1, state, expires_at }))
}

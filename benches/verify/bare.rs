//! The least that could answer: axum as it comes, one indexed read by sqlx, and no secret is
//! compared. Connections are not asked whether they are alive before each use, as the daemon's are
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

const SQLITE: &str = "SELECT s.mac, s.valid_until, k.state, k.expires_at FROM api_keys k \
                      JOIN key_secrets s ON s.key_id = k.id WHERE k.public_id = ?";
const POSTGRES: &str = "SELECT s.mac, s.valid_until, k.state, k.expires_at FROM api_keys k \
                        JOIN key_secrets s ON s.key_id = k.id WHERE k.public_id = $1";

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
    /// Serves the keys of the database under `url`.
    pub(crate) async fn serve(url: &str, tracker: &TaskTracker) -> anyhow::Result<Self> {
        let pool = if url.starts_with("sqlite") {
            let options =
                SqlitePoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
            Pool::Sqlite(options.connect(url).await?)
        } else {
            let options =
                PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
            Pool::Postgres(options.connect(url).await?)
        };
        let router = Router::new().route("/verify", post(verify)).with_state(pool);
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr()?;
        // It ends with the program.
        tracker.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address })
    }
}

async fn verify(
    State(pool): State<Pool>,
    Json(presented): Json<Presented>,
) -> Result<Json<Answer>, StatusCode> {
    let id = presented.key.get(9..21).ok_or(StatusCode::BAD_REQUEST)?;
    let found = match &pool {
        Pool::Sqlite(pool) => {
            let query = sqlx::query(SQLITE).bind(id);
            query.fetch_optional(pool).await.map(|row| row.map(|row| (row.get(2), row.get(3))))
        }
        Pool::Postgres(pool) => {
            let query = sqlx::query(POSTGRES).bind(id);
            query.fetch_optional(pool).await.map(|row| row.map(|row| (row.get(2), row.get(3))))
        }
    };
    let found: Option<(i16, Option<i64>)> = found.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (state, expires_at) = found.ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(Answer { valid: state == 1, state, expires_at }))
}

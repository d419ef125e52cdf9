//! Health: whether the daemon should be restarted, and whether it should get requests.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::http::{
    problem::Problem,
    readiness::{Report, Status},
    vitals::Vitals,
};

/// `GET /livez`: 200 while the daemon's loop goes round. Never asks the database: a restart heals
/// no database.
pub(super) async fn livez(State(vitals): State<Vitals>) -> Response {
    match vitals.standstill() {
        None => "ok\n".into_response(),
        Some(standstill) => {
            let detail = format!("the loop has stood still for {} s", standstill.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}

/// `GET /readyz`: 200 while requests make sense, with the reasons either way.
pub(super) async fn readyz(State(vitals): State<Vitals>) -> (StatusCode, Json<Report>) {
    let report = vitals.evidence().await.report();
    let status = match report.status {
        Status::Ready | Status::Degraded => StatusCode::OK,
        Status::Unready => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(report))
}

//! Metrics, for a scraper.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use tracing::error;

use crate::{
    http::{problem::Problem, vitals::Vitals},
    metrics::Format,
};

/// `GET /metrics`: OpenMetrics for whoever asks for it, else the text format of Prometheus.
pub(super) async fn metrics(State(vitals): State<Vitals>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    match vitals.scrape().await.page(format) {
        Ok(page) => ([(header::CONTENT_TYPE, format.content_type())], page).into_response(),
        Err(error) => {
            error!("Failed to write the metrics: {error}");
            let detail = "the metrics could not be written";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        }
    }
}

//! Spans as a collector of OpenTelemetry takes them: OTLP over HTTP, in its JSON form
//! (opentelemetry-proto, `ExportTraceServiceRequest`). Nothing waits for the collector, and what it
//! does not take is left out.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    fetch::Fetcher,
    meter::Counter,
    shutdown::pause,
    telemetry::spans::{Collector, Span},
};

/// How long spans are gathered before they are sent.
const EVERY: Duration = Duration::from_secs(5);
/// How many are sent at once at most.
const BATCH: usize = 512;
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends spans to a collector.
pub(super) struct Exporter {
    fetcher: Fetcher,
    spans: mpsc::Receiver<Span>,
    n_dropped: Arc<Counter>,
    was_taken: bool,
}

impl Exporter {
    /// An exporter to `url`, and what collects for it.
    ///
    /// # Errors
    /// If that cannot be fetched.
    pub(super) fn new(url: &str) -> anyhow::Result<(Self, Collector)> {
        let fetcher = Fetcher::new(url)?;
        let (collector, spans, n_dropped) = Collector::new();
        Ok((Self { fetcher, spans, n_dropped, was_taken: true }, collector))
    }

    /// Sends what was collected, every few seconds until `token` is cancelled, and then once more.
    pub(super) async fn run(mut self, token: CancellationToken) {
        while pause(&token, EVERY).await {
            self.send().await;
        }
        self.send().await;
    }

    /// Sends what there is now.
    async fn send(&mut self) {
        let mut spans = Vec::new();
        while let Ok(span) = self.spans.try_recv() {
            spans.push(span);
        }
        for spans in spans.chunks(BATCH) {
            let body = request(spans).to_string().into_bytes();
            let failure = match timeout(PATIENCE, self.fetcher.post_json(body)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {PATIENCE:?}")),
            };
            let place = self.fetcher.place();
            match (&failure, self.was_taken) {
                (None, false) => {
                    let n_dropped = self.n_dropped.read();
                    info!(n_dropped, "The collector {place} takes spans again");
                }
                (Some(error), true) => {
                    warn!(
                        "Failed to send spans to {place}; they are left out until it works: {error}"
                    );
                }
                (Some(error), false) => debug!("Failed to send spans to {place}: {error}"),
                (None, true) => {}
            }
            self.was_taken = failure.is_none();
            if !self.was_taken {
                self.n_dropped.add(spans.len() as u64);
                return;
            }
        }
    }
}

/// One request with `spans`.
fn request(spans: &[Span]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let spans: Vec<_> = spans.iter().map(worded).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            attribute("service.name", "lapsed"), attribute("service.version", version),
        ]},
        "scopeSpans": [{"scope": {"name": "lapsed", "version": version}, "spans": spans}],
    }]})
}

fn worded(span: &Span) -> Value {
    let said =
        |name: &str| span.fields.iter().find(|(known, _)| *known == name).map(|(_, said)| said);
    let part = |name| said(name).map_or("", String::as_str);
    let is_request = span.kind == "request";
    let name = match is_request {
        true => format!("{} {}", part("method"), part("route")),
        false => format!("{} {}", span.kind, part("job.name")),
    };
    let attributes: Vec<_> = span.fields.iter().map(|(name, said)| field(name, said)).collect();
    let mut worded = json!({
        "traceId": span.trace_id,
        "spanId": format!("{:016x}", span.span_id),
        "name": name.trim(),
        // SERVER, INTERNAL.
        "kind": if is_request { 2 } else { 1 },
        // Whole numbers of 64 bits are texts in JSON.
        "startTimeUnixNano": span.began_ns.to_string(),
        "endTimeUnixNano": span.ended_ns.to_string(),
        "attributes": attributes,
        // ERROR, UNSET.
        "status": {"code": if span.has_failed { 2 } else { 0 }},
    });
    if let Some(parent) = span.parent_id {
        worded["parentSpanId"] = format!("{parent:016x}").into();
    }
    worded
}

/// A field under the name that OpenTelemetry has for it, if it has one.
fn field(name: &str, said: &str) -> Value {
    match name {
        "method" => attribute("http.request.method", said),
        "route" => attribute("http.route", said),
        "status" => json!({"key": "http.response.status_code", "value": {"intValue": said}}),
        name => attribute(name, said),
    }
}

fn attribute(name: &str, said: &str) -> Value {
    json!({"key": name, "value": {"stringValue": said}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_worded_as_a_collector_reads_it() {
        let said = |text: &str| text.to_owned();
        let span = Span {
            kind: "request",
            trace_id: said("4bf92f3577b34da6a3ce929d0e0e4736"),
            span_id: 0xab,
            parent_id: Some(0xcd),
            began_ns: 1_800_000_000_000_000_001,
            ended_ns: 1_800_000_000_000_000_002,
            has_failed: true,
            is_left_out: false,
            fields: vec![
                ("request_id", said("r1")),
                ("method", said("GET")),
                ("route", said("/readyz")),
                ("status", said("503")),
            ],
        };
        let request = request(std::slice::from_ref(&span));
        let resource = &request["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "lapsed");
        let expected = json!([{
            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            "spanId": "00000000000000ab",
            "parentSpanId": "00000000000000cd",
            "name": "GET /readyz",
            "kind": 2,
            "startTimeUnixNano": "1800000000000000001",
            "endTimeUnixNano": "1800000000000000002",
            "attributes": [
                {"key": "request_id", "value": {"stringValue": "r1"}},
                {"key": "http.request.method", "value": {"stringValue": "GET"}},
                {"key": "http.route", "value": {"stringValue": "/readyz"}},
                {"key": "http.response.status_code", "value": {"intValue": "503"}},
            ],
            "status": {"code": 2},
        }]);
        assert_eq!(resource["scopeSpans"][0]["spans"], expected);
        let job =
            Span { kind: "job", fields: vec![("job.name", said("sweep"))], ..Span::default() };
        let job = worded(&job);
        assert_eq!((&job["name"], &job["kind"]), (&"job sweep".into(), &1.into()));
        assert_eq!(job.get("parentSpanId"), None);
    }
}

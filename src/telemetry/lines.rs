//! A line of the log for machines.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::{LookupSpan, Scope},
};

/// One JSON object a line. What is known of the run or the request that a line is about stands in
/// it as `job.name` or `trace_id` does in the journal, so that whoever searches needs not know
/// who wrote the line.
pub(super) struct Flat;

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    message: Option<Value>,
    target: &'a str,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for Flat
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        for span in ctx.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(known) = span.extensions().get::<FormattedFields<N>>() {
                fields.extend(read(&known.fields));
            }
        }
        let mut own = String::new();
        ctx.format_fields(Writer::new(&mut own), event)?;
        fields.extend(read(&own));
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let line = Line {
            timestamp,
            level: event.metadata().level().as_str(),
            message: fields.remove("message"),
            target: event.metadata().target(),
            fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

/// What was written as JSON by the same library a moment ago.
fn read(fields: &str) -> Map<String, Value> {
    serde_json::from_str(fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{fmt, layer::SubscriberExt as _};

    use super::*;
    use crate::telemetry::tests::Sink;

    #[test]
    fn what_is_known_of_the_run_stands_in_its_lines() {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = text.clone();
        let lines = fmt::layer().json().event_format(Flat).with_writer(move || Sink::new(&sink));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let request = tracing::info_span!("request", trace_id = "t1", n = 1);
            let job = tracing::info_span!(parent: &request, "job", job.name = "sweep", n = 2);
            job.in_scope(|| tracing::warn!(n = 3, "Looked \"at\" {}", 4));
            tracing::info!("alone");
        });
        let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [within, alone] = lines.as_slice() else { panic!("{text}") };
        assert_eq!(within["message"], "Looked \"at\" 4");
        assert_eq!((&within["level"], &within["n"]), (&"WARN".into(), &3.into()), "its own first");
        assert_eq!((&within["trace_id"], &within["job.name"]), (&"t1".into(), &"sweep".into()));
        assert!(text.starts_with("{\"timestamp\":\"2"), "{text}");
        assert_eq!(alone["message"], "alone");
        assert_eq!(alone.get("trace_id"), None);
    }
}

//! What becomes of requests and runs as spans: names, times and a few attributes, for a collector.

use std::{fmt, sync::Arc};

use tokio::sync::mpsc::{self, error::TrySendError};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::{
    clock::{Clock as _, SystemClock},
    meter::Counter,
};

/// How many spans wait to be sent at most. More are left out: what watches the work must not become
/// the work.
const QUEUE: usize = 2_048;

/// A span that has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Span {
    /// What it is a span of: `request` or `job`.
    pub(super) kind: &'static str,
    pub(super) trace_id: String,
    pub(super) span_id: u64,
    /// The span that it happened for, here or in another program.
    pub(super) parent_id: Option<u64>,
    /// Nanoseconds of the epoch.
    pub(super) began_ns: i64,
    pub(super) ended_ns: i64,
    pub(super) has_failed: bool,
    /// Whether whoever asked has decided that nobody records this trace.
    pub(super) is_left_out: bool,
    pub(super) fields: Vec<(&'static str, String)>,
}

/// Collects spans. Only those of our own count that are part of a trace.
pub(super) struct Collector {
    ended: mpsc::Sender<Span>,
    n_dropped: Arc<Counter>,
}

impl Collector {
    /// A collector, what it has collected, and how many did not find room.
    pub(super) fn new() -> (Self, mpsc::Receiver<Span>, Arc<Counter>) {
        let (ended, spans) = mpsc::channel(QUEUE);
        let n_dropped = Arc::<Counter>::default();
        (Self { ended, n_dropped: n_dropped.clone() }, spans, n_dropped)
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(place) = ctx.span(id) else { return };
        let mut span = Span {
            kind: attributes.metadata().name(),
            span_id: rand::random::<u64>().max(1),
            began_ns: now_ns(),
            ..Span::default()
        };
        // What happens within a span of ours is part of its trace.
        if let Some(parent) = place.parent()
            && let Some(parent) = parent.extensions().get::<Span>()
        {
            span.trace_id.clone_from(&parent.trace_id);
            span.parent_id = Some(parent.span_id);
            span.is_left_out = parent.is_left_out;
        }
        attributes.record(&mut span);
        place.extensions_mut().insert(span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(place) = ctx.span(id)
            && let Some(span) = place.extensions_mut().get_mut::<Span>()
        {
            values.record(span);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR
            && let Some(place) = ctx.event_span(event)
            && let Some(span) = place.extensions_mut().get_mut::<Span>()
        {
            span.has_failed = true;
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(place) = ctx.span(&id) else { return };
        let Some(mut span) = place.extensions_mut().remove::<Span>() else { return };
        if span.trace_id.is_empty() || span.is_left_out {
            return;
        }
        span.ended_ns = now_ns();
        if let Err(TrySendError::Full(_)) = self.ended.try_send(span) {
            self.n_dropped.add(1);
        }
    }
}

impl Visit for Span {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace_id" => value.clone_into(&mut self.trace_id),
            "parent_id" => self.parent_id = u64::from_str_radix(value, 16).ok(),
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        // Whoever answers so has failed; whoever asked wrongly has not.
        self.has_failed |= field.name() == "status" && 500 <= value;
        self.record_str(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.is_left_out |= field.name() == "sampled" && !value;
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn now_ns() -> i64 {
    SystemClock.now().timestamp_nanos_opt().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tracing::{error, error_span, field::Empty, info};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// The spans that end while `work` is done.
    fn spans(work: impl FnOnce()) -> (Vec<Span>, u64) {
        let (collector, mut spans, n_dropped) = Collector::new();
        let subscriber = tracing_subscriber::registry().with(collector);
        tracing::subscriber::with_default(subscriber, work);
        (std::iter::from_fn(|| spans.try_recv().ok()).collect(), n_dropped.read())
    }

    #[test]
    fn a_run_is_a_part_of_the_request_that_asked_for_it() {
        let (spans, _) = spans(|| {
            let parent = "00f067aa0ba902b7";
            let request =
                error_span!("request", trace_id = TRACE, parent_id = parent, status = Empty);
            let job = error_span!(parent: &request, "job", job.name = "sweep", trace_id = Empty);
            job.in_scope(|| error!("Failed to run job `sweep`"));
            drop(job);
            request.in_scope(|| info!("Answered a request"));
            request.record("status", 200);
        });
        let [job, request] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((job.kind, request.kind), ("job", "request"));
        assert_eq!((job.trace_id.as_str(), request.trace_id.as_str()), (TRACE, TRACE));
        assert_eq!(job.parent_id, Some(request.span_id));
        assert_eq!(request.parent_id, Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!((job.has_failed, request.has_failed), (true, false));
        assert_eq!(job.fields, [("job.name", "sweep".to_owned())]);
        assert_eq!(request.fields, [("status", "200".to_owned())]);
        assert!(0 < job.began_ns && job.began_ns <= job.ended_ns);
        assert!(request.began_ns <= job.began_ns && job.ended_ns <= request.ended_ns);
    }

    #[test]
    fn what_is_part_of_no_trace_or_finds_no_room_is_left_out() {
        let (spans, n_dropped) = spans(|| {
            drop(error_span!("somebody else's"));
            drop(error_span!("request", trace_id = TRACE, sampled = false));
            for n in 0..QUEUE as u64 + 3 {
                drop(error_span!("request", trace_id = TRACE, status = 500 + n));
            }
        });
        assert_eq!((spans.len(), n_dropped), (QUEUE, 3));
        assert!(spans.iter().all(|span| span.has_failed && span.kind == "request"));
    }
}

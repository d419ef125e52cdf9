//! What the program tells about itself: lines for people on a terminal, lines with fields for the
//! journal of systemd, and JSON on stderr otherwise.

use std::{
    io::{self, IsTerminal as _},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, anyhow, bail};
use tokio_util::sync::CancellationToken;
use tracing::{Level, Metadata, Subscriber, error, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, fmt, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

use crate::config::LogFormat;

mod journal;
mod lines;
mod otlp;
mod spans;

use self::{otlp::Exporter, spans::Collector};

/// Libraries that are never heard below `warn`, whatever the filter says, by how their names
/// begin. Those for the database write its URL with the password in it at `trace`, and every
/// statement at `info`; the scheduler talks to itself.
const QUIET: [&str; 3] = ["sqlx", "sea_orm", "tokio_cron_scheduler"];

/// Warns of every single connection that broke. The jobs say once that the database is away.
const POOL: &str = "sqlx_core::pool";

/// From now on what is logged goes to stderr or to the journal, in this `format` and as far as
/// `filter` lets it; and a panic becomes a line like any other.
///
/// # Errors
/// If `filter` makes no sense, naming `log.filter`; if the journal is wanted and there is none; or
/// if this was called before.
///
/// Requests and runs go to the collector of OpenTelemetry at `traces` too, if that is not empty, once
/// [`Log::export`] runs.
///
/// # Errors
/// Also if that is no URL, naming `traces.url`.
pub fn init(format: LogFormat, filter: &str, traces: &str) -> anyhow::Result<Log> {
    let filter = read_filter(filter)?;
    let lines = match format {
        LogFormat::Text => text(),
        LogFormat::Json => json(),
        LogFormat::Journal => journal::lines().context("use log.format = \"journal\"")?.boxed(),
        LogFormat::Auto if io::stderr().is_terminal() => text(),
        // Where it does not listen, what is written to stderr gets there all the same.
        LogFormat::Auto if journal::is_stderr() => {
            journal::lines().map_or_else(|_| json(), |lines| lines.boxed())
        }
        LogFormat::Auto => json(),
    };
    let traced = (!traces.is_empty()).then(|| Exporter::new(traces)).transpose();
    let (exporter, collector) = traced.context("use traces.url")?.unzip();
    let (set_filter, subscriber) = filtered(lines, collector, filter);
    let log = Log { set_filter, exporter: Arc::new(Mutex::new(exporter)) };
    subscriber.try_init().context("set up the log")?;
    std::panic::set_hook(Box::new(tell_panic));
    Ok(log)
}

/// Lines for people.
fn text() -> Lines {
    let has_colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    fmt::layer().with_writer(io::stderr).with_ansi(has_colour).boxed()
}

/// Lines for machines.
fn json() -> Lines {
    fmt::layer().json().event_format(lines::Flat).with_writer(io::stderr).boxed()
}

/// What writes lines, wherever they go.
type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// The log of this process. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    set_filter: SetFilter,
    /// Until it runs.
    exporter: Arc<Mutex<Option<Exporter>>>,
}

type SetFilter = Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

impl Log {
    /// From now on the log lets through what `filter` lets.
    ///
    /// # Errors
    /// If `filter` makes no sense, naming `log.filter`; then nothing changes.
    pub fn set_filter(&self, filter: &str) -> anyhow::Result<()> {
        (self.set_filter)(read_filter(filter)?).context("use log.filter")
    }

    /// Whether there is a collector that takes requests and runs.
    pub fn has_collector(&self) -> bool {
        self.exporter.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Sends requests and runs to the collector, if there is one, until `token` is cancelled. Does
    /// nothing at a second call.
    pub async fn export(self, token: CancellationToken) {
        let exporter = self.exporter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(exporter) = exporter {
            exporter.run(token).await;
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log(…)")
    }
}

/// Looks whether `filter` is one, and changes nothing.
///
/// # Errors
/// If it makes no sense, naming `log.filter`.
pub fn check_filter(filter: &str) -> anyhow::Result<()> {
    read_filter(filter).map(drop)
}

/// A log of `lines` that are let through.
///
/// The filters stand before everything, not before the one layer: a filter of a layer remembers
/// its last answer, so that a library that only asks whether it would be heard, as those with the
/// `log` crate do, makes the next line go missing, whoever's it is.
fn filtered<L>(
    lines: L,
    spans: Option<Collector>,
    filter: EnvFilter,
) -> (SetFilter, impl Subscriber + Send + Sync)
where
    L: Layer<Registry> + Send + Sync,
{
    let (filter, handle) = reload::Layer::new(filter);
    let all = Registry::default().with(lines).with(spans);
    let subscriber = all.with(filter).with(filter_fn(is_fit_to_be_heard));
    (Arc::new(move |filter| handle.reload(filter)), subscriber)
}

/// Reads a filter in tracing's words.
fn read_filter(text: &str) -> anyhow::Result<EnvFilter> {
    let words: Vec<_> = text.split(',').map(str::trim).collect();
    // A lone word that is no level would be taken for the name of a module, and everything else
    // be silenced.
    let is_lone = |word: &&&str| !word.contains(['=', '[', ':']);
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    if let Some(word) = words.iter().filter(is_lone).find(|word| !is_level(word)) {
        bail!(
            "log.filter: `{word}` is no level\n  hint: the levels are error, warn, info, debug and \
             trace; for one module, write `lapsed::mail=debug`"
        );
    }
    EnvFilter::builder().parse(words.join(",")).map_err(|error| {
        anyhow!(
            "log.filter: {error}\n  hint: write a level such as `info`, or a list such as \
             `info,lapsed::mail=debug`"
        )
    })
}

fn is_fit_to_be_heard(metadata: &Metadata<'_>) -> bool {
    let is_quiet = QUIET.iter().any(|name| metadata.target().starts_with(name));
    let loudest = if metadata.target().starts_with(POOL) { Level::ERROR } else { Level::WARN };
    !is_quiet || *metadata.level() <= loudest
}

/// Writes one line about a panic, wherever it happens and whoever catches it.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let what = panic.payload_as_str().unwrap_or("no text");
    error!(panic.at = at, panic.thread = thread.name(), "Panicked: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_filters() {
        for text in ["info", "WARN", "off", "info,lapsed::mail=debug", "warn, lapsed=trace"] {
            assert!(read_filter(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_mistake_names_the_option() {
        for text in ["inof", "", "info,,debug", "lapsed=loud", "info,lapsed::mail=debug=x"] {
            let error = read_filter(text).unwrap_err().to_string();
            assert!(error.starts_with("log.filter: "), "{text}: {error}");
            assert!(error.contains("hint: "), "{text}: {error}");
        }
    }

    /// What is heard of what `speak` says.
    fn heard(filter: &str, speak: impl FnOnce()) -> String {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = text.clone();
        let lines = fmt::layer().with_ansi(false).with_writer(move || Sink::new(&sink));
        let (_log, subscriber) = filtered(lines, None, read_filter(filter).unwrap());
        tracing::subscriber::with_default(subscriber, speak);
        String::from_utf8(text.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn some_libraries_are_quiet_however_they_are_asked() {
        let text = heard("trace,sqlx=trace,sqlx::query=trace", || {
            tracing::info!(target: "sqlx::query", "unheard: a statement");
            tracing::info!(target: "sqlx_core::pool", "unheard: a connection");
            tracing::trace!(target: "sea_orm::driver", "unheard: a password");
            tracing::warn!(target: "sqlx::pool", "heard: a slow statement");
            tracing::trace!(target: "tokio", "heard: somebody else");
            tracing::debug!("heard: ours");
        });
        assert_eq!(text.matches(": heard: ").count(), 3, "{text}");
        assert!(!text.contains("unheard"), "{text}");
    }

    #[test]
    fn a_library_that_only_asks_takes_no_line_away() {
        let text = heard("info", || {
            for n in 0..3 {
                // As the bridge from the `log` crate asks for sqlx and rustls.
                let span = tracing::debug_span!(target: "rustls", "asked about");
                let asked = span.metadata().expect("a span knows what it is");
                tracing::dispatcher::get_default(|log| log.enabled(asked));
                tracing::info!("line {n}");
            }
        });
        assert_eq!(text.matches(": line ").count(), 3, "{text}");
    }

    /// Where lines of a test go.
    pub(super) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(super) fn new(text: &Arc<Mutex<Vec<u8>>>) -> Self {
            Self(text.clone())
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

//! What is told to whoever watches the daemon. `docs/metrics.md` explains each metric, and a test
//! holds the two together.
//!
//! Names begin with `lapsed_`, except those of the process, which every exporter calls alike.
//! Units are seconds and bytes. No label ever names a tenant, an owner or a key.

use std::{fmt, sync::Arc};

use chrono::TimeDelta;

use crate::{
    domain::{
        brake::Destruction,
        doubt::{Cause, Doubt},
    },
    jobs::{JOBS, Job, runner::JobState},
    meter::{Answers, Meter},
    store::gauges::{Backlog, Stock},
};

mod page;
mod process;

use self::page::Page;
pub use self::{page::Format, process::Process};

/// Everything one scrape tells.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The jobs of this process; none before the database was first reached.
    pub jobs: Vec<(&'static str, JobState)>,
    /// Whether the database answers.
    pub is_database_up: bool,
    /// What waits, if the database could tell.
    pub backlog: Option<Backlog>,
    /// What there is, if the database could tell.
    pub stock: Option<Stock>,
    /// Whether mail rests because its channel failed.
    pub is_mail_resting: Option<bool>,
    /// By how much the database's clock is ahead of this machine's, if that is known.
    pub clock_offset: Option<TimeDelta>,
    /// What this process counts as it works; nothing before the database was first reached.
    pub meter: Option<Arc<Meter>>,
    /// Why the clock is not believed.
    pub clock_doubt: Option<Doubt>,
    /// How long answers over HTTP took.
    pub answers: Arc<Answers>,
    /// This process.
    pub process: Process,
}

impl Scrape {
    /// Adds each job, whose state `state` knows.
    pub fn with_jobs(mut self, state: impl Fn(&Job) -> JobState) -> Self {
        self.jobs = JOBS.iter().map(|job| (job.name, state(job))).collect();
        self
    }

    /// The page a scraper reads.
    ///
    /// # Errors
    /// Never, as far as anybody knows: it is written into memory.
    pub fn page(self, format: Format) -> Result<String, fmt::Error> {
        page::write(format, move |page| {
            page.info("lapsed_build", "The program.", [("version", env!("CARGO_PKG_VERSION"))])?;
            self.write_jobs(page)?;
            self.write_database(page)?;
            self.write_work(page)?;
            self.write_process(page)
        })
    }

    fn write_jobs(&self, page: &mut Page<'_>) -> fmt::Result {
        let of_each = |value: fn(&JobState) -> u64| {
            self.jobs.iter().map(move |(name, state)| (("job", *name), value(state)))
        };
        let seconds = |value: fn(&JobState) -> Option<f64>| {
            let known = move |(name, state): &(&'static str, JobState)| {
                value(state).map(|value| (("job", *name), value))
            };
            self.jobs.iter().filter_map(known)
        };
        let results = self.jobs.iter().flat_map(|(name, state)| {
            let done = state.n_runs - state.n_partial - state.n_failures;
            [("done", done), ("partial", state.n_partial), ("failed", state.n_failures)]
                .map(|(result, n)| ([("job", *name), ("result", result)], n))
        });
        let items = self.jobs.iter().flat_map(|(name, state)| {
            let total = state.total;
            [
                ("examined", total.n_examined),
                ("changed", total.n_changed),
                ("failed", total.n_failed),
            ]
            .map(|(kind, n)| ([("job", *name), ("kind", kind)], n))
        });
        page.counters("lapsed_job_runs", "Runs that have ended.", results)?;
        page.counters("lapsed_job_items", "Items that runs dealt with.", items)?;
        page.gauges(
            "lapsed_job_last_success_timestamp_seconds",
            "When the last run began that did not fail.",
            seconds(|state| state.last_success_at.map(|at| ms(at.timestamp_millis()))),
        )?;
        page.gauges(
            "lapsed_job_last_duration_seconds",
            "How long the last run took.",
            seconds(|state| (state.n_runs > 0).then_some(state.last_duration.as_secs_f64())),
        )?;
        let running = of_each(|state| u64::from(state.running_since.is_some()));
        page.gauges("lapsed_job_running", "1 while the job runs.", running)?;
        page.gauges(
            "lapsed_job_late_seconds",
            "How long a run has been wanted that has not gone well yet.",
            seconds(|state| Some(state.lateness().as_secs_f64())),
        )
    }

    fn write_database(&self, page: &mut Page<'_>) -> fmt::Result {
        let up = Some(u64::from(self.is_database_up));
        page.gauge("lapsed_database_up", "1 if the database answers.", up)?;
        let resting = self.is_mail_resting.map(u64::from);
        page.gauge("lapsed_mail_channel_resting", "1 while no mail is tried.", resting)?;
        let offset = self.clock_offset.map(|offset| ms(offset.num_milliseconds()));
        let help = "By how much the database's clock is ahead of this machine's.";
        page.gauge("lapsed_clock_offset_seconds", help, offset)?;
        let doubted = Cause::ALL.map(|cause| {
            let is_so = self.clock_doubt.is_some_and(|doubt| doubt.cause == cause);
            (("cause", cause.as_str()), u64::from(is_so))
        });
        page.gauges("lapsed_clock_doubted", "1 while the clock is not believed.", doubted)?;
        if let Some(backlog) = &self.backlog {
            write_backlog(backlog, page)?;
        }
        if let Some(stock) = &self.stock {
            write_stock(stock, page)?;
        }
        self.write_notices(page)
    }

    /// What is counted at different times, but belongs together.
    fn write_notices(&self, page: &mut Page<'_>) -> fmt::Result {
        let (backlog, stock) = (self.backlog.as_ref(), self.stock.as_ref());
        let notices = [
            ("pending", backlog.map(|backlog| backlog.pending_notices.n)),
            ("queued", stock.map(|stock| stock.queued_notices)),
            ("failed", stock.map(|stock| stock.failed_notices)),
        ];
        let messages = [
            ("waiting", backlog.map(|backlog| backlog.waiting_messages.n)),
            ("sending", backlog.map(|backlog| backlog.sending_messages.n)),
            ("failed", stock.map(|stock| stock.failed_messages)),
            ("parked", stock.map(|stock| stock.parked_messages)),
        ];
        let known = |(status, n): (&'static str, Option<u64>)| Some((("status", status), n?));
        let notices = notices.into_iter().filter_map(known);
        page.gauges("lapsed_notices", "Notices that have not been told.", notices)?;
        let messages = messages.into_iter().filter_map(known);
        page.gauges("lapsed_messages", "Messages that have not been sent.", messages)
    }

    /// What this process has counted.
    fn write_work(&self, page: &mut Page<'_>) -> fmt::Result {
        if let Some(meter) = &self.meter {
            let mail = meter.mail.read().map(|(outcome, n)| ([("outcome", outcome)], n));
            page.counters("lapsed_mail_attempts", "Attempts to send a mail.", mail)?;
            let n = Some(meter.possible_duplicates.read());
            let help = "Mails that may have been delivered twice.";
            page.counter("lapsed_mail_possible_duplicates", help, n)?;
            page.histograms(
                "lapsed_notice_delay_seconds",
                "How much later than ideal owners were told.",
                [([], meter.notice_delay.read())],
            )?;
            let ping = meter.ping.read().map(|(result, n)| ([("result", result)], n));
            page.counters("lapsed_ping_attempts", "Pings of who watches from outside.", ping)?;
            let otp = meter.otp.read().map(|(result, n)| ([("result", result)], n));
            page.counters("lapsed_otp_attempts", "Codes of second factors.", otp)?;
            let statements = meter.statements();
            let statements = statements.into_iter().map(|(verb, seen)| ([("op", verb)], seen));
            let help = "How long statements took.";
            page.histograms("lapsed_database_query_duration_seconds", help, statements)?;
            let n = Some(meter.database_failures.read());
            page.counter("lapsed_database_query_failures", "Statements that failed.", n)?;
        }
        let answers = self.answers.read();
        let answers = answers.iter().map(|((route, status), seen)| {
            ([("route", route.as_str()), ("status", *status)], seen.clone())
        });
        page.histograms("lapsed_http_request_duration_seconds", "How long answers took.", answers)
    }

    fn write_process(&self, page: &mut Page<'_>) -> fmt::Result {
        let Process { resident_memory_bytes, cpu_seconds, open_fds, started_at_seconds } =
            self.process;
        page.counter("process_cpu_seconds", "CPU time used.", cpu_seconds)?;
        page.gauge("process_resident_memory_bytes", "Memory in use.", resident_memory_bytes)?;
        page.gauge("process_open_fds", "Open files and connections.", open_fds)?;
        page.gauge("process_start_time_seconds", "When the process began.", started_at_seconds)
    }
}

fn write_backlog(backlog: &Backlog, page: &mut Page<'_>) -> fmt::Result {
    let jobs = [("sweep", backlog.sweep), ("purge", backlog.purge)];
    page.gauges(
        "lapsed_keys_due",
        "Keys whose turn has come.",
        jobs.map(|(job, waiting)| (("job", job), waiting.n)),
    )?;
    page.gauges(
        "lapsed_due_oldest_age_seconds",
        "How long the key that is due longest has been due.",
        jobs.map(|(job, waiting)| (("job", job), seconds(waiting.oldest))),
    )?;
    page.gauge(
        "lapsed_outbox_oldest_age_seconds",
        "How long the oldest notice has waited to be sent.",
        Some(seconds(backlog.outbox_age())),
    )?;
    let help = "Requests that wait for a second administrator.";
    page.gauge("lapsed_approvals_waiting", help, Some(backlog.approvals.n))?;
    page.gauge(
        "lapsed_approvals_oldest_age_seconds",
        "How long the oldest request has waited for a second administrator.",
        Some(seconds(backlog.approvals.oldest)),
    )?;
    let paused = [("all", backlog.is_paused), ("purge", backlog.is_purge_paused)];
    let paused = paused.map(|(what, is_paused)| (("what", what), u64::from(is_paused)));
    page.gauges("lapsed_paused", "1 while an operator has paused it.", paused)?;
    let braked = Destruction::ALL.map(|what| {
        let on = backlog.braked.iter().find(|(on, _)| *on == what);
        (("what", what.as_str()), on.map(|(_, n)| *n))
    });
    let is_on = braked.map(|(label, n)| (label, u64::from(n.is_some())));
    page.gauges("lapsed_brake_on", "1 while the brake holds a plan back.", is_on)?;
    let held = braked.map(|(label, n)| (label, n.unwrap_or(0)));
    page.gauges("lapsed_brake_held_keys", "Keys of the plan that is held back.", held)?;
    let leases = JOBS.iter().filter(|job| job.is_for_one).map(|job| {
        let is_held = backlog.leases.iter().any(|name| name == job.name);
        (("job", job.name), u64::from(is_held))
    });
    page.gauges("lapsed_lease_held", "1 while a daemon does the job for all.", leases)
}

fn write_stock(stock: &Stock, page: &mut Page<'_>) -> fmt::Result {
    let states = [
        ("active", stock.active),
        ("window", stock.window),
        ("revoked", stock.revoked),
        ("parked", stock.parked),
    ];
    let states = states.map(|(state, n)| (("state", state), n));
    page.gauges("lapsed_keys", "Keys there are.", states)?;
    let ahead = [("1d", stock.expiring_1d), ("7d", stock.expiring_7d), ("30d", stock.expiring_30d)];
    let ahead = ahead.map(|(within, n)| (("within", within), n));
    page.gauges("lapsed_keys_expiring", "Active keys that expire within that time.", ahead)?;
    let help = "Keys whose purge was put off: nobody could be told, or too lately, or their policy waits for an administrator.";
    page.gauge("lapsed_purges_deferred", help, Some(stock.deferred))?;
    let help = "Notices an hour late or more that have not been told.";
    page.gauge("lapsed_notices_overdue", help, Some(stock.overdue_notices))
}

/// A length of time in seconds; none is none.
fn seconds(length: Option<TimeDelta>) -> f64 {
    length.map_or(0.0, |length| ms(length.num_milliseconds()))
}

/// Milliseconds in seconds.
fn ms(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

//! From the start of a sweep to the last accepted mail: the real daemon, on PostgreSQL, with a
//! relay beside it. What it can be measured by are two limits, each alone: how fast the database
//! takes the very same writes by hand, and how fast `smtp-source` sends as many mails.

use std::{
    fs::File,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use lapsed::{
    clock::{Clock as _, SystemClock},
    store::Engine,
};

use crate::{
    args::Args,
    by_hand,
    deliver::MAIL_BYTES,
    fleet::{DueTo, Fleet},
    measure::{Goal, Pairs, Ratio, Table, grouped, time, timed, wait},
    place::{Place, within},
    sink::{Sink, smtp_source},
};

/// Connections to the relay.
const LANES: usize = 8;
/// What the daemon may use at most, in MB.
const MOST_MB: f64 = 96.0;
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    if !args.has(Engine::Postgres) {
        return Ok(());
    }
    within(args, Engine::Postgres, async |place| on(args, place, table).await).await
}

async fn on(args: &Args, place: &Place, table: &mut Table) -> anyhow::Result<()> {
    let fleet = Fleet::new(args.keys(), args.due(), SystemClock.now(), DueTo::Sweep);
    fleet.fill(place).await?;
    let sink = Sink::start().await?;
    let (n_due, n_owners) = (fleet.due(), fleet.due_owners());
    let (mut pairs, mut alone, mut memory) = (Pairs::default(), Pairs::default(), Vec::new());
    for _ in 0..args.rounds() {
        let (n_mails, database) = timed(by_hand::whole(place, args.batch())).await?;
        ensure!(n_mails == n_owners, "by hand {n_mails} mails were written, not {n_owners}");
        fleet.reset(place).await?;
        let ((), mail) = timed(smtp_source(sink.address, LANES, n_owners, MAIL_BYTES)).await?;
        let run = daemon(place, sink.address).await?;
        let sent = place.number("SELECT COUNT(*) FROM messages WHERE status = 3").await?;
        // An owner whose keys are swept while a delivery goes on gets another mail.
        ensure!(n_owners <= sent.unsigned_abs(), "lapsed sent {sent} mails, not {n_owners}");
        let told = place.number("SELECT COUNT(*) FROM notices WHERE status = 3").await?;
        ensure!(told.unsigned_abs() == n_due, "lapsed told {told} notices, not {n_due}");
        fleet.reset(place).await?;
        pairs.add(database + mail, run.took);
        alone.add(database, mail);
        memory.push(run.peak_mb);
    }
    let what = format!("{} due keys of {} owners", grouped(n_due), grouped(n_owners));
    table.add(
        format!("whole, Postgres, {what}, {LANES} connections"),
        format!("{} + {}", time(alone.reference()), time(alone.ours())),
        time(pairs.ours()),
        pairs.cost(),
        Goal::AtMost(1.5),
    );
    let memory = Ratio::of(memory);
    table.add(
        format!("whole, peak memory (VmHWM), {what}"),
        format!("{MOST_MB} MB"),
        format!("{:.1} MB", memory.median),
        Ratio::of(vec![memory.median / MOST_MB]),
        Goal::AtMost(1.0),
    );
    Ok(())
}

/// How a daemon has done.
struct Run {
    took: Duration,
    peak_mb: f64,
}

/// Starts `lapsed run`, and lets it do what is due.
async fn daemon(place: &Place, relay: SocketAddr) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    write("master.key", &"5a".repeat(32))?;
    write("lapsed.toml", &configuration(&place.url, relay))?;
    let log = folder.path().join("log");
    let child = Command::new(env!("CARGO_BIN_EXE_lapsed"))
        .args(["--config", "lapsed.toml", "run"])
        .current_dir(folder.path())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .context("start `lapsed run`")?;
    let mut child = Running(child);
    let result = follow(place, &mut child).await;
    if result.is_err() {
        eprint_log(&std::fs::read_to_string(&log).unwrap_or_default());
    }
    result
}

#[expect(clippy::print_stderr, reason = "a daemon that failed has said why")]
fn eprint_log(log: &str) {
    eprintln!("{log}");
}

/// A daemon. It is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn follow(place: &Place, child: &mut Running) -> anyhow::Result<Run> {
    // Three probes of small indexes, so that looking does not slow down what is looked at.
    let left = "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM job_runs WHERE job = 'sweep' LIMIT 1) a) \
                - CASE WHEN EXISTS (SELECT 1 FROM notices WHERE status = 1) \
                OR EXISTS (SELECT 1 FROM messages WHERE status IN (1, 2) \
                AND next_attempt_at IS NOT NULL) THEN 1 ELSE 0 END";
    let began = Instant::now();
    while place.number(left).await? != 1 {
        if let Some(status) = child.0.try_wait()? {
            bail!("`lapsed run` ended by itself: {status}");
        }
        ensure!(began.elapsed() < PATIENCE, "`lapsed run` is not done after {PATIENCE:?}");
        wait(Duration::from_millis(100)).await;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.0.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kb: f64 = peak.context("no VmHWM")?.trim().trim_end_matches(" kB").parse()?;
    let took = place
        .number(
            "SELECT (SELECT MAX(sent_at) FROM messages) \
             - (SELECT MIN(started_at) FROM job_runs WHERE job = 'sweep')",
        )
        .await?;
    Ok(Run { took: Duration::from_millis(took.unsigned_abs()), peak_mb: peak_kb / 1_024.0 })
}

fn configuration(url: &str, relay: SocketAddr) -> String {
    format!(
        r#"
        [database]
        url = "{url}"
        [keys]
        master_key_file = "master.key"
        [mail]
        transport = "smtp"
        from = "lapsed <keys@acme.example>"
        public_url = "https://keys.acme.example"
        [smtp]
        host = "{}"
        port = {}
        tls = "none"
        insecure_plaintext = true
        hello = "lapsed.example"
        lanes = {LANES}
        [http]
        listen = "127.0.0.1:0"
        [schedule]
        sweep = "* * * * * *"
        [brake]
        expire_keys = 1000000
        expire_percent = 100
        [log]
        filter = "warn"
        "#,
        relay.ip(),
        relay.port()
    )
}

//! The real program as processes: started, asked how they are, frozen, stopped and killed.
//!
//! A process goes at its own speed, so a test can only look until it sees what it waits for. There
//! is one way to look, [`until`], and no verdict depends on how long it took.

use std::{
    fs::File,
    io::Read as _,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use lapsed::{clock::SystemClock, store::Db};
use sea_orm::{ConnectionTrait as _, Statement, TryGetable};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::db::TestDb;

/// How long a test looks for something before it calls it missing. A machine may be very busy.
const PATIENCE: Duration = Duration::from_secs(150);

/// Looks again and again until `look` finds it.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looks_until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < looks_until, "looked in vain: {what}");
        nap().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one wait between two looks at a process")]
async fn nap() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// An installation: a configuration, and the database and the relay it names.
pub struct Site {
    folder: tempfile::TempDir,
    /// The database as the test looks at it, with the real time.
    pub db: Db,
}

impl Site {
    /// An installation on a database whose schema is up to date.
    pub async fn new(test_db: &TestDb, smtp_port: u16) -> Self {
        let site = Self::empty(test_db, smtp_port).await;
        site.db.migrate().await.unwrap();
        site
    }

    /// An installation on an empty database.
    pub async fn empty(test_db: &TestDb, smtp_port: u16) -> Self {
        Self::by(test_db, &test_db.url(), smtp_port).await
    }

    /// An installation whose daemons find the database under `url`.
    pub async fn by(test_db: &TestDb, url: &str, smtp_port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("master.key", &"5a".repeat(32)).unwrap();
        let (url, password) = without_password(url);
        write("password", &password).unwrap();
        let password_file = if password.is_empty() { "" } else { "password" };
        let config = format!(
            r#"
            [database]
            url = "{url}"
            password_file = "{password_file}"
            max_connections = 4
            acquire_timeout = "2s"
            [keys]
            master_key_file = "master.key"
            [mail]
            transport = "smtp"
            from = "lapsed <keys@acme.example>"
            [smtp]
            host = "127.0.0.1"
            port = {smtp_port}
            tls = "none"
            insecure_plaintext = true
            hello = "lapsed.example"
            lanes = {LANES}
            [http]
            listen = "127.0.0.1:0"
            [schedule]
            sweep = "* * * * * *"
            deliver = "* * * * * *"
            purge = "* * * * * *"
            [brake]
            enabled = false
            [jobs]
            batch = 500
            rescue_after = "{}s"
            [log]
            format = "json"
            filter = "info,lapsed=debug"
            "#,
            LEASE.as_secs()
        );
        write("lapsed.toml", &config).unwrap();
        let db = test_db.connect(Arc::new(SystemClock)).await;
        Self { folder, db }
    }

    /// Starts a daemon.
    pub fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// Starts a daemon with some options set by its environment.
    pub fn start_with(&self, options: &[(&str, &str)]) -> Daemon {
        self.spawn(self.command("run", options))
    }

    /// Starts a daemon in the place of a shell that has done `first`.
    pub fn start_under(&self, first: &str) -> Daemon {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{first}; exec \"$0\" --config lapsed.toml run")])
            .arg(env!("CARGO_BIN_EXE_lapsed"))
            .current_dir(self.folder.path());
        self.spawn(shell)
    }

    fn spawn(&self, mut command: Command) -> Daemon {
        let log = self.folder.path().join(format!("{:08x}.log", rand::random::<u32>()));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Daemon { child, log }
    }

    /// Starts so many daemons, and waits until they are ready.
    pub async fn fleet(&self, n: usize) -> Vec<Daemon> {
        self.fleet_with(n, &[]).await
    }

    /// Starts so many daemons with some options set by their environment, and waits until they are
    /// ready.
    pub async fn fleet_with(&self, n: usize, options: &[(&str, &str)]) -> Vec<Daemon> {
        let mut daemons: Vec<Daemon> = (0..n).map(|_| self.start_with(options)).collect();
        for daemon in &mut daemons {
            daemon.is_ready().await;
        }
        daemons
    }

    /// Puts `new` in the place of `old` in a file of the installation.
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} does not say `{old}`");
        std::fs::write(&path, text.replace(old, new)).unwrap();
    }

    /// Runs a command to its end.
    pub fn run(&self, command: &str) -> Output {
        self.run_with(command, &[])
    }

    /// Runs a command to its end, with some options set by its environment.
    pub fn run_with(&self, command: &str, options: &[(&str, &str)]) -> Output {
        self.command(command, options).output().unwrap()
    }

    fn command(&self, command: &str, options: &[(&str, &str)]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_lapsed"));
        process
            .args(["--config", "lapsed.toml"])
            .args(command.split(' '))
            .current_dir(self.folder.path())
            // What the test was called with is nothing to the daemon.
            .env_clear()
            .envs(options.iter().copied());
        process
    }

    /// The first column of all rows.
    pub async fn column<T: TryGetable>(&self, query: &str) -> Vec<T> {
        let statement = Statement::from_string(self.db.conn().get_database_backend(), query);
        let rows = self.db.conn().query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    /// How many rows `from` has: a table, and perhaps a condition.
    pub async fn count(&self, from: &str) -> i64 {
        self.column(&format!("SELECT COUNT(*) FROM {from}")).await[0]
    }

    /// Looks until `from` has as many rows as `n` says.
    pub async fn until_count(&self, from: &str, n: impl Fn(i64) -> bool) -> i64 {
        until(from, async || Some(self.count(from).await).filter(|found| n(*found))).await
    }

    pub async fn execute(&self, statement: &str) {
        self.db.conn().execute_unprepared(statement).await.unwrap();
    }
}

/// How long a mail belongs to a daemon that does not answer, in these tests.
pub const LEASE: Duration = Duration::from_secs(5);

/// The option that lets a mail belong to a daemon for longer than a busy machine keeps it waiting:
/// for those in which none is lost, and no mail may be taken for lost.
pub const LONG_LEASE: (&str, &str) = ("LAPSED_JOBS__RESCUE_AFTER", "10m");

/// The connections each daemon has to the relay.
pub const LANES: usize = 4;

/// A URL as the configuration wants it, and the password that was in it.
fn without_password(url: &str) -> (String, String) {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (user, place) = rest.split_once('@')?;
        let (user, password) = user.split_once(':')?;
        Some((format!("{scheme}://{user}@{place}"), password.to_owned()))
    });
    parts.unwrap_or_else(|| (url.to_owned(), String::new()))
}

/// A running `lapsed run`. It is killed when this is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// A pattern that its name among the replicas matches, and no other daemon's.
    pub fn holder(&self) -> String {
        format!("%-{}-________", self.child.id())
    }

    /// Sends a signal: `TERM`, `HUP`, `STOP`, `CONT` or `KILL`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    /// Lets none of its files grow beyond so many bytes from now on, as a disk that is full.
    pub fn limit_files(&self, n_bytes: &str) {
        let pid = self.child.id().to_string();
        let limit = format!("--fsize={n_bytes}:");
        let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
        assert!(set.success(), "prlimit {limit}");
    }

    /// Kills it after so long, whatever it is doing then.
    #[expect(clippy::disallowed_methods, reason = "when a process dies is what is tried")]
    pub async fn kill_after(mut self, life: Duration) {
        tokio::time::sleep(life).await;
        self.kill();
    }

    /// Kills it, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        until("the daemon ends", async || self.child.try_wait().unwrap()).await
    }

    /// Asks it to stop, and takes care that it does so within the time that is promised.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        let asked_at = Instant::now();
        let status = self.end().await;
        assert!(asked_at.elapsed() < Duration::from_secs(31), "{:?}", asked_at.elapsed());
        assert_eq!(status.code(), Some(0));
    }

    /// What it has logged so far, a line each.
    pub fn log(&self) -> Vec<serde_json::Value> {
        let mut text = String::new();
        File::open(&self.log).unwrap().read_to_string(&mut text).unwrap();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many lines of its log say `text`.
    pub fn n_logged(&self, text: &str) -> usize {
        let says = |line: &serde_json::Value| {
            line["message"].as_str().is_some_and(|message| message.contains(text))
        };
        self.log().iter().filter(|line| says(line)).count()
    }

    /// How many lines of its log call for somebody.
    pub fn n_errors(&self) -> usize {
        self.log().iter().filter(|line| line["level"] == "ERROR").count()
    }

    /// How many runs of `job` have ended, well or not.
    pub fn n_runs(&self, job: &str) -> usize {
        self.n_logged(&format!("Ran job `{job}`"))
            + self.n_logged(&format!("Failed to run job `{job}`"))
    }

    /// What it wrote on stderr that is no line of the log.
    pub fn last_words(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Looks until its log says `text`.
    pub async fn has_logged(&self, text: &str) {
        until(text, async || (self.n_logged(text) > 0).then_some(())).await;
    }

    /// Looks until it is ready; it must not have ended before.
    pub async fn is_ready(&mut self) {
        until("the daemon is ready", async || {
            assert_eq!(self.child.try_wait().unwrap(), None, "{}", self.last_words());
            self.get("/readyz").await.filter(|(code, _)| *code == 200)
        })
        .await;
    }

    /// Where it listens, once it does.
    pub fn address(&self) -> Option<SocketAddr> {
        let log = self.log();
        let listening = log.iter().find(|line| line["message"] == "Listening")?;
        listening["http"].as_str()?.parse().ok()
    }

    /// Asks it over HTTP. `None` if it does not listen yet, or does not answer.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let address = self.address()?;
        let ask = async {
            let mut tcp = TcpStream::connect(address).await.ok()?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
            tcp.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).await.ok()?;
            let code = answer.split(' ').nth(1)?.parse().ok()?;
            let body = answer.split_once("\r\n\r\n")?.1.to_owned();
            Some((code, body))
        };
        timeout(Duration::from_secs(5), ask).await.ok().flatten()
    }
}

impl Drop for Daemon {
    #[expect(clippy::print_stderr, reason = "for whoever looks into a failed test")]
    fn drop(&mut self) {
        // It may have ended, which is no trouble.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.last_words();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(15)..].join("\n");
            eprintln!("-- the last words of daemon {}:\n{tail}", self.child.id());
        }
    }
}

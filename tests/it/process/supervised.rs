//! The real program under something that plays systemd's part.

use std::os::unix::fs::PermissionsExt;

use lapsed::store::Engine;

use crate::support::{
    daemon::{Daemon, Site, until},
    db::with_db,
    notify::Notify,
    smtp::{Plan, SmtpServer},
};

/// Starts a daemon of `site` as systemd would, with a watchdog that wants to be fed every second.
fn start(site: &Site, notify: &Notify, options: &[(&str, &str)]) -> Daemon {
    let socket = notify.path().display().to_string();
    let supervised = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", "1000000")];
    let options: Vec<_> = supervised.iter().chain(options).copied().collect();
    site.start_with(&options)
}

/// What systemd last saw in STATUS.
fn status(notify: &Notify) -> String {
    let heard = notify.heard();
    let lines = heard.iter().flat_map(|said| said.lines());
    lines.filter_map(|line| line.strip_prefix("STATUS=")).next_back().unwrap_or("").to_owned()
}

async fn a_life(engine: Engine) {
    with_db(engine, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::empty(&test_db, relay.port).await;
        let notify = Notify::new();
        let mut daemon = start(&site, &notify, &[("LAPSED_DATABASE__MIGRATE", "true")]);
        notify.hears("READY=1", 1).await;
        assert!(site.count("seaql_migrations").await > 0, "the schema comes before READY");
        assert!(status(&notify).starts_with("working; HTTP on 127.0.0.1:"), "{}", status(&notify));
        notify.hears("WATCHDOG=1", 3).await;

        daemon.signal("TERM");
        assert_eq!(daemon.end().await.code(), Some(0));
        assert_eq!(notify.n_heard("STOPPING=1"), 1);
        assert_eq!(notify.n_heard("READY=1"), 1);
        let heard = notify.heard();
        let stop = heard.iter().position(|said| said.contains("STOPPING=1")).unwrap();
        assert!(!heard[stop..].iter().any(|said| said.contains("WATCHDOG")), "{heard:?}");
    })
    .await;
}

#[tokio::test]
async fn systemd_hears_of_a_life_on_sqlite() {
    a_life(Engine::Sqlite).await;
}

#[tokio::test]
async fn systemd_hears_of_a_life_on_postgres() {
    a_life(Engine::Postgres).await;
}

#[tokio::test]
async fn systemd_is_asked_for_time_while_the_schema_is_awaited() {
    with_db(Engine::Postgres, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::empty(&test_db, relay.port).await;
        let notify = Notify::new();
        let mut daemon = start(&site, &notify, &[]);
        notify.hears("EXTEND_TIMEOUT_USEC=", 1).await;
        daemon.has_logged("Waiting for `lapsed db migrate`").await;
        // A reload is no way to become ready.
        daemon.signal("HUP");
        daemon.has_logged("Reloaded the configuration").await;
        assert_eq!(notify.n_heard("READY=1") + notify.n_heard("RELOADING=1"), 0);
        site.db.migrate().await.unwrap();
        notify.hears("READY=1", 1).await;
        daemon.stop().await;
    })
    .await;
}

/// A daemon on SQLite whose mails go to nobody, until a reload names a relay.
async fn reloadable(site: &Site, notify: &Notify) -> Daemon {
    let daemon = start(site, notify, &[]);
    notify.hears("READY=1", 1).await;
    daemon
}

async fn hang_up(daemon: &Daemon, notify: &Notify, n: usize) {
    daemon.signal("HUP");
    notify.hears("RELOADING=1", n).await;
    notify.hears("READY=1", n + 1).await;
}

#[tokio::test]
async fn a_reload_takes_the_new_configuration_over() {
    with_db(Engine::Sqlite, |test_db| async move {
        let (old, new) = (Plan::new().start().await, Plan::new().start().await);
        let site = Site::new(&test_db, old.port).await;
        let notify = Notify::new();
        let mut daemon = reloadable(&site, &notify).await;
        super::people(&site, 3).await;

        let relay = |port| format!("port = {port}");
        site.edit("lapsed.toml", &relay(old.port), &relay(new.port));
        site.edit("lapsed.toml", "lanes = 4", "lanes = 1");
        site.edit("lapsed.toml", "listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"");
        hang_up(&daemon, &notify, 1).await;
        let reloading = notify.heard().into_iter().find(|said| said.contains("RELOADING=1"));
        let reloading = reloading.unwrap();
        let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        assert!(since.unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
        daemon.has_logged("A restart is needed before these options change: http.listen").await;
        assert_eq!(daemon.get("/readyz").await.unwrap().0, 200, "where it always was");

        super::seed(&site, 3, 3).await;
        super::until_done(&site).await;
        let n_mails = |relay: &SmtpServer| relay.n_mails();
        assert_eq!((n_mails(&old), n_mails(&new)), (0, 3));
        assert_eq!(daemon.n_errors(), 0);
        daemon.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_configuration_changes_nothing_and_is_told() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        let notify = Notify::new();
        let mut daemon = reloadable(&site, &notify).await;
        super::people(&site, 3).await;

        // Each mistake is found by another part of the check, the last only when mails are built.
        let mistakes = [
            ("lanes = 4", "lane = 4", "smtp.lane is not an option"),
            ("batch = 500", "batch = 5", "jobs.batch is 5"),
            ("info,lapsed=debug", "loud", "log.filter"),
            ("tls = \"none\"", "tls = \"none\"\nca_file = \"/nowhere\"", "smtp.ca_file"),
            ("lapsed <keys@acme.example>", "nobody", "mail.from"),
        ];
        for (n, (right, wrong, reason)) in mistakes.into_iter().enumerate() {
            site.edit("lapsed.toml", right, wrong);
            hang_up(&daemon, &notify, n + 1).await;
            let status = status(&notify);
            assert!(status.starts_with("working; HTTP on "), "{status}");
            assert!(status.contains("refused a new configuration: "), "{status}");
            until(reason, async || (daemon.n_logged(reason) > 0).then_some(())).await;
            assert_eq!(daemon.n_logged("Refused the new configuration"), n + 1);
            site.edit("lapsed.toml", wrong, right);
        }
        super::seed(&site, 3, 3).await;
        super::until_done(&site).await;
        assert_eq!(relay.n_mails(), 3, "the old configuration works on");

        hang_up(&daemon, &notify, 6).await;
        assert!(!status(&notify).contains("refused"), "{}", status(&notify));
        daemon.stop().await;
    })
    .await;
}

#[tokio::test]
async fn credentials_are_read_where_systemd_puts_them() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("master-key");
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o400)).unwrap();
        site.edit("lapsed.toml", "\"master.key\"", "\"credential:master-key\"");
        let credentials = folder.path().display().to_string();
        let notify = Notify::new();
        let mut daemon = start(&site, &notify, &[("CREDENTIALS_DIRECTORY", &credentials)]);
        notify.hears("READY=1", 1).await;
        daemon.stop().await;

        let mut daemon = start(&site, &notify, &[]);
        assert_eq!(daemon.end().await.code(), Some(1));
        assert!(daemon.last_words().contains("CREDENTIALS_DIRECTORY is not set"));
    })
    .await;
}

//! The sign of life that the real program gives to a watcher outside, and when it gives none.

use lapsed::store::Engine;

use crate::support::{
    daemon::{Daemon, Site, until},
    db::with_db,
    smtp::{Plan, TestCert},
    web::{Manner, WebServer},
};

/// What the metrics say of pings that ended so.
async fn counted(daemon: &Daemon, result: &str) -> u64 {
    let page = daemon.get("/metrics").await.unwrap().1;
    let name = format!("lapsed_ping_attempts_total{{result=\"{result}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().unwrap()
}

/// Looks until the watcher was asked once more than `n` times.
async fn pinged(watcher: &WebServer, n: usize) {
    until("a ping", async || (n < watcher.asked().len()).then_some(())).await;
}

/// Looks until so many more deliveries have ended.
async fn rounds(daemon: &Daemon, n: usize) {
    let before = daemon.n_runs("deliver");
    until("rounds", async || (before + n <= daemon.n_runs("deliver")).then_some(())).await;
}

#[tokio::test]
async fn each_good_round_is_pinged_and_a_bad_watcher_holds_nothing_up() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let watcher = WebServer::start(None).await;
        let site = Site::new(&test_db, relay.port).await;
        let url = format!("http://127.0.0.1:{}/ping/let-me-in?from=lapsed", watcher.port());
        let mut daemon =
            site.start_with(&[("LAPSED_PING__URL", &url), ("LAPSED_PING__TIMEOUT", "300ms")]);
        daemon.is_ready().await;
        pinged(&watcher, 2).await;
        let asked = watcher.asked();
        assert!(
            asked[0].starts_with("GET /ping/let-me-in?from=lapsed HTTP/1.1\r\n"),
            "{}",
            asked[0]
        );
        assert!(counted(&daemon, "answered").await > 0);

        // Nobody answers: that is told once, is tried again, and work goes on meanwhile.
        for (manner, reason) in [
            (Manner::Silence, "no answer within 300ms"),
            (Manner::Status(404), "it was answered with 404 Not Found"),
            (Manner::Status(302), "it was answered with 302 Found"),
        ] {
            watcher.answers(manner);
            let failed = counted(&daemon, "failed").await;
            until("failures", async || {
                (failed + 2 < counted(&daemon, "failed").await).then_some(())
            })
            .await;
            rounds(&daemon, 3).await;
            watcher.answers(Manner::Status(204));
            daemon.has_logged(reason).await;
            until("it is answered again", async || {
                (daemon.n_logged("is answered again") == daemon.n_logged("trying again after each"))
                    .then_some(())
            })
            .await;
        }
        assert_eq!(daemon.n_logged("trying again after each round"), 3, "once for each trouble");
        let is_elsewhere = |asked: &String| asked.contains("elsewhere");
        assert!(!watcher.asked().iter().any(is_elsewhere), "nobody is sent somewhere else");
        assert!(
            !daemon.last_words().contains("let-me-in"),
            "whoever knows the URL can give the sign"
        );
        daemon.stop().await;
    })
    .await;
}

#[tokio::test]
async fn where_nobody_is_told_nobody_is_pinged() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let watcher = WebServer::start(None).await;
        let site = Site::new(&test_db, relay.port).await;
        let url = format!("http://127.0.0.1:{}/", watcher.port());
        let mut daemon = site.start_with(&[("LAPSED_PING__URL", &url)]);
        pinged(&watcher, 0).await;

        assert!(site.run("pause").status.success());
        daemon.has_logged("Paused all jobs").await;
        // A round that was under way may still be pinged.
        until("the pings end", async || {
            let n = watcher.asked().len();
            let n_left_out = daemon.n_logged("Left a run out");
            until("more is left out", async || {
                (n_left_out + 4 < daemon.n_logged("Left a run out")).then_some(())
            })
            .await;
            (n == watcher.asked().len()).then_some(())
        })
        .await;
        assert!(site.run("resume").status.success());
        pinged(&watcher, watcher.asked().len()).await;

        drop(relay);
        super::people(&site, 1).await;
        super::seed(&site, 1, 1).await;
        daemon.has_logged("Paused all mail").await;
        let n = watcher.asked().len();
        rounds(&daemon, 4).await;
        assert!(watcher.asked().len() <= n + 1, "one may have been on its way");
        daemon.stop().await;
    })
    .await;
}

// The commands are waited for by a thread, and the watcher answers in another.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_under_tls_is_pinged_if_it_is_trusted_and_a_pass_pings_too() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let certificate = TestCert::for_name("localhost");
        let watcher = WebServer::start(Some(certificate.acceptor.clone())).await;
        let site = Site::new(&test_db, relay.port).await;
        let url = format!("https://localhost:{}/", watcher.port());
        let trusted = certificate.file.path().display().to_string();
        let with = [("LAPSED_PING__URL", url.as_str()), ("SSL_CERT_FILE", trusted.as_str())];
        let mut daemon = site.start_with(&with);
        pinged(&watcher, 0).await;
        daemon.stop().await;

        let n = watcher.asked().len();
        let pass = site.run_with("sweep", &with);
        assert_eq!((pass.status.code(), watcher.asked().len()), (Some(0), n + 1), "{pass:?}");
        // A certificate of somebody else is not enough, and the pass is done all the same.
        let other = TestCert::for_name("localhost");
        let path = other.file.path().display().to_string();
        let with = [("LAPSED_PING__URL", url.as_str()), ("SSL_CERT_FILE", path.as_str())];
        let pass = site.run_with("sweep", &with);
        assert_eq!((pass.status.code(), watcher.asked().len()), (Some(0), n + 1), "{pass:?}");
        let log = String::from_utf8_lossy(&pass.stderr);
        assert!(log.contains("Failed to ping localhost:") && log.contains("begin TLS"), "{log}");
    })
    .await;
}

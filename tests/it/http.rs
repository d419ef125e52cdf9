//! What `/livez`, `/readyz` and `/metrics` promise to those who watch the daemon.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use chrono::TimeDelta;
use lapsed::{
    heartbeat::Heartbeat,
    http::{
        self, Paces, Proxies, Vitals,
        pages::Pages,
        v1::{Api, Guesses},
    },
    shutdown::Shutdown,
    store::{Engine, channel, flags, leases},
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::{
    on_each_engine,
    support::app::{TestApp, days, run},
    watch::{Answer, get, send},
};

/// A server of its own for one test.
pub struct Face {
    pub address: SocketAddr,
    vitals: Vitals,
    shutdown: Shutdown,
}

impl Face {
    pub async fn start() -> Self {
        let shutdown = Shutdown::new();
        let vitals = Vitals::new(Heartbeat::new(), shutdown.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pages, api) =
            (Pages::new(shutdown.clone()), Api::new(shutdown.clone(), Guesses::default()));
        // The proxy is this machine.
        let paces = Paces::new(Proxies::new(&["127.0.0.1".parse().unwrap()]));
        let router = http::whole(vitals.clone(), pages, api, paces);
        shutdown.tracker.spawn(http::serve(listener, router, shutdown.clone()));
        Self { address, vitals, shutdown }
    }

    async fn of(app: &TestApp) -> Self {
        let face = Self::start().await;
        face.vitals.reached(app.runner.clone());
        face
    }

    async fn get(&self, path: &str) -> Answer {
        get(self.address, path).await
    }

    async fn status(&self) -> (u16, String) {
        let answer = self.get("/readyz").await;
        (answer.status, answer.json()["status"].as_str().unwrap().to_owned())
    }

    pub async fn stop(self) {
        self.shutdown.token.cancel();
        self.shutdown.tracker.close();
        let stopped = tokio::time::timeout(Duration::from_secs(5), self.shutdown.tracker.wait());
        stopped.await.expect("a server without requests stops at once");
    }
}

#[tokio::test]
async fn health_is_served_before_there_is_a_database() {
    let face = Face::start().await;
    let alive = face.get("/livez").await;
    assert_eq!((alive.status, alive.body.as_str()), (200, "ok\n"));
    assert_eq!(face.status().await, (503, "unready".to_owned()));
    let metrics = face.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("\nlapsed_database_up 0\n"), "{}", metrics.body);
    face.stop().await;
}

on_each_engine! {
    async fn a_daemon_with_a_database_is_ready(app: TestApp) {
        let face = Face::of(&app).await;
        assert_eq!(face.status().await, (200, "ready".to_owned()));
        let tx = app.db.begin().await.unwrap();
        let down = channel::failed(&tx, "test", ("for the test", false), app.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(down.is_resting(app.now()));
        app.job("deliver").await;
        assert_eq!(face.status().await, (200, "degraded".to_owned()), "it still serves");
        face.stop().await;
    }
}

#[tokio::test]
async fn a_database_that_was_there_may_be_away_for_a_minute() {
    run(Engine::Sqlite, async |app: TestApp| {
        let face = Face::of(&app).await;
        assert_eq!(face.status().await.0, 200);
        app.db.close().await.unwrap();
        // The word that it answers is good for two seconds.
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let status = loop {
            second.tick().await;
            let (code, status) = face.status().await;
            assert_eq!(code, 200);
            if status != "ready" {
                break status;
            }
        };
        assert_eq!(status, "degraded");
        assert!(face.get("/metrics").await.body.contains("\nlapsed_database_up 0\n"));
        assert_eq!(face.get("/livez").await.status, 200, "a restart would not bring it back");
        face.stop().await;
    })
    .await;
}

#[tokio::test]
async fn every_answer_says_which_request_it_answers() {
    let face = Face::start().await;
    for (path, status) in [("/livez", 200), ("/nothing", 404), ("/v1/keys", 401), ("/admin", 303)] {
        let own = send(face.address, "GET", path, "X-Request-Id: Root=1-67891233-abc\r\n").await;
        assert_eq!((own.status, own.header("x-request-id")), (status, Some("Root=1-67891233-abc")));
        if own.header("content-type") == Some("application/problem+json") {
            assert_eq!(own.json()["request_id"], "Root=1-67891233-abc", "{path}");
        }
        let (one, other) = (face.get(path).await, face.get(path).await);
        let (one, other) = (one.header("x-request-id"), other.header("x-request-id"));
        assert!(one.is_some() && one != other, "{path}: {one:?}, {other:?}");
        let forged = send(face.address, "GET", path, "X-Request-Id: a\" level=error\r\n").await;
        assert_eq!(forged.header("x-request-id").map(str::len), Some(36), "{path}: a new one");
    }
    face.stop().await;
}

#[tokio::test]
async fn what_is_not_served_is_a_problem_in_json() {
    let face = Face::start().await;
    let missing = face.get("/wp-login.php").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("content-type"), Some("application/problem+json"));
    let request_id = missing.header("x-request-id").unwrap();
    let body = serde_json::json!({
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "nothing is served at this path",
        "request_id": request_id,
    });
    assert_eq!(missing.json(), body);

    let wrong = send(face.address, "POST", "/livez", "Content-Length: 0\r\n").await;
    assert_eq!(wrong.status, 405);
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    assert_eq!(wrong.json()["title"], "Method Not Allowed");
    face.stop().await;
}

#[tokio::test]
async fn every_answer_forbids_guessing_and_keeping() {
    let face = Face::start().await;
    for path in ["/", "/livez", "/readyz", "/metrics", "/nothing"] {
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = send(face.address, method, path, "").await;
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
            assert!(method != "HEAD" || answer.body.is_empty(), "{method} {path}");
        }
    }
    let front = face.get("/").await;
    assert!(front.body.starts_with("lapsed ") && front.body.ends_with("/metrics\n"));
    face.stop().await;
}

#[tokio::test]
async fn a_silent_client_does_not_hold_up_a_stop() {
    let face = Face::start().await;
    let mut silent = tokio::net::TcpStream::connect(face.address).await.unwrap();
    face.get("/livez").await; // So that the silent one has been accepted.
    face.stop().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "it is told, too");
}

on_each_engine! {
    async fn the_database_is_counted(app: TestApp) {
        app.people().await;
        for (id, ahead) in [(1, 0), (2, 5), (3, 20), (4, 80)] {
            app.key(id, days(ahead)).await;
        }
        app.key(5, days(60)).await;
        app.execute("UPDATE api_keys SET parked = 'x', next_job = 0, next_action_at = NULL WHERE id = 5")
            .await;
        flags::set(&app.db, "test", flags::PAUSE_PURGE, "for the test").await.unwrap();
        app.clock.advance(TimeDelta::minutes(2));

        let face = Face::of(&app).await;
        let page = face.get("/metrics").await.body;
        for line in [
            r#"lapsed_keys{state="active"} 4"#,
            r#"lapsed_keys{state="window"} 0"#,
            r#"lapsed_keys{state="parked"} 1"#,
            r#"lapsed_keys_expiring{within="1d"} 0"#,
            r#"lapsed_keys_expiring{within="7d"} 1"#,
            r#"lapsed_keys_expiring{within="30d"} 2"#,
            r#"lapsed_keys_due{job="sweep"} 4"#,
            r#"lapsed_keys_due{job="purge"} 0"#,
            r#"lapsed_due_oldest_age_seconds{job="sweep"} 120.0"#,
            r#"lapsed_notices{status="pending"} 0"#,
            r#"lapsed_paused{what="all"} 0"#,
            r#"lapsed_paused{what="purge"} 1"#,
            "lapsed_outbox_oldest_age_seconds 0.0",
            "lapsed_database_up 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }

        app.sweep().await;
        app.clock.advance(TimeDelta::minutes(1));
        let face = Face::of(&app).await;
        let page = face.get("/metrics").await.body;
        for line in [
            r#"lapsed_keys{state="active"} 3"#,
            r#"lapsed_keys{state="window"} 1"#,
            r#"lapsed_keys_due{job="sweep"} 0"#,
            r#"lapsed_notices{status="pending"} 3"#,
            "lapsed_outbox_oldest_age_seconds 60.0",
            r#"lapsed_job_runs_total{job="sweep",result="done"} 1"#,
            r#"lapsed_job_items_total{job="sweep",kind="changed"} 4"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
        face.stop().await;
    }
}

on_each_engine! {
    async fn what_was_told_is_counted_with_how_late_it_was(app: TestApp) {
        app.people().await;
        for id in 1..=3 {
            app.key(id, days(5)).await;
        }
        app.sweep().await;
        app.clock.advance(TimeDelta::minutes(20));
        app.job("deliver").await;
        let face = Face::of(&app).await;
        for path in ["/nothing", "/v1/keys", "/k/abc", "/admin"] {
            face.get(path).await;
        }
        let front = face.get("/").await;
        assert_eq!(front.status, 303);
        assert!(front.head.contains("location: /admin") && front.body.contains("/openapi.json"));
        let page = face.get("/metrics").await.body;
        for line in [
            r#"lapsed_mail_attempts_total{outcome="accepted"} 1"#,
            r#"lapsed_mail_attempts_total{outcome="channel"} 0"#,
            r#"lapsed_notice_delay_seconds_bucket{le="900.0"} 0"#,
            r#"lapsed_notice_delay_seconds_bucket{le="3600.0"} 3"#,
            "lapsed_notice_delay_seconds_sum 3600.0",
            r#"lapsed_notice_delay_seconds_bucket{le="+Inf"} 3"#,
            "lapsed_notice_delay_seconds_count 3",
            "lapsed_mail_possible_duplicates_total 0",
            "lapsed_database_query_failures_total 0",
            r#"lapsed_http_request_duration_seconds_count{route="other",status="4xx"} 1"#,
            r#"lapsed_http_request_duration_seconds_count{route="/v1/keys",status="4xx"} 1"#,
            r#"lapsed_http_request_duration_seconds_count{route="/k/{token}",status="5xx"} 1"#,
            r#"lapsed_http_request_duration_seconds_count{route="/admin",status="3xx"} 1"#,
            r#"lapsed_brake_on{what="purge"} 0"#,
            r#"lapsed_lease_held{job="seal"} 0"#,
            r#"lapsed_job_late_seconds{job="sweep"} 0.0"#,
            "lapsed_clock_offset_seconds 0.0",
            "lapsed_notices_overdue 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
        let n_selects = page.lines().find_map(|line| {
            line.strip_prefix(r#"lapsed_database_query_duration_seconds_count{op="select"} "#)
        });
        assert!(n_selects.unwrap().parse::<u64>().unwrap() > 0, "{page}");
        face.stop().await;
    }
}

on_each_engine! {
    async fn what_should_have_been_told_an_hour_ago_is_counted(app: TestApp) {
        app.people().await;
        app.key(1, days(7)).await;
        app.sweep().await;
        flags::set(&app.db, "test", "brake.purge", "no plan at all").await.unwrap();
        leases::take(&app.db, "seal", "somebody", TimeDelta::hours(2)).await.unwrap().unwrap();
        app.runner.due("sweep");
        for (minutes, n) in [(59, 0), (1, 1)] {
            app.clock.advance(TimeDelta::minutes(minutes));
            let face = Face::of(&app).await;
            let page = face.get("/metrics").await.body;
            for line in [
                &format!("lapsed_notices_overdue {n}"),
                r#"lapsed_brake_on{what="purge"} 1"#,
                r#"lapsed_lease_held{job="seal"} 1"#,
                r#"lapsed_lease_held{job="prune"} 0"#,
            ] {
                assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
            }
            let late = r#"lapsed_job_late_seconds{job="sweep"} 0.0"#;
            assert!(!page.lines().any(|line| line == late), "the schedule wants a run");
            face.stop().await;
        }
    }
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_is_there() {
    run(Engine::Sqlite, async |app: TestApp| {
        app.people().await;
        app.key(1, days(5)).await;
        app.pass().await;
        app.job("prune").await;
        let face = Face::of(&app).await;
        face.get("/livez").await; // So that an answer has been counted.
        let documented = include_str!("../../docs/metrics.md");
        let is_row =
            |line: &&str| line.starts_with("| `lapsed_") || line.starts_with("| `process_");
        let documented: BTreeSet<_> = documented.lines().filter(is_row).collect();
        let rows = rows(&face.get("/metrics").await.body);
        let rows: BTreeSet<_> = rows.iter().map(String::as_str).collect();
        assert_eq!(rows, documented);
        face.stop().await;
    })
    .await;
}

/// A scrape as the documentation has it: a row per metric, with the labels it really has.
fn rows(page: &str) -> Vec<String> {
    let (mut help, mut kind) = (BTreeMap::new(), BTreeMap::new());
    let mut labels = BTreeMap::<&str, BTreeSet<&str>>::new();
    for line in page.lines() {
        if let Some((name, text)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            help.insert(name, text);
        } else if let Some((name, text)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            kind.insert(name, text);
        } else {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let name = family.filter(|family| kind.contains_key(family)).unwrap_or(name);
            let names = rest.split(',').filter_map(|label| label.split_once('='));
            let names = names.map(|(name, _)| name).filter(|name| *name != "le");
            labels.entry(name).or_default().extend(names);
        }
    }
    assert_eq!(help.keys().collect::<Vec<_>>(), labels.keys().collect::<Vec<_>>());
    let row = |(name, labels): (&&str, &BTreeSet<&str>)| {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { String::new() } else { labels.join(", ") + " " };
        format!("| `{name}` | {} | {labels}| {} |", kind[name], help[name])
    };
    labels.iter().map(row).collect()
}

#[tokio::test]
async fn a_scraper_gets_the_format_it_asks_for() {
    let face = Face::start().await;
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    let open = send(face.address, "GET", "/metrics", accept).await;
    let kind = open.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(open.body.ends_with("# EOF\n"));
    let plain = face.get("/metrics").await;
    assert!(plain.header("content-type").unwrap().starts_with("text/plain"));
    assert!(!plain.body.contains("# EOF"));
    face.stop().await;
}

#[tokio::test]
async fn a_client_of_a_proxy_that_floods_the_pages_keeps_nobody_out() {
    let face = Face::start().await;
    let path = format!("/k/{}", "0".repeat(64));
    let ask = async |from: &str, path: &str| {
        send(face.address, "GET", path, &format!("x-forwarded-for: {from}\r\n")).await
    };
    let mut refused = BTreeMap::new();
    // More are served as this goes on, 5 in each second of it.
    for n in 0..300 {
        let path = if n % 2 == 0 { path.as_str() } else { "/admin" };
        // What a client claims of itself stands left of what the proxy says.
        let answer = ask(&format!("192.0.2.{}, 198.51.100.7", n % 200), path).await;
        if answer.status == 429 {
            assert!(answer.body.contains("Too many requests"), "{}", answer.body);
            assert!(answer.head.contains("default-src 'none'"), "{}", answer.head);
            *refused.entry(path).or_insert(0) += 1;
        }
    }
    assert_eq!(refused.len(), 2, "it is one measure for all pages: {refused:?}");
    assert_eq!(ask("198.51.100.8", &path).await.status, 503, "another client");
    assert_eq!(ask("198.51.100.7", "/livez").await.status, 200, "what is no page");
    face.stop().await;
}

//! What the real program's log says, and of what.

use lapsed::store::Engine;
use serde_json::Value;

use crate::{
    support::{
        daemon::{Daemon, Site, until},
        db::with_db,
        smtp::Plan,
        web::{Manner, WebServer},
    },
    watch::send,
};

const HANDBOOK: &str = include_str!("../../../docs/handbook.md");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The lines that say `text`.
fn lines(daemon: &Daemon, text: &str) -> Vec<Value> {
    let says = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains(text));
    daemon.log().into_iter().filter(says).collect()
}

/// A token of an administrator who may run jobs.
fn token(site: &Site) -> String {
    let made = site.run("admin token create --name ops --role operator");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn lines_name_the_request_and_the_trace_they_belong_to() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        let mut daemon = site.start();
        daemon.is_ready().await;
        let headers = format!(
            "X-Request-Id: from-the-proxy\r\nContent-Length: 0\r\n\
             traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\nAuthorization: Bearer {}\r\n",
            token(&site)
        );
        let path = "/v1/jobs/prune/run";
        let answer = send(daemon.address().unwrap(), "POST", path, &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.body);

        let is_ours = |line: &&Value| line["request_id"] == "from-the-proxy";
        let found = until("the answer is in the log", async || {
            let log = daemon.log();
            let found: Vec<_> = log.iter().filter(is_ours).cloned().collect();
            found.iter().any(|line| line["message"] == "Answered a request").then_some(found)
        })
        .await;
        assert!(found.iter().all(|line| line["trace_id"] == TRACE), "{found:?}");
        let said = |text: &str| {
            let says = |line: &&Value| line["message"].as_str().unwrap().starts_with(text);
            found.iter().find(says).unwrap_or_else(|| panic!("{text}: {found:?}"))
        };
        assert_eq!(said("Running a job by hand")["job"], "prune");
        let run = said("Ran job `prune`");
        assert_eq!((&run["job.name"], &run["job.cause"]), (&"prune".into(), &"manual".into()));
        let answered = said("Answered a request");
        assert_eq!(
            (&answered["route"], &answered["status"]),
            (&"/v1/jobs/{job}/run".into(), &200.into())
        );

        // A run that nobody asked for over HTTP is a trace of its own.
        let runs = lines(&daemon, "Ran job `sweep`");
        let traces: std::collections::BTreeSet<_> =
            runs.iter().map(|line| line["trace_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(traces.len(), runs.len(), "one line for each run: {runs:?}");
        daemon.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_pause_and_its_end_are_a_line_each() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        let mut daemon = site.start();
        daemon.is_ready().await;
        for (command, change) in [
            ("pause", "Paused all jobs"),
            ("resume", "Resumed all jobs"),
            ("pause --purge", "Paused purges"),
            ("resume --purge", "Resumed purges"),
        ] {
            assert!(site.run(command).status.success());
            daemon.has_logged(change).await;
        }
        let n_runs = daemon.n_runs("deliver");
        until("more runs", async || (n_runs + 2 < daemon.n_runs("deliver")).then_some(())).await;
        for change in ["Paused all jobs", "Resumed all jobs", "Paused purges", "Resumed purges"] {
            assert_eq!(daemon.n_logged(change), 1, "{change}");
        }
        daemon.stop().await;
        for change in ["Listening", "Started lapsed", "Stopping on SIGTERM", "Stopped lapsed"] {
            assert_eq!(daemon.n_logged(change), 1, "{change}");
        }
    })
    .await;
}

/// The filter that the handbook says to set, to see `what`.
fn filter(what: &str) -> &'static str {
    let row = HANDBOOK.lines().find_map(|line| line.strip_prefix(&format!("| {what}")));
    row.unwrap().split_once("log.filter = \"").unwrap().1.split('"').next().unwrap()
}

#[tokio::test]
async fn the_handbook_says_what_shows_runs_that_found_nothing_and_requests() {
    const IDLE: &str = "Ran job `sweep`: nothing was due";
    const ASKED: &str = "Answered a request";

    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let site = Site::new(&test_db, relay.port).await;
        let runs = filter("a line for each run");
        let requests = filter("a line for each request");
        for (filter, shows_runs, shows_requests) in
            [("info", false, false), (runs, true, false), (requests, false, true)]
        {
            let mut daemon = site.start_with(&[("LAPSED_LOG__FILTER", filter)]);
            daemon.is_ready().await;
            let n_runs = until("some runs", async || {
                let (_, page) = daemon.get("/metrics").await?;
                let of_sweep = "lapsed_job_runs_total{job=\"sweep\",result=\"done\"} ";
                let n = page.lines().find_map(|line| line.strip_prefix(of_sweep))?;
                n.parse::<usize>().ok().filter(|n| 3 <= *n)
            })
            .await;
            daemon.stop().await;
            let (n_idle, n_asked) = (daemon.n_logged(IDLE), daemon.n_logged(ASKED));
            assert_eq!((0 < n_idle, 0 < n_asked), (shows_runs, shows_requests), "{filter}");
            assert!(!shows_runs || n_runs <= n_idle, "{n_runs} runs are {n_idle} lines");
        }
    })
    .await;
}

#[tokio::test]
async fn a_collector_is_told_of_requests_and_runs_and_holds_nothing_up() {
    with_db(Engine::Sqlite, |test_db| async move {
        let relay = Plan::new().start().await;
        let collector = WebServer::start(None).await;
        let site = Site::new(&test_db, relay.port).await;
        let url = format!("http://127.0.0.1:{}/v1/traces", collector.port());
        collector.answers(Manner::Status(503));
        let mut daemon = site.start_with(&[("LAPSED_TRACES__URL", &url)]);
        daemon.has_logged("Failed to send spans").await;
        collector.answers(Manner::Status(200));
        daemon.has_logged("takes spans again").await;

        let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
        send(daemon.address().unwrap(), "GET", "/livez", &parent).await;
        let spans = || {
            let bodies = collector.asked().into_iter().filter_map(|request| {
                assert!(request.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{request}");
                serde_json::from_str::<Value>(request.split_once("\r\n\r\n")?.1).ok()
            });
            let spans = |body: Value| {
                body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
            };
            bodies.flat_map(spans).collect::<Vec<_>>()
        };
        let request = until("the request's span", async || {
            spans().into_iter().find(|span| span["traceId"] == TRACE)
        })
        .await;
        assert_eq!((&request["name"], &request["kind"]), (&"GET /livez".into(), &2.into()));
        assert_eq!(request["parentSpanId"], "00f067aa0ba902b7");
        assert!(spans().iter().any(|span| span["name"] == "job deliver"), "{:?}", spans());
        assert_eq!(daemon.n_errors(), 0);
        collector.answers(Manner::Silence);
        daemon.stop().await;
    })
    .await;
}

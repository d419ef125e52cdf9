//! Alerts, runbook and dashboard: that they speak of metrics that exist, and of each other. What a
//! metric is called is compared with a real scrape in `http.rs`, by way of `docs/metrics.md`.

use std::collections::BTreeSet;

const ALERTS: &str = include_str!("../../monitoring/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../../monitoring/alerts.test.yaml");
const DASHBOARD: &str = include_str!("../../monitoring/dashboard.json");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");
const METRICS: &str = include_str!("../../docs/metrics.md");

/// The names of samples that a scrape has.
fn samples() -> BTreeSet<String> {
    let mut samples = BTreeSet::new();
    for row in METRICS.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let ends: &[&str] =
            if cells[2] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        samples.extend(ends.iter().map(|end| format!("{name}{end}")));
    }
    samples
}

/// The metrics that an expression names.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_ours = |word: &&str| word.starts_with("lapsed_") || word.starts_with("process_");
    words.filter(is_ours).map(str::to_owned).collect()
}

/// What stands behind `key: ` in each line that has it.
fn values<'a>(yaml: &'a str, key: &str) -> Vec<&'a str> {
    let key = format!("{key}: ");
    yaml.lines().filter_map(|line| Some(line.split_once(&key)?.1.trim())).collect()
}

#[test]
fn every_alert_speaks_of_metrics_that_exist() {
    let samples = samples();
    let expressions = values(ALERTS, "expr");
    assert_eq!(expressions.len(), values(ALERTS, "- alert").len());
    for expression in expressions {
        let named = named(expression);
        assert!(!named.is_empty(), "{expression}");
        assert!(named.is_subset(&samples), "{expression}");
    }
}

#[test]
fn every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() {
    let alerts = values(ALERTS, "- alert");
    let sections: Vec<_> = RUNBOOK.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections, alerts);
    let links: Vec<_> = values(ALERTS, "runbook_url")
        .into_iter()
        .map(|link| link.split_once("runbook.md#").unwrap().1.to_owned())
        .collect();
    let anchors: Vec<_> = alerts.iter().map(|alert| alert.to_lowercase()).collect();
    assert_eq!(links, anchors);
    for section in RUNBOOK.split("\n## ").skip(1) {
        for part in ["**Waiting costs:**", "**Look:**", "**Do:**"] {
            assert!(section.contains(part), "{part} {section}");
        }
    }
}

#[test]
fn every_alert_is_tried_silent_and_firing() {
    for alert in values(ALERTS, "- alert") {
        for kind in ["silent", "firing"] {
            let name = format!("- name: {alert} {kind}\n");
            assert!(ALERT_TESTS.contains(&name), "{name}");
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let shown: BTreeSet<_> =
        targets.flat_map(|target| named(target["expr"].as_str().unwrap())).collect();
    let samples = samples();
    assert!(shown.is_subset(&samples), "{:?}", shown.difference(&samples).collect::<Vec<_>>());
    let family = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<_> = shown.iter().map(|name| family(name)).collect();
    let there: BTreeSet<_> = samples.iter().map(|name| family(name)).collect();
    let hidden: Vec<_> = there.difference(&shown).collect();
    assert!(hidden.is_empty(), "on no panel: {hidden:?}");
}

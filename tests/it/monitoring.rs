//! Alerts, runbook and dashboard: that they speak of metrics that exist, and of each other. What a
//! metric is called is compared with a real scrape in `http.rs`, by way of `docs/metrics.md`.

use std::{collections::BTreeSet, fs, path::Path};

const ALERTS: &str = include_str!("../../monitoring/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../../monitoring/alerts.test.yaml");
const DASHBOARD: &str = include_str!("../../monitoring/dashboard.json");
const RUNBOOK: &str = include_str!("../../docs/runbook/README.md");
const REFERENCE: &str = include_str!("../../docs/configuration.md");
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

/// A rule: its name, and what stands below that.
fn rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALERTS.split("- alert: ").skip(1).map(|rule| rule.split_once('\n').unwrap())
}

/// The pages of the runbook: the name of each, and its text.
fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<_> = fs::read_dir("docs/runbook")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("README.md"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    pages.sort();
    pages
}

/// Every file below `folder` whose name ends in `.rs`, one after the other, as one text.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.collect();
    paths.sort();
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => sources(&path),
        false => fs::read_to_string(path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

/// Text without the ends of its lines, and without those that a text in Rust goes on after.
fn joined(text: &str) -> String {
    text.replace("\\\n", "\n").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_alert_has_one_page_of_the_runbook_and_every_page_an_alert() {
    let alerts = values(ALERTS, "- alert");
    let mut sorted = alerts.clone();
    sorted.sort_unstable();
    let pages = pages();
    let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, sorted, "one page for each alert");

    let links: Vec<_> = values(ALERTS, "runbook_url");
    let place = |alert: &&str| format!("file:///usr/share/doc/lapsed/runbook/{alert}.md");
    assert_eq!(links, alerts.iter().map(place).collect::<Vec<_>>());
    let listed: Vec<_> = RUNBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("| ["))
        .map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let row = |(name, rule): (&str, &str)| format!("{name}]({name}.md) {}", severity(rule));
    assert_eq!(listed, rules().map(row).collect::<Vec<_>>(), "docs/runbook/README.md");
}

fn severity(rule: &str) -> &str {
    rule.split("severity: ").nth(1).unwrap().split('}').next().unwrap()
}

#[test]
fn every_page_says_what_its_alert_says_and_has_all_its_parts() {
    const PARTS: [&str; 5] = ["What it means", "Look", "Do", "It is over when", "Get help when"];

    let pages = pages();
    for (name, rule) in rules() {
        let (_, page) = pages.iter().find(|(page, _)| page == name).unwrap();
        assert!(page.starts_with(&format!("# {name}\n\n")), "{name}");
        let waits = values(rule, "for").first().map(|wait| format!(", for {wait}"));
        let fires = format!(
            "\n\nSeverity **{}**. It fires while this holds{}:\n\n```promql\n{}\n```\n",
            severity(rule),
            waits.unwrap_or_default(),
            values(rule, "expr")[0]
        );
        assert!(page.contains(&fires), "{name} does not say:{fires}");
        let parts: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(parts, PARTS, "{name}");
        for part in page.split("\n## ").skip(1) {
            let (title, text) = part.split_once('\n').unwrap();
            assert!(!text.trim().is_empty(), "{name}: nothing stands below {title}");
        }
    }
}

#[test]
fn the_runbook_names_nothing_that_is_not_there() {
    let program = joined(&sources(Path::new("src")));
    let titles = joined(DASHBOARD);
    let samples = samples();
    let sections: BTreeSet<_> = REFERENCE
        .lines()
        .filter_map(|line| line.strip_prefix("## `[")?.strip_suffix("]`"))
        .collect();
    for (name, page) in pages() {
        for metric in named(&page) {
            let mut ends = ["", "_bucket"].iter().map(|end| format!("{metric}{end}"));
            assert!(ends.any(|sample| samples.contains(&sample)), "{name}: {metric}");
        }
        // What the log or a command says stands in double quotes.
        let text = joined(page.split("\n## ").skip(1).collect::<String>().as_str());
        let prose: String = text.split('`').step_by(2).collect();
        for said in prose.split('"').skip(1).step_by(2) {
            let is_there = program.contains(said) || titles.contains(said);
            assert!(is_there, "{name}: nothing says \"{said}\"");
        }
        for code in text.split('`').skip(1).step_by(2) {
            let option = code.split(' ').next().unwrap();
            let is_option = option
                .split_once('.')
                .is_some_and(|(section, field)| sections.contains(section) && !field.contains('/'));
            let is_there = REFERENCE.contains(&format!("### `{option}`\n"));
            assert!(!is_option || is_there, "{name}: there is no option {option}");
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

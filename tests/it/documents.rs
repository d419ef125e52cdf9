//! The documents name what there is.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use lapsed::{
    domain::{identity::KeyKind, policy::Policies},
    store::policies::PolicyBook,
};

use crate::cli::Lapsed;

/// Every `file.rs::test` that stands in backquotes.
fn tests_named_in(text: &str) -> Vec<(&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|name| name.split_once(".rs::")).collect()
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let documents = [
        ("docs/reliability.md", 40),
        ("docs/security.md", 100),
        ("docs/rotation.md", 35),
        ("docs/pages.md", 70),
    ];
    for (document, least) in documents {
        let text = fs::read_to_string(document).unwrap();
        let named = tests_named_in(&text);
        assert!(least < named.len(), "{document}: only {} tests are named", named.len());
        for (file, test) in named {
            // A unit test is named with its whole path.
            let folder = if file.starts_with("src/") { "" } else { "tests/it" };
            let path = Path::new(folder).join(format!("{file}.rs"));
            let source = fs::read_to_string(&path).unwrap_or_default();
            let is_there = source.contains(&format!("fn {test}("));
            assert!(is_there, "{document}: there is no {file}.rs::{test}");
        }
    }
}

#[test]
fn every_requirement_of_security_is_shown_by_a_test_or_a_script() {
    let text = fs::read_to_string("docs/security.md").unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(50 < rows.len(), "only {}", rows.len());
    for row in rows {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches([' ', '|'])).collect();
        let [numbers, _, shown] = cells.as_slice() else { panic!("three cells: {row}") };
        let is_number = |number: &str| {
            let parts: Vec<_> = number.split('.').collect();
            parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
        };
        let mut all = numbers.split([',', ' ']).filter(|word| !["", "to"].contains(word));
        assert!(all.all(is_number), "numbers of requirements: {numbers}");
        for named in shown.split(", ").map(|named| named.trim_matches('`')) {
            let is_script = named.starts_with(".ci/") && fs::exists(named).unwrap();
            assert!(is_script || named.contains(".rs::"), "{numbers}: what is {named}?");
        }
    }
}

/// Every document there is.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    found
}

/// What links to the headings of `text` end with.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let headings = headings.filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let anchor = |heading: &str| {
        let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut all = documents(Path::new("docs"));
    all.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(PathBuf::from));
    let mut n_links = 0;
    for document in all {
        let text = fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = document.parent().unwrap().join(path);
            let to = if path.is_empty() { document.clone() } else { to };
            let is_there = match anchor {
                "" => to.exists(),
                _ => anchors(&fs::read_to_string(&to).unwrap_or_default()).contains(anchor),
            };
            assert!(is_there, "{}: {link} leads nowhere", document.display());
            n_links += 1;
        }
    }
    assert!(150 < n_links, "only {n_links}");
}

#[test]
fn every_field_of_a_policy_is_explained_and_in_the_help() {
    let book = PolicyBook::new(Policies::default());
    let there: Vec<_> =
        book.effective(0, 0, KeyKind::User).into_iter().map(|field| field.field).collect();
    let text = fs::read_to_string("docs/policies.md").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let explained: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
    assert_eq!(explained, there, "docs/policies.md");
    let help = Lapsed::new().ok("policy set --help").stdout;
    for field in there {
        let is_there = help.lines().any(|line| line.split_whitespace().next() == Some(field));
        assert!(is_there, "`lapsed policy set --help` does not name {field}");
    }
}

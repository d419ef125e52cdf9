//! The documents name what there is.

use std::path::Path;

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
        ("docs/security.md", 30),
        ("docs/rotation.md", 35),
        ("docs/pages.md", 70),
    ];
    for (document, least) in documents {
        let text = std::fs::read_to_string(document).unwrap();
        let named = tests_named_in(&text);
        assert!(least < named.len(), "{document}: only {} tests are named", named.len());
        for (file, test) in named {
            // A unit test is named with its whole path.
            let folder = if file.starts_with("src/") { "" } else { "tests/it" };
            let path = Path::new(folder).join(format!("{file}.rs"));
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            let is_there = source.contains(&format!("fn {test}("));
            assert!(is_there, "{document}: there is no {file}.rs::{test}");
        }
    }
}

#[test]
fn every_field_of_a_policy_is_explained_and_in_the_help() {
    let book = PolicyBook::new(Policies::default());
    let there: Vec<_> =
        book.effective(0, 0, KeyKind::User).into_iter().map(|field| field.field).collect();
    let text = std::fs::read_to_string("docs/policies.md").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let explained: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
    assert_eq!(explained, there, "docs/policies.md");
    let help = Lapsed::new().ok("policy set --help").stdout;
    for field in there {
        let is_there = help.lines().any(|line| line.split_whitespace().next() == Some(field));
        assert!(is_there, "`lapsed policy set --help` does not name {field}");
    }
}

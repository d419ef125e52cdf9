//! The documents name what there is.

use std::path::Path;

/// Every `file.rs::test` that stands in backquotes.
fn tests_named_in(text: &str) -> Vec<(&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|name| name.split_once(".rs::")).collect()
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let documents =
        [("docs/reliability.md", 40), ("docs/security.md", 30), ("docs/rotation.md", 35)];
    for (document, least) in documents {
        let text = std::fs::read_to_string(document).unwrap();
        let named = tests_named_in(&text);
        assert!(least < named.len(), "{document}: only {} tests are named", named.len());
        for (file, test) in named {
            let path = Path::new("tests/it").join(format!("{file}.rs"));
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            let is_there = source.contains(&format!("fn {test}("));
            assert!(is_there, "{document}: there is no {file}.rs::{test}");
        }
    }
}

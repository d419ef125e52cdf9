//! Wrong configurations, and the exact words about them.
//!
//! `wrong.txt` has the cases, with an empty line between them: the lines of the file, lines
//! `$ NAME=value` for the environment, a line `=>`, and then what an operator reads.

use std::fmt::Write;

use super::load_with;

const CASES: &str = include_str!("wrong.txt");

/// What an operator reads about the configuration `input`.
fn told(input: &str) -> String {
    let variables: Vec<_> = input
        .lines()
        .filter_map(|line| line.strip_prefix("$ ").and_then(|line| line.split_once('=')))
        .collect();
    let file: Vec<_> = input.lines().filter(|line| !line.starts_with("$ ")).collect();
    match load_with(&file.join("\n"), &variables) {
        Ok(_) => "nothing".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn each_mistake_is_told_where_it_is_and_with_what_is_right() {
    let mut n_cases = 0;
    let mut wrong = String::new();
    for block in CASES.split("\n\n").map(str::trim_end) {
        let Some((input, expected)) = block.split_once("\n=>\n") else { continue };
        n_cases += 1;
        let told = told(input);
        if told != expected {
            let _ = writeln!(wrong, "{input}\n=>\n{told}\n");
        }
    }
    assert!(wrong.is_empty(), "told otherwise:\n\n{wrong}");
    assert!(40 <= n_cases, "only {n_cases} cases were found");
}

#[test]
fn no_secret_is_told() {
    for block in CASES.split("\n\n") {
        let Some((input, _)) = block.split_once("\n=>\n") else { continue };
        assert!(!told(input).contains("hunter2"), "{input}");
    }
}

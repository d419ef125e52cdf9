//! Keeps the arrows of ARCHITECTURE.md pointing one way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What the sources of a room must not name: other rooms, and other people's libraries.
const MUST_NOT_NAME: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "sea_orm",
            "tokio",
            "tokio_util",
            "lettre",
            "axum",
            "figment",
            "tracing",
            "serde",
            "serde_json",
            "rand",
            "clap",
            "app",
            "cli",
            "clock",
            "config",
            "daemon",
            "demo",
            "http",
            "jobs",
            "keyring",
            "mail",
            "metrics",
            "schedule",
            "store",
        ],
    ),
    ("config", &["sea_orm", "tokio", "lettre", "axum", "tracing", "jobs", "mail", "store", "cli"]),
    (
        "store",
        &[
            "lettre",
            "axum",
            "figment",
            "clap",
            "minijinja",
            "app",
            "cli",
            "config",
            "http",
            "jobs",
            "mail",
        ],
    ),
    (
        "mail",
        &["sea_orm", "axum", "figment", "clap", "app", "cli", "config", "http", "jobs", "store"],
    ),
    (
        "jobs",
        &[
            "sea_orm",
            "axum",
            "figment",
            "clap",
            "tokio_cron_scheduler",
            "lettre",
            "app",
            "cli",
            "config",
            "http",
        ],
    ),
    (
        "http",
        &["sea_orm", "lettre", "figment", "clap", "tokio_cron_scheduler", "app", "cli", "config"],
    ),
    ("cli", &["sea_orm", "lettre", "axum", "tokio_cron_scheduler"]),
    ("demo", &["sea_orm", "lettre", "axum", "clap", "cli", "config", "http"]),
];

/// Libraries that belong to one room alone.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("lettre", &["mail"]),
    ("tokio_cron_scheduler", &["schedule"]),
    ("figment", &["config"]),
    ("axum", &["http"]),
    ("utoipa", &["http"]),
    ("utoipa_axum", &["http"]),
    ("clap", &["cli", "main"]),
    ("minijinja", &["mail"]),
];

#[test]
fn no_room_names_what_it_must_not_know() {
    for (room, names) in MUST_NOT_NAME {
        let sources = sources(&Path::new("src").join(room));
        assert!(!sources.is_empty(), "src/{room} is gone; so is its line in this test, then");
        for (file, text) in sources {
            for name in *names {
                // A room may have a file of its own that is called like another room.
                let is_own = Path::new("src").join(room).join(name).with_extension("rs").exists();
                assert!(is_own || !does_name(&text, name), "{} names `{name}`", file.display());
            }
        }
    }
}

#[test]
fn a_library_stays_in_its_room() {
    for (library, rooms) in ONLY_IN {
        for (file, text) in sources(Path::new("src")) {
            let first = file.strip_prefix("src").unwrap().iter().next().unwrap();
            let room = first.to_str().unwrap().trim_end_matches(".rs");
            let is_home = rooms.contains(&room);
            assert!(is_home || !does_name(&text, library), "{} names `{library}`", file.display());
        }
    }
}

#[test]
fn a_room_is_small_enough_to_be_read() {
    /// Beyond this a file holds two ideas.
    const MOST_LINES: usize = 400;

    for (file, text) in sources(Path::new("src")) {
        let n_lines = text.lines().count();
        assert!(n_lines <= MOST_LINES, "{} has {n_lines} lines: split it", file.display());
    }
}

/// Whether `text`, comments aside, names `name` as a path: `name::…`.
fn does_name(text: &str, name: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.into_iter().any(|line| {
        line.match_indices(&format!("{name}::")).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                // A path of the standard library or of another crate may have the same segment.
                && (!line[..at].ends_with("::") || line[..at].ends_with("crate::"))
        })
    })
}

/// All sources below `dir`, or the one file of a room that has no folder.
fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    if !dir.is_dir() {
        let file = dir.with_extension("rs");
        let text = fs::read_to_string(&file).ok();
        return text.map(|text| (file, text)).into_iter().collect();
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

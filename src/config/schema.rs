//! Which options exist, in the order of `default.toml`, and what each may be.

use crate::config::{
    brake, clock, database, http, jobs, keys, lifecycle, log, mail, ping, rule::Rule, schedule,
    smtp, traces,
};

/// Options of one section: the full name and the rule of each.
pub(super) type Rules = &'static [(&'static str, Rule)];

/// The sections in the order of `default.toml`.
const SECTIONS: &[(&str, Rules)] = &[
    ("database", database::RULES),
    ("keys", keys::RULES),
    ("lifecycle", lifecycle::RULES),
    ("purge", lifecycle::PURGE_RULES),
    ("brake", brake::RULES),
    ("clock", clock::RULES),
    ("mail", mail::RULES),
    ("smtp", smtp::RULES),
    ("http", http::RULES),
    ("schedule", schedule::RULES),
    ("jobs", jobs::RULES),
    ("retention", jobs::RETENTION_RULES),
    ("ping", ping::RULES),
    ("log", log::RULES),
    ("traces", traces::RULES),
];

/// The names of the sections.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(name, _)| *name)
}

/// The options with their full names, such as `http.listen`.
pub(super) fn options() -> impl Iterator<Item = (&'static str, &'static Rule)> {
    SECTIONS.iter().flat_map(|(_, rules)| rules.iter()).map(|(name, rule)| (*name, rule))
}

/// The option with the full name `name`.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static Rule)> {
    options().find(|(option, _)| *option == name)
}

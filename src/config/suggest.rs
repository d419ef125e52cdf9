//! What somebody may have meant by a name that does not exist.

use crate::config::schema;

/// Names that other programs use, or that people expect, where letters alone lead elsewhere.
const ALSO_CALLED: &[(&str, &str)] = &[
    ("database.dsn", "database.url"),
    ("database.password", "database.password_file"),
    ("database.pool_size", "database.max_connections"),
    ("http.address", "http.listen"),
    ("http.bind", "http.listen"),
    ("http.port", "http.listen"),
    ("keys.pepper", "keys.master_key_file"),
    ("lifecycle.grace_days", "lifecycle.window_days"),
    ("lifecycle.notice_days", "lifecycle.reminder_days"),
    ("lifecycle.ttl_days", "lifecycle.default_ttl_days"),
    ("log.level", "log.filter"),
    ("mail.sender", "mail.from"),
    ("schedule.tz", "schedule.time_zone"),
    ("smtp.password", "smtp.password_file"),
    ("smtp.server", "smtp.host"),
    ("smtp.starttls", "smtp.tls"),
];

/// How alike two names must be for the one to be taken for the other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The one of `candidates` that is most like `wanted`, if any is like it.
pub(super) fn nearest<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    candidates
        .map(|candidate| (strsim::jaro_winkler(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| ALIKE <= *likeness)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The section that `name` may mean.
pub(super) fn section(name: &str) -> Option<&'static str> {
    nearest(name, schema::sections())
}

/// The option that `section.option` may mean, by its full name. `section` may be empty.
pub(super) fn option(section: &str, option: &str) -> Option<&'static str> {
    let full = format!("{section}.{option}").to_lowercase();
    let known_by = || ALSO_CALLED.iter().find(|(other, _)| *other == full).map(|(_, name)| *name);
    let elsewhere = || names().find(|name| last(name) == option.to_lowercase());
    let in_section = || {
        let same_section = names().filter(|name| first(name) == section);
        nearest(option, same_section.clone().map(last))
            .and_then(|near| same_section.clone().find(|name| last(name) == near))
    };
    known_by()
        .or_else(|| names().find(|name| *name == full))
        // The very name, in another section, says more than one that is only like it.
        .or_else(elsewhere)
        .or_else(in_section)
        .or_else(|| nearest(&full, names()))
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    schema::options().map(|(name, _)| name).collect::<Vec<_>>().into_iter()
}

fn first(name: &'static str) -> &'static str {
    name.split_once('.').map_or(name, |(section, _)| section)
}

fn last(name: &'static str) -> &'static str {
    name.split_once('.').map_or(name, |(_, option)| option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_lead_to_options_and_shadow_none() {
        for (other, name) in ALSO_CALLED {
            assert!(schema::find(name).is_some(), "{name}");
            assert!(schema::find(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_name_nearby_is_found() {
        for (section, name, meant) in [
            ("http", "listn", Some("http.listen")),
            ("lifecycle", "notice_days", Some("lifecycle.reminder_days")),
            ("schedule", "timezone", Some("schedule.time_zone")),
            ("smtp", "user", Some("smtp.username")),
            ("smtp", "public_url", Some("mail.public_url")),
            ("jobs", "time_zone", Some("schedule.time_zone")),
            ("smpt", "host", Some("smtp.host")),
            ("", "listen", Some("http.listen")),
            ("HTTP", "LISTEN", Some("http.listen")),
            ("http", "xyzzy", None),
        ] {
            assert_eq!(option(section, name), meant, "{section}.{name}");
        }
        assert_eq!(super::section("lifecyle"), Some("lifecycle"));
        assert_eq!(super::section("xyzzy"), None);
    }
}

//! What a running daemon takes over from a changed configuration, and what it does not.

use crate::config::Loaded;

/// What a running daemon takes over: whole sections, and single options. Everything else is
/// decided at the start: a database, a master key or a socket is not exchanged under way.
const LIVE: [&str; 11] = [
    "lifecycle.",
    "purge.",
    "brake.",
    "clock.",
    "mail.",
    "smtp.",
    "schedule.",
    "jobs.",
    "retention.",
    "ping.",
    "log.filter",
];

impl Loaded {
    /// This configuration with what a running daemon takes over from `new`, and the options that
    /// differ in `new` but need a restart, in the order of `default.toml`.
    pub fn renewed(&self, new: Self) -> (Self, Vec<&'static str>) {
        let (old, mut config) = (&self.config, new.config.clone());
        config.database = old.database.clone();
        config.keys = old.keys.clone();
        config.http = old.http.clone();
        config.log.format = old.log.format;
        config.traces = old.traces.clone();
        let is_live = |option: &&str| LIVE.iter().any(|live| option.starts_with(live));
        let mut values = new.values.clone();
        for (option, value) in &self.values {
            if !is_live(option) {
                values.insert(option, value.clone());
            }
        }
        let kept = self.differing(&new).into_iter().filter(|option| !is_live(option)).collect();
        (Self { config, values, ..new }, kept)
    }

    /// The options whose values are not the same in `other`, in the order of `default.toml`.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let differs = |option: &&str| self.values.get(option) != other.values.get(option);
        super::schema::options().map(|(option, _)| option).filter(differs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, schema};

    fn load(options: &[(&str, &str)]) -> Loaded {
        let env = options.iter().map(|(name, text)| (format!("LAPSED_{name}"), (*text).to_owned()));
        Config::load(None, env).unwrap()
    }

    #[test]
    fn live_options_are_taken_over_and_the_others_are_named() {
        let old = load(&[]);
        let new = load(&[
            ("LIFECYCLE__WINDOW_DAYS", "9"),
            ("LOG__FILTER", "debug"),
            ("LOG__FORMAT", "json"),
            ("HTTP__LISTEN", "127.0.0.1:1"),
            ("DATABASE__MAX_CONNECTIONS", "3"),
        ]);
        let (renewed, kept) = old.renewed(new);
        assert_eq!(renewed.config.lifecycle.window_days, 9);
        assert_eq!(renewed.config.log.filter, "debug");
        assert_eq!(renewed.config.database.max_connections, 8);
        assert_eq!(renewed.config.http.listen, old.config.http.listen);
        assert_eq!(kept, ["database.max_connections", "http.listen", "log.format"]);
        // What needs a restart is said again at the next reload, and what was taken is not news.
        assert_eq!(old.differing(&renewed), ["lifecycle.window_days", "log.filter"]);
    }

    #[test]
    fn every_live_name_is_an_option_or_a_section() {
        for live in LIVE {
            assert!(schema::options().any(|(option, _)| option.starts_with(live)), "{live}");
        }
    }

    #[test]
    fn whatever_is_not_live_keeps_its_value() {
        // Fails where a section is added that is neither live nor kept above.
        let kept = ["database.", "keys.", "http.", "log.format", "traces."];
        for (option, _) in schema::options() {
            let is = |names: &[&str]| names.iter().any(|name| option.starts_with(name));
            assert!(is(&LIVE) != is(&kept), "{option}: can a running daemon take it over?");
        }
    }
}

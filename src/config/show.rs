//! What `lapsed config show` shows: every option, its value, and where that comes from.

use std::fmt::Write;

use serde::Serialize;

use crate::config::{Loaded, Origin, schema, url};

/// One option as it is in effect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownOption {
    /// The full name, such as `http.listen`.
    pub name: &'static str,
    /// The value; its text is TOML. It is never a secret, only the path of one.
    pub value: toml::Value,
    /// Where the value comes from.
    pub origin: Origin,
}

/// All options in effect, in the order of the manual.
pub fn show(loaded: &Loaded) -> Vec<ShownOption> {
    schema::options()
        .filter_map(|(name, _)| {
            let value = match loaded.values.get(name)? {
                // Loading refuses a URL with a password. This is for the day somebody adds an
                // option where it does not.
                toml::Value::String(text) => toml::Value::String(url::mask_password(text)),
                value => value.clone(),
            };
            Some(ShownOption { name, value, origin: loaded.origins.of(name) })
        })
        .collect()
}

/// `options` as text: a line `name = value  # lapsed.toml:12` for each, aligned. It is TOML, and
/// gives the same configuration again.
pub fn render(options: &[ShownOption]) -> String {
    /// A value that is longer does not push the origins of all others to the right.
    const WIDEST: usize = 40;
    let lengths = |text: fn(&ShownOption) -> String| {
        options.iter().map(move |option| text(option).chars().count())
    };
    let name_width = lengths(|option| option.name.to_owned()).max().unwrap_or_default();
    let value_width = lengths(|option| option.value.to_string())
        .filter(|length| *length <= WIDEST)
        .max()
        .unwrap_or_default();
    options.iter().fold(String::new(), |mut text, ShownOption { name, value, origin }| {
        let value = value.to_string();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:name_width$} = {value:value_width$}  # {origin}");
        text
    })
}

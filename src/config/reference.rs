//! The manual page of the options, made from `default.toml` and the rules.

use std::fmt::Write;

use toml_edit::{DocumentMut, RawString, Table};

use crate::config::{DEFAULTS, environment, schema};

/// The text of `docs/configuration.md`: every option with its meaning, its default, what it may
/// be and the variable that sets it.
pub fn reference() -> String {
    // A test loads the defaults, so that they are TOML.
    let document: DocumentMut = DEFAULTS.parse().unwrap_or_default();
    let mut page = String::from(
        "<!-- Made from config/default.toml by `BLESS=1 cargo test --lib config`. \
         Change that file, not this one. -->\n\n# Configuration\n",
    );
    for (position, (name, section)) in document.iter().enumerate() {
        let Some(section) = section.as_table() else { continue };
        let comment = comment(section.decor().prefix());
        // What stands before the first section is about the whole file, up to the last gap.
        let (about_file, about_section) = match comment.rsplit_once("\n\n\n") {
            Some((file, section)) if position == 0 => (file, section),
            _ => ("", comment.as_str()),
        };
        if !about_file.is_empty() {
            page.push_str(&format!("\n{about_file}\n"));
        }
        page.push_str(&format!("\n## `[{name}]`\n\n{about_section}\n"));
        for (option, value) in section {
            page.push_str(&entry(section, &format!("{name}.{option}"), option, value));
        }
    }
    page
}

fn entry(section: &Table, name: &str, option: &str, value: &toml_edit::Item) -> String {
    let about =
        section.key(option).map(|key| comment(key.leaf_decor().prefix())).unwrap_or_default();
    let allowed = schema::find(name).map(|(_, rule)| rule.allowed()).unwrap_or_default();
    // Markdown takes `<keys@example.com>` for a link.
    let allowed = allowed.replace('<', "\\<");
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n### `{name}`\n\n{about}\n\n- Default: `{}`\n- Allowed: {allowed}\n- Variable: `{}`\n",
        value.to_string().trim(),
        environment::variable(name),
    );
    text
}

/// The text of a comment, without its marks. An empty comment line is a gap between paragraphs,
/// an empty line a wider one.
fn comment(prefix: Option<&RawString>) -> String {
    let lines: Vec<_> = prefix
        .and_then(RawString::as_str)
        .unwrap_or_default()
        .trim()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(text) => text.trim(),
            None => "\n",
        })
        .collect();
    lines.join("\n")
}

//! The layer that a TOML file makes, with the place of every value.

use std::{ops::Range, path::Path};

use serde::{Deserialize, de::IntoDeserializer};
use toml::Value;
use toml_edit::{ImDocument, Item, Key};

use crate::config::{layer::Layer, origin::Origin, problem::Problem, rule::found, schema, suggest};

/// Reads the file at `path`. A file that cannot be read is a problem like any other.
pub(super) fn read(path: &Path) -> Layer {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(error) => {
            let message = format!("{}: cannot be read: {error}", path.display());
            let problems = vec![Problem::stray(Origin::Default, message, None)];
            Layer { entries: Vec::new(), problems }
        }
    }
}

/// Reads `text`, which stands in the file at `path`.
pub(super) fn parse(text: &str, path: &Path) -> Layer {
    let mut reader = Reader { text, path, layer: Layer::default() };
    match ImDocument::parse(text) {
        Ok(document) => {
            for (name, _) in document.iter() {
                if let Some((key, item)) = document.get_key_value(name) {
                    reader.section(key, item);
                }
            }
        }
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            let message = error.message().trim().replace('\n', ", ");
            let hint = lacks_quotes(text, start).then(|| "a text needs quotes".to_owned());
            reader.stray(reader.origin(error.span()), format!("this is not TOML: {message}"), hint);
        }
    }
    reader.layer
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    layer: Layer,
}

impl Reader<'_> {
    fn section(&mut self, key: &Key, item: &Item) {
        let name = &shown_name(key);
        // A table begins with its bracket, any other item with its key.
        let header = item.as_table().and_then(toml_edit::Table::span);
        let origin = self.origin(header.or_else(|| key.span()));
        let is_known = schema::sections().any(|section| section == name);
        match item.as_table_like() {
            Some(options) if is_known => {
                for (option, _) in options.iter() {
                    if let Some((key, item)) = options.get_key_value(option) {
                        self.option(name, key, item);
                    }
                }
            }
            None if is_known => {
                let message = format!("{name} is {}, but is a section", shown(item));
                self.stray(origin, message, Some(format!("write `[{name}]`, then its options")));
            }
            Some(_) => {
                let hint = suggest::section(name).map(|near| format!("did you mean `[{near}]`?"));
                self.stray(origin, format!("[{name}] is not a section"), hint);
            }
            None => {
                let near = suggest::option("", name);
                self.stray(origin, format!("{name} is not a section"), did_you_mean(near));
            }
        }
    }

    fn option(&mut self, section: &str, key: &Key, item: &Item) {
        let name = format!("{section}.{}", shown_name(key));
        match schema::find(&name) {
            Some(option) => {
                let span = item.span().or_else(|| key.span());
                let origin = self.origin(span);
                self.layer.admit(option, value(item), origin);
            }
            None => {
                let origin = self.origin(key.span());
                let near = suggest::option(section, key.get());
                self.stray(origin, format!("{name} is not an option"), did_you_mean(near));
            }
        }
    }

    fn stray(&mut self, origin: Origin, message: String, hint: Option<String>) {
        self.layer.problems.push(Problem::stray(origin, message, hint));
    }

    /// The place where `span`, which counts bytes, begins.
    fn origin(&self, span: Option<Range<usize>>) -> Origin {
        let start = span.map_or(0, |span| span.start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Whether the value in the line around `position` looks like a text that somebody forgot to quote.
fn lacks_quotes(text: &str, position: usize) -> bool {
    let line_start = text[..position].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    line.split_once('=').is_some_and(|(_, value)| {
        let value = value.trim();
        !value.starts_with(['"', '\'', '[', '{']) && value.contains(|c: char| !c.is_ascii_digit())
    })
}

/// The value of `item`; an empty table, which no option admits, where it has none.
fn value(item: &Item) -> Value {
    let value = item.clone().into_value().map(IntoDeserializer::into_deserializer);
    value
        .ok()
        .and_then(|value| Value::deserialize(value).ok())
        .unwrap_or_else(|| toml::Table::new().into())
}

/// A quoted key may contain anything, and goes to a terminal.
fn shown_name(key: &Key) -> String {
    key.get().escape_debug().to_string()
}

fn shown(item: &Item) -> String {
    found(&value(item))
}

fn did_you_mean(option: Option<&'static str>) -> Option<String> {
    option.map(|option| format!("did you mean `{option}`?"))
}

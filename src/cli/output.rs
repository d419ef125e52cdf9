//! The only door to stdout and stderr: data goes to stdout, words about it to stderr.
//!
//! A terminal gets tables and colours; anything else gets plain aligned text, which `grep`, `awk`
//! and people can read. Colours go through anstream, so NO_COLOR is honoured.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Where a command's output goes, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    is_json: bool,
}

impl Out {
    /// `is_json` is what `--json` says.
    pub fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Whether data is to be JSON.
    pub fn is_json(self) -> bool {
        self.is_json
    }

    /// Writes a line of data.
    ///
    /// # Errors
    /// As stdout answers; a closed pipe is told apart at the rim.
    pub fn line(self, text: &str) -> io::Result<()> {
        writeln!(anstream::stdout().lock(), "{text}")
    }

    /// Writes raw data, such as a file.
    ///
    /// # Errors
    /// As stdout answers.
    pub fn raw(self, bytes: &[u8]) -> io::Result<()> {
        io::stdout().lock().write_all(bytes)
    }

    /// Writes `value` as JSON.
    ///
    /// # Errors
    /// As stdout answers.
    pub fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        serde_json::to_writer_pretty(&mut stdout, value)
            .map_err(|error| error.io_error_kind().map_or(error.into(), io::Error::from))?;
        Ok(writeln!(stdout)?)
    }

    /// Writes a listing: `items` as JSON, or a row of `cells` for each. An empty listing says so
    /// on stderr.
    ///
    /// # Errors
    /// As stdout answers.
    pub fn listing<T: Serialize, const N: usize>(
        self,
        headers: [&str; N],
        items: &[T],
        cells: impl Fn(&T) -> [String; N],
    ) -> anyhow::Result<()> {
        if self.is_json {
            return self.json(&items);
        }
        if items.is_empty() {
            self.note("nothing found");
            return Ok(());
        }
        let rows: Vec<[String; N]> = items.iter().map(|item| cells(item).map(clean)).collect();
        let text = if io::stdout().is_terminal() {
            drawn(headers, &rows)
        } else {
            aligned(headers, &rows)
        };
        Ok(self.line(&text)?)
    }

    /// Writes one thing: `item` as JSON, or a line for each of its fields.
    ///
    /// # Errors
    /// As stdout answers.
    pub fn fields<T: Serialize>(self, item: &T, fields: &[(&str, String)]) -> anyhow::Result<()> {
        if self.is_json {
            return self.json(item);
        }
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            self.line(&format!("{name:width$}  {}", clean(value.clone())))?;
        }
        Ok(())
    }

    /// Says something that is no data.
    pub fn note(self, text: &str) {
        anstream::eprintln!("{text}");
    }

    /// Says that something was allowed, and is probably not meant.
    pub fn warning(self, text: &str) {
        self.note(&format!("{WARNING}warning:{WARNING:#} {text}"));
    }

    /// Says what is wrong, and what to do.
    pub fn error(self, message: &str, hint: Option<&str>) {
        self.note(&format!("{ERROR}error:{ERROR:#} {message}"));
        if let Some(hint) = hint {
            self.note(&format!("{HINT}hint:{HINT:#} {hint}"));
        }
    }
}

/// Text of others may contain anything; a terminal must not take it for commands.
pub(super) fn clean(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
    } else {
        text
    }
}

fn drawn<const N: usize>(headers: [&str; N], rows: &[[String; N]]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headers)
        .add_rows(rows.iter().map(|row| row.iter()));
    table.trim_fmt()
}

fn aligned<const N: usize>(headers: [&str; N], rows: &[[String; N]]) -> String {
    let headers = headers.map(str::to_uppercase);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]).chain([&headers[column]]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let lines: Vec<String> = std::iter::once(&headers).chain(rows).map(line).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_aligned_and_has_no_tabs() {
        let rows = [["a".to_owned(), "long name".to_owned()], ["bb".to_owned(), "ü".to_owned()]];
        assert_eq!(aligned(["id", "name"], &rows), "ID  NAME\na   long name\nbb  ü");
    }

    #[test]
    fn a_terminal_is_never_commanded_by_data() {
        assert_eq!(clean("\u{1b}[2Jx\ty".to_owned()), " [2Jx y");
    }
}

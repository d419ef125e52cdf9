//! Many rows as few values: the columns of a row are one text.
//!
//! A driver hands over every column of every row by itself, and SQLite's copies each into memory of
//! its own and wakes the reader for each row. For a claim of a thousand rows with seventeen columns
//! that is more work than finding them. So the database joins the columns of a row to a line, and
//! SQLite the lines to a single value.
//!
//! Columns are parted by U+001F and lines by U+001E, which ASCII calls unit and record separator.
//! No number contains them, nor does JSON (RFC 8259 section 7). A damaged text that does spoils
//! only its own row: what follows it makes no sense there, and the rest of its line is no row.

use std::str::{FromStr, Split};

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::store::{Engine, StoreError, connect::engine_of, sql::Sql};

const UNIT: char = '\u{1f}';
const RECORD: char = '\u{1e}';

/// Begins a query for `columns` of a table `k`, the first of which is a number that is never NULL;
/// it goes on with ` FROM … k …` and ends with [`end`].
pub(super) fn select(conn: &impl ConnectionTrait, op: &'static str, columns: &[&str]) -> Sql {
    let engine = engine_of(conn.get_database_backend());
    let cast = if engine == Engine::Postgres { "::text" } else { "" };
    let cells: Vec<_> =
        columns.iter().map(|column| format!("COALESCE(({column}){cast}, '')")).collect();
    let line = format!("CONCAT_WS('{UNIT}', {})", cells.join(", "));
    Sql::new(conn, op).push(&match engine {
        // Bytes, since a damaged row may hold what is no text.
        Engine::Sqlite => format!(
            "SELECT CAST(group_concat(line, '{RECORD}') AS BLOB) FROM (SELECT {line} AS line"
        ),
        // PostgreSQL would make a line of each row that somebody else holds too, before it passes
        // over it.
        Engine::Postgres => format!("SELECT {line} FROM (SELECT k.*"),
        Engine::MariaDb => format!("SELECT {line}"),
    })
}

/// Ends a query that [`select`] began.
pub(super) fn end(sql: Sql) -> Sql {
    sql.on(Engine::Sqlite, ")").on(Engine::Postgres, ") AS k")
}

/// What a query made by [`select`] and [`end`] found.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<String>);

impl Lines {
    /// Runs the query.
    ///
    /// # Errors
    /// As the database answers.
    pub(super) async fn read(sql: Sql, conn: &impl ConnectionTrait) -> Result<Self, StoreError> {
        let engine = engine_of(conn.get_database_backend());
        let text = |row: &QueryResult| match engine {
            Engine::Sqlite => {
                let bytes: Option<Vec<u8>> = row.try_get_by_index(0)?;
                Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
            }
            _ => row.try_get_by_index(0),
        };
        let op = sql.op();
        let rows = sql.all(conn).await?;
        let texts: Result<_, DbErr> = rows.iter().map(text).collect();
        texts.map(Self).map_err(StoreError::during(op))
    }

    /// The first cell of each row, and the others.
    pub(super) fn rows(&self) -> impl Iterator<Item = (i64, Cells<'_>)> {
        self.0.iter().flat_map(|text| text.split(RECORD)).filter_map(|line| {
            let mut cells = line.split(UNIT);
            let first = cells.next()?.parse().ok()?;
            Some((first, Cells(cells)))
        })
    }
}

/// The cells of a row from the second on, in order. Each is asked for by its column's name, with
/// which an error begins.
#[derive(Debug)]
pub(super) struct Cells<'a>(Split<'a, char>);

impl<'a> Cells<'a> {
    /// The next cell, which must be there.
    pub(super) fn number<N: FromStr>(&mut self, column: &str) -> Result<N, String> {
        self.maybe(column)?.ok_or_else(|| format!("{column} is missing"))
    }

    /// The next cell; `None` if it is NULL.
    pub(super) fn maybe<N: FromStr>(&mut self, column: &str) -> Result<Option<N>, String> {
        let number = |cell: &str| {
            cell.parse()
                .map_err(|_| format!("{column} is `{}`, which is no such number", short(cell)))
        };
        self.text().map(number).transpose()
    }

    /// The next cell; `None` if it is NULL or empty.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        self.0.next().filter(|cell| !cell.is_empty())
    }
}

/// As much of a damaged cell as helps to find it.
fn short(cell: &str) -> &str {
    cell.char_indices().nth(40).map_or(cell, |(end, _)| &cell[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(i64, Vec<Option<String>>)> {
        let lines = Lines(vec![text.to_owned()]);
        let cells = |cells: Cells<'_>| {
            let mut cells = cells;
            (0..2).map(|_| cells.text().map(str::to_owned)).collect()
        };
        lines.rows().map(|(first, rest)| (first, cells(rest))).collect()
    }

    #[test]
    fn a_text_is_parted_into_rows_and_cells() {
        assert!(rows("").is_empty(), "no row at all");
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows("1\u{1f}2\u{1f}{}\u{1e}-7\u{1f}\u{1f}"),
            [(1, vec![text("2"), text("{}")]), (-7, vec![None, None])]
        );
    }

    #[test]
    fn a_damaged_text_spoils_only_its_own_row() {
        let seen = rows("1\u{1f}a\u{1e}b\u{1f}c\u{1e}2\u{1f}3\u{1f}4");
        assert_eq!(seen.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(seen[0].1, [Some("a".to_owned()), None], "the rest of the line is missing");
    }

    #[test]
    fn a_cell_that_is_no_number_is_named() {
        let lines = Lines(vec!["1\u{1f}soon\u{1f}\u{1f}70000".to_owned()]);
        let (_, mut cells) = lines.rows().next().unwrap();
        let error = cells.maybe::<i64>("expires_at").unwrap_err();
        assert_eq!(error, "expires_at is `soon`, which is no such number");
        assert_eq!(cells.number::<i64>("state").unwrap_err(), "state is missing");
        let error = cells.number::<i16>("kind").unwrap_err();
        assert_eq!(error, "kind is `70000`, which is no such number");
        assert_eq!(cells.maybe::<i64>("review_at"), Ok(None), "a line that is cut");
        let long = "x".repeat(90);
        assert_eq!(short(&long).len(), 40);
    }
}

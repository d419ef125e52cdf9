//! Many rows as few values.
//!
//! A driver hands over every column of every row by itself, and SQLite's copies each into memory of
//! its own and wakes the reader for each row. For a claim of a thousand rows with seventeen columns
//! that is more work than finding them. So PostgreSQL joins the numbers of a row to one array; the
//! others, which have no arrays, join its columns to a line, and SQLite the lines to a single value.
//!
//! The columns of a line are parted by U+001F and lines by U+001E, which ASCII calls unit and record
//! separator. No number contains them, nor does JSON (RFC 8259 section 7). A damaged text that does spoils
//! only its own row: what follows it makes no sense there, and the rest of its line is no row.

use std::{
    slice,
    str::{FromStr, Split},
};

use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::store::{
    Engine, StoreError,
    connect::engine_of,
    sql::{NO_NUMBER, NO_NUMBER_SQL, Sql},
};

const UNIT: char = '\u{1f}';
const RECORD: char = '\u{1e}';

/// Begins a query for columns of a table `k`: `numbers`, the first of which is never NULL, and then
/// `text`. It goes on with ` FROM … k …` and ends with [`end`].
pub(super) fn select(
    conn: &impl ConnectionTrait,
    op: &'static str,
    numbers: &[&str],
    text: &str,
) -> Sql {
    let engine = engine_of(conn.get_database_backend());
    let cells = |none: &str| {
        let cells: Vec<_> =
            numbers.iter().map(|column| format!("COALESCE(({column}), {none})")).collect();
        cells.join(", ")
    };
    let line = || format!("CONCAT_WS('{UNIT}', {}, COALESCE({text}, ''))", cells("''"));
    Sql::new(conn, op).push(&match engine {
        // Bytes, since a damaged row may hold what is no text.
        Engine::Sqlite => format!(
            "SELECT CAST(group_concat(line, '{RECORD}') AS BLOB) FROM (SELECT {} AS line",
            line()
        ),
        // It would make an array of each row that somebody else holds too, before it passes over it.
        Engine::Postgres => {
            format!("SELECT ARRAY[{}], {text} FROM (SELECT k.*", cells(NO_NUMBER_SQL))
        }
        Engine::MariaDb => format!("SELECT {}", line()),
    })
}

/// Ends a query that [`select`] began.
pub(super) fn end(sql: Sql) -> Sql {
    sql.on(Engine::Sqlite, ")").on(Engine::Postgres, ") AS k")
}

/// What a query made by [`select`] and [`end`] found.
#[derive(Debug)]
pub(super) enum Lines {
    Texts(Vec<String>),
    Rows(Vec<(Vec<i64>, Option<String>)>),
}

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
        let found: Result<_, DbErr> = match engine {
            Engine::Postgres => rows
                .iter()
                .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
                .collect::<Result<_, _>>()
                .map(Self::Rows),
            _ => rows.iter().map(text).collect::<Result<_, _>>().map(Self::Texts),
        };
        found.map_err(StoreError::during(op))
    }

    /// The first number of each row, and the other cells.
    pub(super) fn rows(&self) -> Vec<(i64, Cells<'_>)> {
        match self {
            Self::Texts(texts) => {
                texts.iter().flat_map(|text| text.split(RECORD)).filter_map(of_line).collect()
            }
            Self::Rows(rows) => rows.iter().filter_map(of_row).collect(),
        }
    }
}

fn of_line(line: &str) -> Option<(i64, Cells<'_>)> {
    let mut cells = line.split(UNIT);
    let first = cells.next()?.parse().ok()?;
    Some((first, Cells::Line(cells)))
}

fn of_row((numbers, text): &(Vec<i64>, Option<String>)) -> Option<(i64, Cells<'_>)> {
    let (first, numbers) = numbers.split_first()?;
    Some((*first, Cells::Row(numbers.iter(), text.as_deref())))
}

/// The cells of a row from the second on, in order. Each is asked for by its column's name, with
/// which an error begins.
#[derive(Debug)]
pub(super) enum Cells<'a> {
    Line(Split<'a, char>),
    Row(slice::Iter<'a, i64>, Option<&'a str>),
}

impl<'a> Cells<'a> {
    /// The next number, which must be there.
    pub(super) fn number<N: FromStr + TryFrom<i64>>(&mut self, column: &str) -> Result<N, String> {
        self.maybe(column)?.ok_or_else(|| format!("{column} is missing"))
    }

    /// The next number; `None` if it is NULL.
    pub(super) fn maybe<N: FromStr + TryFrom<i64>>(
        &mut self,
        column: &str,
    ) -> Result<Option<N>, String> {
        let wrong = |cell: &str| format!("{column} is `{cell}`, which is no such number");
        match self {
            Self::Line(cells) => cells
                .next()
                .filter(|cell| !cell.is_empty())
                .map(|cell| cell.parse().map_err(|_| wrong(short(cell))))
                .transpose(),
            Self::Row(numbers, _) => numbers
                .next()
                .filter(|number| **number != NO_NUMBER)
                .map(|number| (*number).try_into().map_err(|_| wrong(&number.to_string())))
                .transpose(),
        }
    }

    /// The text, after all numbers; `None` if it is NULL or empty.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let text = match self {
            Self::Line(cells) => cells.next(),
            Self::Row(_, text) => *text,
        };
        text.filter(|text| !text.is_empty())
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
        let lines = Lines::Texts(vec![text.to_owned()]);
        let cells = |cells: Cells<'_>| {
            let mut cells = cells;
            (0..2).map(|_| cells.text().map(str::to_owned)).collect()
        };
        lines.rows().into_iter().map(|(first, rest)| (first, cells(rest))).collect()
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
        let lines = Lines::Texts(vec!["1\u{1f}soon\u{1f}\u{1f}70000".to_owned()]);
        let (_, mut cells) = lines.rows().remove(0);
        let error = cells.maybe::<i64>("expires_at").unwrap_err();
        assert_eq!(error, "expires_at is `soon`, which is no such number");
        assert_eq!(cells.number::<i64>("state").unwrap_err(), "state is missing");
        let error = cells.number::<i16>("kind").unwrap_err();
        assert_eq!(error, "kind is `70000`, which is no such number");
        assert_eq!(cells.maybe::<i64>("review_at"), Ok(None), "a line that is cut");
        let long = "x".repeat(90);
        assert_eq!(short(&long).len(), 40);
    }

    #[test]
    fn an_array_says_the_same() {
        let rows = vec![(vec![7, NO_NUMBER, 70_000, 3], Some("{}".to_owned())), (Vec::new(), None)];
        let lines = Lines::Rows(rows);
        let mut rows = lines.rows();
        assert_eq!(rows.len(), 1, "what has no number is no row");
        let (first, mut cells) = rows.remove(0);
        assert_eq!((first, cells.maybe::<i64>("review_at")), (7, Ok(None)));
        let error = cells.number::<i16>("kind").unwrap_err();
        assert_eq!(error, "kind is `70000`, which is no such number");
        assert_eq!((cells.number::<i16>("state"), cells.text()), (Ok(3), Some("{}")));
        assert_eq!(cells.number::<i64>("version").unwrap_err(), "version is missing");
    }
}

//! Many rows as few values.
//!
//! A driver hands over every column of every row by itself, and SQLite's copies each into memory of
//! its own and wakes the reader for each row. For a claim of a thousand rows with seventeen columns
//! that is more work than finding them. So PostgreSQL hands over each column as one array; the
//! others, which have no arrays, join the columns of a row to a line, and SQLite the lines to a single
//! value.
//!
//! The columns of a line are parted by U+001F and lines by U+001E, which ASCII calls unit and record
//! separator. No number contains them, nor does JSON (RFC 8259 section 7). A damaged text that does spoils
//! only its own row: what follows it makes no sense there, and the rest of its line is no row.

use std::str::{FromStr, Split};

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
        let cells = numbers.iter().map(|column| format!("COALESCE(({column}), {none})"));
        cells.chain([format!("COALESCE({text}, '')")]).collect::<Vec<_>>()
    };
    let line = || format!("CONCAT_WS('{UNIT}', {})", cells("''").join(", "));
    Sql::new(conn, op).push(&match engine {
        // Bytes, since a damaged row may hold what is no text.
        Engine::Sqlite => format!(
            "SELECT CAST(group_concat(line, '{RECORD}') AS BLOB) FROM (SELECT {} AS line",
            line()
        ),
        Engine::Postgres => {
            let columns = cells(NO_NUMBER_SQL).into_iter().map(|cell| format!("array_agg({cell})"));
            format!("SELECT {} FROM (SELECT k.*", columns.collect::<Vec<_>>().join(", "))
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
    Columns(Columns),
}

/// The columns of all rows.
#[derive(Debug, Default)]
pub(super) struct Columns {
    numbers: Vec<Vec<i64>>,
    texts: Vec<String>,
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
            Engine::Postgres => {
                rows.first().map_or(Ok(Columns::default()), of_columns).map(Self::Columns)
            }
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
            Self::Columns(columns) => columns.rows(),
        }
    }
}

fn of_line(line: &str) -> Option<(i64, Cells<'_>)> {
    let mut cells = line.split(UNIT);
    let first = cells.next()?.parse().ok()?;
    Some((first, Cells::Line(cells)))
}

/// No row at all makes no array.
fn of_columns(row: &QueryResult) -> Result<Columns, DbErr> {
    let last = row.column_names().len().saturating_sub(1);
    let numbers =
        (0..last).map(|n| row.try_get_by_index::<Option<_>>(n).map(Option::unwrap_or_default));
    let texts: Option<_> = row.try_get_by_index(last)?;
    Ok(Columns { numbers: numbers.collect::<Result<_, _>>()?, texts: texts.unwrap_or_default() })
}

impl Columns {
    fn rows(&self) -> Vec<(i64, Cells<'_>)> {
        let firsts = self.numbers.first().into_iter().flatten().enumerate();
        firsts.map(|(row, first)| (*first, Cells::Row { columns: self, row, next: 1 })).collect()
    }
}

/// The cells of a row from the second on, in order. Each is asked for by its column's name, with
/// which an error begins.
#[derive(Debug)]
pub(super) enum Cells<'a> {
    Line(Split<'a, char>),
    Row { columns: &'a Columns, row: usize, next: usize },
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
            Self::Row { columns, row, next } => {
                let number = columns.numbers.get(*next).and_then(|column| column.get(*row));
                *next += 1;
                number
                    .filter(|number| **number != NO_NUMBER)
                    .map(|number| (*number).try_into().map_err(|_| wrong(&number.to_string())))
                    .transpose()
            }
        }
    }

    /// The text, after all numbers; `None` if it is NULL or empty.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let text = match self {
            Self::Line(cells) => cells.next(),
            Self::Row { columns, row, .. } => columns.texts.get(*row).map(String::as_str),
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
    fn columns_say_the_same() {
        assert!(Lines::Columns(Columns::default()).rows().is_empty(), "no row at all");
        let numbers = vec![vec![7, 8], vec![NO_NUMBER, 1], vec![70_000, 2], vec![3, NO_NUMBER]];
        let texts = vec!["{}".to_owned(), String::new()];
        let lines = Lines::Columns(Columns { numbers, texts });
        let mut rows = lines.rows();
        let (last, mut cells) = rows.remove(1);
        assert_eq!((last, cells.number("review_at"), cells.number("kind")), (8, Ok(1), Ok(2)));
        assert_eq!((cells.maybe::<i64>("state"), cells.text()), (Ok(None), None));
        let (first, mut cells) = rows.remove(0);
        assert_eq!((first, cells.maybe::<i64>("review_at")), (7, Ok(None)));
        let error = cells.number::<i16>("kind").unwrap_err();
        assert_eq!(error, "kind is `70000`, which is no such number");
        assert_eq!((cells.number::<i16>("state"), cells.text()), (Ok(3), Some("{}")));
        assert_eq!(cells.number::<i64>("version").unwrap_err(), "version is missing");
    }
}

//! Rows that travel to the database as a table inside a statement.

use std::fmt::Write as _;

use sea_orm::Value;

use crate::store::Engine;

/// Stands for "no number" in PostgreSQL's arrays, which are bound and read without NULLs.
pub(in crate::store) const NO_NUMBER: i64 = i64::MIN;
/// The same in a statement, where the number without its sign would be too large.
pub(in crate::store) const NO_NUMBER_SQL: &str = "(-9223372036854775807 - 1)";

/// From so many rows on, a column that says the same in all of them travels as one value. Below,
/// a batch has the same statement whatever it says.
const MANY: usize = 100;

/// A table of rows to be joined or inserted: columns of numbers and texts of equal length.
#[derive(Debug, Default)]
pub struct Batch {
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: &'static str,
    cells: Cells,
    /// Whether it travels as one value, which all rows have.
    is_constant: bool,
}

#[derive(Debug)]
enum Cells {
    Numbers(Vec<i64>),
    /// [`NO_NUMBER`] is NULL.
    MaybeNumbers(Vec<i64>),
    /// An empty one is NULL.
    Texts(Vec<String>),
}

/// A batch in a statement.
pub(super) struct Table {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Batch {
    /// A batch without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of numbers.
    pub fn numbers(self, name: &'static str, cells: impl Iterator<Item = i64>) -> Self {
        self.column(name, Cells::Numbers(cells.collect()))
    }

    /// Adds a column of numbers, some of which may be NULL.
    pub fn maybe_numbers(
        self,
        name: &'static str,
        cells: impl Iterator<Item = Option<i64>>,
    ) -> Self {
        let cells = cells.map(|cell| cell.unwrap_or(NO_NUMBER)).collect();
        self.column(name, Cells::MaybeNumbers(cells))
    }

    /// Adds a column of texts. An empty text is NULL to the statement.
    pub fn texts(self, name: &'static str, cells: impl Iterator<Item = String>) -> Self {
        self.column(name, Cells::Texts(cells.collect()))
    }

    fn column(mut self, name: &'static str, cells: Cells) -> Self {
        // The first column is what makes rows of the others.
        let is_constant = !self.columns.is_empty() && cells.len() >= MANY && cells.are_equal();
        self.columns.push(Column { name, cells, is_constant });
        debug_assert!(self.columns.iter().all(|column| column.cells.len() == self.len()));
        self
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, |column| column.cells.len())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The table, called `v`, for a statement that has so many values already.
    pub(super) fn table(&self, engine: Engine, n_values: usize) -> Table {
        match engine {
            Engine::Postgres => self.unnest(n_values),
            Engine::Sqlite => self.json_each(),
            Engine::MariaDb => self.json_table(),
        }
    }

    /// Numbers are picked from their arrays by their place, which costs half of what it takes to let
    /// `unnest` copy all columns; it is as quick for the last as for the first, but for texts.
    fn unnest(&self, n_values: usize) -> Table {
        let mut values = Vec::new();
        let (mut list, mut arrays, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for Column { name, cells, is_constant } in &self.columns {
            values.push(if *is_constant { cells.value(0) } else { cells.array() });
            let (kind, place) = (cells.kind(), n_values + values.len());
            if *is_constant {
                list.push(format!("${place}::{kind} AS {name}"));
                continue;
            }
            let array = format!("${place}::{kind}[]");
            let cell = match cells {
                Cells::Numbers(_) | Cells::MaybeNumbers(_) if !names.is_empty() => {
                    format!("({array})[n]")
                }
                _ => {
                    let cell = format!("c{}", names.len());
                    arrays.push(array);
                    names.push(cell.clone());
                    cell
                }
            };
            list.push(match cells {
                Cells::Numbers(_) => format!("{cell} AS {name}"),
                Cells::MaybeNumbers(_) => format!("NULLIF({cell}, {NO_NUMBER_SQL}) AS {name}"),
                Cells::Texts(_) => format!("NULLIF({cell}, '') AS {name}"),
            });
        }
        let (list, arrays, names) = (list.join(", "), arrays.join(", "), names.join(", "));
        let rows = format!("unnest({arrays}) WITH ORDINALITY AS u({names}, n)");
        Table { text: format!("(SELECT {list} FROM {rows}) AS v"), values }
    }

    fn json_each(&self) -> Table {
        let (mut list, mut values, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for column in &self.columns {
            if column.is_constant {
                list.push(format!("? AS {}", column.name));
                values.push(column.cells.value(0));
            } else {
                list.push(format!("value->>'$[{}]' AS {}", columns.len(), column.name));
                columns.push(column);
            }
        }
        values.push(self.json(&columns).into());
        Table { text: format!("(SELECT {} FROM jsonb_each(?)) AS v", list.join(", ")), values }
    }

    /// A table function there cannot stand beside values of its own in a derived table without
    /// being copied first, so every column travels whole.
    fn json_table(&self) -> Table {
        let kind = |cells: &Cells| match cells {
            Cells::Numbers(_) | Cells::MaybeNumbers(_) => "BIGINT",
            Cells::Texts(_) => "LONGTEXT CHARACTER SET utf8mb4",
        };
        let list =
            self.columns.iter().enumerate().map(|(n, Column { name, cells, .. })| {
                format!("{name} {} PATH '$[{n}]'", kind(cells))
            });
        let list = list.collect::<Vec<_>>().join(", ");
        let columns: Vec<&Column> = self.columns.iter().collect();
        Table {
            text: format!("JSON_TABLE(?, '$[*]' COLUMNS ({list})) v"),
            values: vec![self.json(&columns).into()],
        }
    }

    /// All rows as a JSON array of arrays.
    fn json(&self, columns: &[&Column]) -> String {
        let mut json = String::with_capacity(16 * self.len() * columns.len());
        json.push('[');
        for row in 0..self.len() {
            json.push_str(if row == 0 { "[" } else { ",[" });
            for (n, column) in columns.iter().enumerate() {
                if n > 0 {
                    json.push(',');
                }
                column.cells.write_json(row, &mut json);
            }
            json.push(']');
        }
        json.push(']');
        json
    }
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(cells) | Self::MaybeNumbers(cells) => cells.len(),
            Self::Texts(cells) => cells.len(),
        }
    }

    /// Whether all of them say the same.
    fn are_equal(&self) -> bool {
        fn equal<T: PartialEq>(cells: &[T]) -> bool {
            cells.split_first().is_none_or(|(first, rest)| rest.iter().all(|cell| cell == first))
        }
        match self {
            Self::Numbers(cells) | Self::MaybeNumbers(cells) => equal(cells),
            Self::Texts(cells) => equal(cells),
        }
    }

    /// PostgreSQL's word for what they are.
    fn kind(&self) -> &'static str {
        match self {
            Self::Numbers(_) | Self::MaybeNumbers(_) => "bigint",
            Self::Texts(_) => "text",
        }
    }

    /// The cell of one row.
    fn value(&self, row: usize) -> Value {
        match self {
            Self::Numbers(cells) => cells[row].into(),
            Self::MaybeNumbers(cells) => Some(cells[row]).filter(|n| *n != NO_NUMBER).into(),
            Self::Texts(cells) => Some(cells[row].clone()).filter(|text| !text.is_empty()).into(),
        }
    }

    /// The cells of all rows.
    fn array(&self) -> Value {
        match self {
            Self::Numbers(cells) | Self::MaybeNumbers(cells) => cells.clone().into(),
            Self::Texts(cells) => cells.clone().into(),
        }
    }

    fn write_json(&self, row: usize, json: &mut String) {
        match self {
            Self::MaybeNumbers(cells) if cells[row] == NO_NUMBER => json.push_str("null"),
            Self::Numbers(cells) | Self::MaybeNumbers(cells) => {
                // Writing into a String cannot fail.
                let _ = write!(json, "{}", cells[row]);
            }
            Self::Texts(cells) if cells[row].is_empty() => json.push_str("null"),
            Self::Texts(cells) => {
                *json += &serde_json::Value::from(cells[row].as_str()).to_string()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many rows, with a column that never changes, one that is never there, and two that differ.
    fn batch(n_rows: usize) -> Batch {
        let rows = || (0..n_rows).map(i64::try_from).map(Result::unwrap);
        Batch::new()
            .numbers("id", rows().map(|_| 7))
            .numbers("version", rows().map(|_| 3))
            .maybe_numbers("ends", rows().map(|_| None))
            .texts("reason", rows().map(|n| if n == 0 { String::new() } else { "lost".to_owned() }))
            .maybe_numbers("at", rows().map(|n| (n > 0).then_some(n)))
    }

    #[test]
    fn what_all_rows_say_travels_once() {
        let table = batch(MANY).table(Engine::Postgres, 2);
        assert_eq!(
            table.text,
            "(SELECT c0 AS id, $4::bigint AS version, $5::bigint AS ends, \
             NULLIF(c1, '') AS reason, NULLIF(($7::bigint[])[n], (-9223372036854775807 - 1)) AS at \
             FROM unnest($3::bigint[], $6::text[]) WITH ORDINALITY AS u(c0, c1, n)) AS v"
        );
        assert_eq!(table.values[1..3], [Value::from(3_i64), Value::BigInt(None)]);
        let table = batch(MANY).table(Engine::Sqlite, 2);
        assert_eq!(
            table.text,
            "(SELECT value->>'$[0]' AS id, ? AS version, ? AS ends, value->>'$[1]' AS reason, \
             value->>'$[2]' AS at FROM jsonb_each(?)) AS v"
        );
        assert_eq!(table.values[..2], [Value::from(3_i64), Value::BigInt(None)]);
        let Value::String(Some(json)) = &table.values[2] else { panic!("no text") };
        assert!(json.starts_with(r#"[[7,null,null],[7,"lost",1],[7,"lost",2],"#), "{json}");
    }

    #[test]
    fn a_small_batch_has_one_statement_whatever_it_says() {
        for engine in [Engine::Postgres, Engine::Sqlite, Engine::MariaDb] {
            let text = batch(1).table(engine, 0).text;
            assert_eq!(text, batch(2).table(engine, 0).text);
            assert_eq!(text, batch(MANY - 1).table(engine, 0).text);
        }
        let values = batch(2).table(Engine::MariaDb, 0).values;
        assert_eq!(values, [Value::from(r#"[[7,3,null,null,null],[7,3,null,"lost",1]]"#)]);
    }
}

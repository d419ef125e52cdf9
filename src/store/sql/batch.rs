//! Rows that travel to the database as a table inside a statement.

use std::fmt::Write as _;

use sea_orm::Value;

use crate::store::Engine;

/// Stands for "no number" in PostgreSQL's arrays, which are bound and read without NULLs.
pub(in crate::store) const NO_NUMBER: i64 = i64::MIN;
/// The same in a statement, where the number without its sign would be too large.
pub(in crate::store) const NO_NUMBER_SQL: &str = "(-9223372036854775807 - 1)";

/// From so many rows on, a column that says the same in all of them travels as one value, and numbers
/// share words. Below, a batch has the same statement whatever it says.
pub(super) const MANY: usize = 100;

/// A table of rows to be joined or inserted: columns of numbers and texts of equal length.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) columns: Vec<Column>,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) cells: Cells,
    /// Whether it travels as one value, which all rows have.
    pub(super) is_constant: bool,
}

#[derive(Debug)]
pub(super) enum Cells {
    Numbers(Vec<i64>),
    /// [`NO_NUMBER`] is NULL.
    MaybeNumbers(Vec<i64>),
    /// An empty one is NULL.
    Texts(Vec<String>),
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

    /// The engine's word for what they are.
    pub(super) fn kind(&self, engine: Engine) -> &'static str {
        match (self, engine) {
            (Self::Texts(_), Engine::MariaDb) => "LONGTEXT CHARACTER SET utf8mb4",
            (Self::Texts(_), _) => "text",
            (Self::Numbers(_) | Self::MaybeNumbers(_), _) => "bigint",
        }
    }

    /// The cell of one row.
    pub(super) fn value(&self, row: usize) -> Value {
        match self {
            Self::Numbers(cells) => cells[row].into(),
            Self::MaybeNumbers(cells) => Some(cells[row]).filter(|n| *n != NO_NUMBER).into(),
            Self::Texts(cells) => Some(cells[row].clone()).filter(|text| !text.is_empty()).into(),
        }
    }

    /// The cells of all rows.
    pub(super) fn array(&self) -> Value {
        match self {
            Self::Numbers(cells) | Self::MaybeNumbers(cells) => cells.clone().into(),
            Self::Texts(cells) => cells.clone().into(),
        }
    }

    pub(super) fn write_json(&self, row: usize, json: &mut String) {
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

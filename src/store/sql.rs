//! Set-based statements for three engines from one source.
//!
//! A batch of rows becomes a table inside the statement: arrays for PostgreSQL (`unnest`), one
//! JSON text for SQLite (`json_each`) and MariaDB/MySQL (`JSON_TABLE`). In a big batch a column that
//! says the same in every row is a value by itself, and numbers share words of that JSON. So the
//! text of a statement does not grow with the batch, is prepared once for each such shape, and has no
//! limit of parameters; and one statement writes a thousand rows. (Measured: 78,000 keys a second,
//! against 1,600 for `CASE id WHEN …` and 9,300 row by row.)

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, DbBackend, ExecResult, QueryResult, Statement, Value};

use crate::{
    crash,
    store::{Engine, StoreError, connect::engine_of},
};

mod at_once;
mod batch;
mod pack;
mod table;

pub(super) use at_once::execute_at_once;
pub use batch::Batch;
pub(super) use batch::{NO_NUMBER, NO_NUMBER_SQL};

/// A set-based update: see [`Sql::update_from`].
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The table that is changed.
    pub table: &'a str,
    /// Columns and their new values.
    pub sets: &'a [(&'a str, &'a str)],
    /// More tables, beginning with a blank, such as ` JOIN messages ON messages.id = v.id`.
    pub joins: &'a str,
    /// What ties a row of the table to a row of the batch.
    pub on: &'a str,
    /// The condition under which the change is right.
    pub guard: &'a str,
}

/// A statement under construction: text and values, in order.
#[derive(Clone, Debug)]
pub struct Sql {
    op: &'static str,
    backend: DbBackend,
    engine: Engine,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// Begins a statement for the engine of `conn`. `op` says in an error what was being done.
    pub fn new(conn: &impl ConnectionTrait, op: &'static str) -> Self {
        let backend = conn.get_database_backend();
        let engine = engine_of(backend);
        Self { op, backend, engine, text: String::with_capacity(512), values: Vec::new() }
    }

    /// Adds text.
    pub fn push(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds the text that only this `engine` needs.
    pub fn on(self, engine: Engine, text: &str) -> Self {
        if self.engine == engine { self.push(text) } else { self }
    }

    /// Adds a value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        if self.engine == Engine::Postgres {
            let _ = write!(self.text, "${}", self.values.len());
        } else {
            self.text.push('?');
        }
        self
    }

    /// Adds, after the word `and`, that `column` contains `text`, in whatever letters it is written.
    pub fn containing(self, and: &str, column: &str, text: &str) -> Self {
        let mut pattern = String::from("%");
        for c in text.to_lowercase().chars() {
            if ['%', '_', '!'].contains(&c) {
                pattern.push('!');
            }
            pattern.push(c);
        }
        pattern.push('%');
        self.push(&format!("{and}LOWER({column}) LIKE ")).bind(pattern).push(" ESCAPE '!'")
    }

    /// Adds `batch` as a table called `v`.
    pub fn batch(mut self, batch: &Batch) -> Self {
        let table = batch.table(self.engine, self.values.len());
        self.text.push_str(&table.text);
        self.values.extend(table.values);
        self
    }

    /// `UPDATE table SET sets … WHERE on AND guard`, with the values of `batch` as `v`, for each
    /// row of the table that `on` ties to a row of the batch; `guard` repeats the condition under
    /// which the change is right. `joins` may bring in more tables.
    ///
    /// Columns of the table are called by its name, except on the left of `sets`.
    pub fn update_from(self, update: &Update<'_>, batch: &Batch) -> Self {
        let Update { table, sets, joins, on, guard } = update;
        let owner =
            if self.engine == Engine::MariaDb { format!("{table}.") } else { String::new() };
        let list: Vec<String> =
            sets.iter().map(|(column, value)| format!("{owner}{column} = {value}")).collect();
        let list = list.join(", ");
        if self.engine == Engine::MariaDb {
            return self
                .push(&format!("UPDATE {table} JOIN "))
                .batch(batch)
                .push(&format!(" ON {on}{joins} SET {list} WHERE {guard}"));
        }
        self.push(&format!("UPDATE {table} SET {list} FROM "))
            .batch(batch)
            .push(&format!("{joins} WHERE {on} AND {guard}"))
    }

    /// Ends `INSERT … SELECT …` so that a row whose `columns` are there already is passed over.
    pub fn or_ignore(self, table: &str, columns: &str) -> Self {
        match self.engine {
            // Not INSERT IGNORE, which would pass over every other error too.
            Engine::MariaDb => {
                self.push(&format!(" ON DUPLICATE KEY UPDATE {table}.id = {table}.id"))
            }
            _ => self.push(&format!(" ON CONFLICT ({columns}) DO NOTHING")),
        }
    }

    /// Deletes the `limit` oldest rows of `table` whose `column` lies below `before`.
    pub fn delete_oldest(self, table: &str, column: &str, before: i64, limit: usize) -> Self {
        // MariaDB deletes from no table it also reads, unless a derived table stands between.
        self.push(&format!(
            "DELETE FROM {table} WHERE id IN \
             (SELECT id FROM (SELECT id FROM {table} WHERE {column} < "
        ))
        .bind(before)
        .push(&format!(" ORDER BY {column} LIMIT "))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .push(") AS old)")
    }

    /// Ends a claim: rows that somebody else holds are passed over. SQLite has one writer only,
    /// whose transaction has begun.
    pub fn skip_locked(self) -> Self {
        match self.engine {
            Engine::Sqlite => self,
            _ => self.push(" FOR UPDATE SKIP LOCKED"),
        }
    }

    /// For which engine it is.
    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// What is being done, for an error.
    pub(super) fn op(&self) -> &'static str {
        self.op
    }

    /// The statement's text, for `EXPLAIN` tests.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The finished statement.
    pub fn statement(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }

    /// Runs the statement and counts the rows it met.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn execute(self, conn: &impl ConnectionTrait) -> Result<u64, StoreError> {
        let op = self.op;
        let done = conn.execute_raw(self.statement()).await;
        crash::point();
        done.map(|done: ExecResult| done.rows_affected()).map_err(StoreError::during(op))
    }

    /// Runs the query and returns all rows.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn all(self, conn: &impl ConnectionTrait) -> Result<Vec<QueryResult>, StoreError> {
        let op = self.op;
        conn.query_all_raw(self.statement()).await.map_err(StoreError::during(op))
    }

    /// Runs the query and returns its first row.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn one(self, conn: &impl ConnectionTrait) -> Result<Option<QueryResult>, StoreError> {
        let op = self.op;
        conn.query_one_raw(self.statement()).await.map_err(StoreError::during(op))
    }
}

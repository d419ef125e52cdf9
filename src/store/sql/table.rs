//! A batch as a table in a statement, as each engine reads it best.

use sea_orm::Value;

use super::{
    batch::{Batch, Cells, Column, MANY, NO_NUMBER_SQL},
    pack::Words,
};
use crate::store::Engine;

/// A batch in a statement.
pub(super) struct Table {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Batch {
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
            let (kind, place) = (cells.kind(Engine::Postgres), n_values + values.len());
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
        if self.len() >= MANY {
            return self.in_words(Engine::Sqlite);
        }
        let cells = self.columns.iter().enumerate();
        let list = cells.map(|(n, column)| format!("value->>'$[{n}]' AS {}", column.name));
        let list = list.collect::<Vec<_>>().join(", ");
        Table {
            text: format!("(SELECT {list} FROM jsonb_each(?)) AS v"),
            values: vec![self.json().into()],
        }
    }

    /// The numbers of a row as few words: see [`Words`].
    fn in_words(&self, engine: Engine) -> Table {
        let (mut list, mut values, mut words) = (Vec::new(), Vec::new(), Words::default());
        let mut texts = Vec::new();
        for Column { name, cells, is_constant } in &self.columns {
            let cell = match cells {
                // MariaDB would take a value there for what it was when the statement was prepared.
                // A constant number needs hardly any bits.
                _ if *is_constant && engine == Engine::Sqlite => {
                    values.push(cells.value(0));
                    "?".to_owned()
                }
                Cells::Numbers(cells) => words.pack(cells, false).read(engine, &mut values),
                Cells::MaybeNumbers(cells) => words.pack(cells, true).read(engine, &mut values),
                Cells::Texts(_) => {
                    texts.push(cells);
                    format!("t{}", texts.len() - 1)
                }
            };
            list.push(format!("{cell} AS {name}"));
        }
        let words: Vec<Cells> = words.into_columns().into_iter().map(Cells::Numbers).collect();
        let names = (0..words.len()).map(|n| format!("w{n}"));
        let names: Vec<_> = names.chain((0..texts.len()).map(|n| format!("t{n}"))).collect();
        let cells: Vec<&Cells> = words.iter().chain(texts).collect();
        let is_flat = matches!(cells.as_slice(), [Cells::Numbers(_)]);
        values.push(json(&cells, self.len(), is_flat).into());
        let rows = names.iter().zip(cells).enumerate().map(|(n, (name, cells))| match engine {
            Engine::MariaDb if is_flat => format!("{name} {} PATH '$'", cells.kind(engine)),
            Engine::MariaDb => format!("{name} {} PATH '$[{n}]'", cells.kind(engine)),
            _ if is_flat => format!("value AS {name}"),
            _ => format!("value->>'$[{n}]' AS {name}"),
        });
        let (list, rows) = (list.join(", "), rows.collect::<Vec<_>>().join(", "));
        let text = match engine {
            Engine::MariaDb => {
                format!("(SELECT {list} FROM JSON_TABLE(?, '$[*]' COLUMNS ({rows})) w) v")
            }
            // The limit, which is none, keeps SQLite from reading a word anew for each column in it.
            _ => format!("(SELECT {list} FROM (SELECT {rows} FROM jsonb_each(?) LIMIT -1)) AS v"),
        };
        Table { text, values }
    }

    fn json_table(&self) -> Table {
        if self.len() >= MANY {
            return self.in_words(Engine::MariaDb);
        }
        let columns = self.columns.iter().enumerate().map(|(n, Column { name, cells, .. })| {
            format!("{name} {} PATH '$[{n}]'", cells.kind(Engine::MariaDb))
        });
        let list = columns.collect::<Vec<_>>().join(", ");
        Table {
            text: format!("JSON_TABLE(?, '$[*]' COLUMNS ({list})) v"),
            values: vec![self.json().into()],
        }
    }

    /// All rows as a JSON array of arrays.
    fn json(&self) -> String {
        let cells: Vec<&Cells> = self.columns.iter().map(|column| &column.cells).collect();
        json(&cells, self.len(), false)
    }
}

/// Rows as a JSON array of arrays, or, where each row has one cell, an array of cells if `is_flat`.
fn json(columns: &[&Cells], n_rows: usize, is_flat: bool) -> String {
    let mut json = String::with_capacity(16 * n_rows * columns.len());
    json.push('[');
    for row in 0..n_rows {
        if row > 0 {
            json.push(',');
        }
        if !is_flat {
            json.push('[');
        }
        for (n, cells) in columns.iter().enumerate() {
            if n > 0 {
                json.push(',');
            }
            cells.write_json(row, &mut json);
        }
        if !is_flat {
            json.push(']');
        }
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many rows, with columns that never change, one that is never there, and two that differ.
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
            "(SELECT ((w0 >> ?) & ?) + ? AS id, ? AS version, ? AS ends, t0 AS reason, \
             NULLIF(((w0 >> ?) & ?), 0) + ? AS at FROM \
             (SELECT value->>'$[0]' AS w0, value->>'$[1]' AS t0 FROM jsonb_each(?) LIMIT -1)) AS v"
        );
        let numbers: Vec<_> = table.values[..8].iter().map(number).collect();
        let (id, at) = ([Some(0), Some(0), Some(7)], [Some(0), Some(127), Some(0)]);
        assert_eq!(numbers, [&id[..], &[Some(3), None], &at].concat());
        let Value::String(Some(json)) = &table.values[8] else { panic!("no text") };
        assert!(json.starts_with(r#"[[0,null],[1,"lost"],[2,"lost"],"#), "{json}");
    }

    #[test]
    fn mariadb_gets_words_too() {
        let table = batch(MANY).table(Engine::MariaDb, 0);
        let cell = "CAST((w0 >> ?) & ? AS SIGNED)";
        assert_eq!(
            table.text,
            format!(
                "(SELECT {cell} + ? AS id, {cell} + ? AS version, NULLIF({cell}, 0) + ? AS ends, \
                 t0 AS reason, NULLIF({cell}, 0) + ? AS at FROM JSON_TABLE(?, '$[*]' COLUMNS \
                 (w0 bigint PATH '$[0]', t0 LONGTEXT CHARACTER SET utf8mb4 PATH '$[1]')) w) v"
            )
        );
    }

    fn number(value: &Value) -> Option<i64> {
        match value {
            Value::BigInt(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    #[test]
    fn rows_of_one_word_are_numbers() {
        let numbers = || (0..100).map(|n| n * 3 + 1_000);
        let batch = Batch::new().numbers("id", numbers()).numbers("version", numbers());
        let table = batch.table(Engine::Sqlite, 0);
        assert_eq!(
            table.text,
            "(SELECT ((w0 >> ?) & ?) + ? AS id, ((w0 >> ?) & ?) + ? AS version FROM \
             (SELECT value AS w0 FROM jsonb_each(?) LIMIT -1)) AS v"
        );
        let Value::String(Some(json)) = &table.values[6] else { panic!("no text") };
        assert!(json.starts_with("[0,1539,3078,"), "{json}");
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

//! Rows that travel in a statement arrive as they were sent.

use lapsed::store::sql::{Batch, Sql};

use crate::{
    on_each_engine,
    support::chance::{Chance, seed},
};

type Row = (i64, Option<i64>, Option<i64>, i64, Option<String>);

/// Draws numbers of one column: from some number on, up to some other.
fn column(chance: &mut Chance) -> impl FnMut(&mut Chance) -> i64 + use<> {
    let least = [0, -2, 1_780_000_000_000, i64::MIN + 1][chance.below_len(4)];
    let span = 1 << chance.below(64);
    move |chance| {
        i64::try_from(i128::from(least) + i128::from(chance.below(span))).unwrap_or(i64::MAX)
    }
}

/// Rows whose numbers need few bits or many, and are there or not.
fn rows(chance: &mut Chance, n_rows: usize) -> Vec<Row> {
    let mut columns: [_; 4] = std::array::from_fn(|_| column(chance));
    let rows = (0..n_rows).map(|_| {
        let [first, second, third, fourth] = columns.each_mut().map(|column| column(chance));
        let text = (!chance.one_in(4)).then(|| format!("\"{first}\" \\ ü"));
        (first, (!chance.one_in(3)).then_some(second), Some(third), fourth, text)
    });
    rows.collect()
}

on_each_engine! {
    async fn whatever_is_in_a_batch_arrives(app: TestApp) {
        let mut chance = Chance::new(seed());
        for round in 0..60 {
            let n_rows = if round % 4 == 0 { 3 } else { 150 };
            let mut rows = rows(&mut chance, n_rows);
            let batch = Batch::new()
                .numbers("first", rows.iter().map(|row| row.0))
                .maybe_numbers("second", rows.iter().map(|row| row.1))
                .maybe_numbers("third", rows.iter().map(|row| row.2))
                .maybe_numbers("absent", rows.iter().map(|_| None))
                .numbers("always", rows.iter().map(|_| -7))
                .numbers("fourth", rows.iter().map(|row| row.3))
                .texts("fifth", rows.iter().map(|row| row.4.clone().unwrap_or_default()));
            let sql = Sql::new(app.db.conn(), "read a batch")
                .push("SELECT v.first, v.second, v.third, v.fourth, v.fifth FROM ")
                .batch(&batch)
                .push(" WHERE v.absent IS NULL AND v.always = -7");
            let seen = sql.all(app.db.conn()).await.unwrap();
            let mut seen: Vec<Row> = seen
                .iter()
                .map(|row| {
                    let maybe = |n| row.try_get_by_index::<Option<i64>>(n).unwrap();
                    let text = row.try_get_by_index(4).unwrap();
                    (maybe(0).unwrap(), maybe(1), maybe(2), maybe(3).unwrap(), text)
                })
                .collect();
            rows.sort_unstable();
            seen.sort_unstable();
            assert_eq!(seen, rows, "round {round}");
        }
    }
}

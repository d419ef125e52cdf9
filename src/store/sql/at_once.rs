//! Several statements in one round trip.

use sea_orm::{ConnectionTrait, DbErr};

use crate::store::{Engine, StoreError, sql::Sql};

/// Runs statements that write, none of which depends on what another does, and counts the rows that
/// each met. PostgreSQL does them all as one (`WITH`), so that nobody waits for the way to and fro
/// between them; the others do one after another.
///
/// No two of them may change the same row.
///
/// # Errors
/// As the database answers; what came before the one that failed is undone with the transaction.
pub(in crate::store) async fn execute_at_once(
    conn: &impl ConnectionTrait,
    op: &'static str,
    statements: Vec<Sql>,
) -> Result<Vec<u64>, StoreError> {
    let is_postgres = statements.first().is_some_and(|sql| sql.engine == Engine::Postgres);
    if !is_postgres || statements.len() < 2 {
        let mut counts = Vec::with_capacity(statements.len());
        for sql in statements {
            counts.push(sql.execute(conn).await?);
        }
        return Ok(counts);
    }
    let n_statements = statements.len();
    let row = joined(conn, op, statements).one(conn).await;
    crate::crash::point();
    let row = row?;
    let read = |n: usize| match &row {
        Some(row) => row.try_get_by_index::<i64>(n).map(i64::unsigned_abs),
        None => Err(DbErr::RecordNotFound(op.to_owned())),
    };
    (0..n_statements).map(read).collect::<Result<_, _>>().map_err(StoreError::during(op))
}

fn joined(conn: &impl ConnectionTrait, op: &'static str, statements: Vec<Sql>) -> Sql {
    let (mut with, mut counts, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (n, sql) in statements.into_iter().enumerate() {
        with.push(format!("s{n} AS ({} RETURNING 1)", renumbered(&sql.text, values.len())));
        counts.push(format!("(SELECT COUNT(*) FROM s{n})"));
        values.extend(sql.values);
    }
    let text = format!("WITH {} SELECT {}", with.join(", "), counts.join(", "));
    Sql { text, values, ..Sql::new(conn, op) }
}

/// A text with its places, as in `$3`, counted on from `n`. Our texts have no other `$`.
fn renumbered(text: &str, n: usize) -> String {
    let mut parts = text.split('$');
    let mut renumbered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let place: usize = part[..end].parse().unwrap_or_default();
        renumbered += &format!("${}{}", n + place, &part[end..]);
    }
    renumbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_on() {
        assert_eq!(
            renumbered("a = $1::bigint, b = $2 AND $12", 9),
            "a = $10::bigint, b = $11 AND $21"
        );
        assert_eq!(renumbered("$1", 0), "$1");
        assert_eq!(renumbered("nothing", 7), "nothing");
    }
}

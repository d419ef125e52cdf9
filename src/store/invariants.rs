//! The invariants as queries: what must never be found, and what to do if it is.
//!
//! The numbers are those of ARCHITECTURE.md. What is not here cannot be seen in the database
//! afterwards (I7, I15, I19), and what is here is not a proof: these queries look for the damage,
//! not for its cause. They read whole tables, so they are for people, not for a probe.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::store::{StoreError, sql::Sql, to_ms};

mod checks;

use checks::CHECKS;

/// Something that must never be, and how it is found.
struct Check {
    /// The invariant's number.
    invariant: &'static str,
    /// What was found: the words after a number.
    what: &'static str,
    /// Selects how many there are, and one of them. `:now` stands for the instant of the question,
    /// `:kept` for that from which on mails are kept, `:step` for the step of second factors.
    query: &'static str,
    /// What mends it. `:one` stands for the one, `:now` as above.
    mend: &'static str,
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its number, such as `I5`.
    pub invariant: &'static str,
    /// What was found, in words.
    pub found: String,
    /// The line that mends it.
    pub mend: String,
}

/// Looks for everything that must never be, at `now`. `keep_messages` is for how long mails are
/// kept, and with them the proof that somebody was told.
///
/// # Errors
/// As the database answers.
pub async fn broken(
    conn: &impl ConnectionTrait,
    now: DateTime<Utc>,
    keep_messages: TimeDelta,
) -> Result<Vec<Broken>, StoreError> {
    let mut broken = Vec::new();
    for check in CHECKS {
        let (now_ms, kept) = (to_ms(now), to_ms(now - keep_messages));
        let filled = |text: &str| {
            text.replace(":now", &now_ms.to_string())
                .replace(":kept", &kept.to_string())
                .replace(":step", &(now_ms / 30_000).to_string())
        };
        let op = "look for what must never be";
        let row = Sql::new(conn, op).push(&filled(check.query)).one(conn).await?;
        let Some(row) = row else { continue };
        let n: i64 = row.try_get_by_index(0).map_err(StoreError::during(op))?;
        if n > 0 {
            broken.push(check.found(n, &one(&row), &filled(check.mend)));
        }
    }
    Ok(broken)
}

/// The one of many that a query names: by a word, or by its number.
fn one(row: &QueryResult) -> String {
    let number = || row.try_get_by_index::<i64>(1).map(|number| number.to_string());
    row.try_get_by_index::<String>(1).or_else(|_| number()).unwrap_or_default()
}

impl Check {
    fn found(&self, n: i64, one: &str, mend: &str) -> Broken {
        Broken {
            invariant: self.invariant,
            found: format!("{n} {}, such as {one}", self.what),
            mend: mend.replace(":one", one),
        }
    }
}

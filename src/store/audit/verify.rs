//! Whether the trail is as it was sealed, and if not, what is wrong first.
//!
//! What this cannot see by itself: a row that was changed before it was sealed, and the *last*
//! seals being cut off together with their rows. Against the second, keep the head's digest
//! somewhere else, and give it as the anchor: it must still be a link of the chain.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    domain::{
        digest::Digest,
        seal::{Flaw, Seal, SealKey},
    },
    store::{
        Db, StoreError,
        audit::{
            seals::{self, BATCH, Head},
            trail,
        },
        from_ms,
        sql::Sql,
    },
};

/// How many seals are read at a time.
const PAGE: usize = 32;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Seals that hold.
    pub n_seals: u64,
    /// Rows they cover.
    pub n_rows: u64,
    /// The end of the chain as far as it holds: worth keeping somewhere else.
    pub head: Option<Head>,
    /// The first id that is left, where older rows have been pruned with their seals.
    pub pruned_before: Option<i64>,
    /// The first thing that is wrong. Nothing beyond it was looked at.
    pub fault: Option<Fault>,
    /// Whether the anchor is a link of the chain; `None` if there was no anchor.
    pub has_anchor: Option<bool>,
    /// Rows that wait for their seal.
    pub n_unsealed: u64,
    /// Since when the oldest of them waits.
    pub unsealed_since: Option<DateTime<Utc>>,
}

impl Report {
    /// Whether the trail is as it was sealed, and the anchor, if there was one, is in it.
    pub fn is_clean(&self) -> bool {
        self.fault.is_none() && self.has_anchor != Some(false)
    }
}

/// Something wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The number of the seal that does not hold.
    pub seal: i64,
    /// The first id it covers.
    pub first_id: i64,
    /// The last id it covers.
    pub last_id: i64,
    /// What is wrong.
    pub flaw: Flaw,
}

/// Follows the chain from its first seal to its last, or to the first thing that is wrong. `tell`
/// is told the number of rows so far.
///
/// # Errors
/// As the database answers. What is wrong with the trail is no error, but the answer.
pub async fn verify(
    db: &Db,
    key: &SealKey,
    anchor: Option<Digest>,
    mut tell: impl FnMut(u64),
) -> Result<Report, StoreError> {
    let mut report = Report { has_anchor: anchor.map(|_| false), ..Report::default() };
    let (mut number, mut end) = (0, None);
    'chain: loop {
        let seals = seals::after(db.conn(), number, PAGE).await?;
        if seals.is_empty() {
            break;
        }
        for (id, seal) in seals {
            number = id;
            let flaw = check(db, key, &seal, end).await?;
            // A seal that was pruned meanwhile, with its rows, is no fault.
            if let Some(flaw) = flaw
                && exists(db.conn(), id).await?
            {
                let Seal { span, .. } = seal;
                let (first_id, last_id) = (span.first_id, span.last_id);
                report.fault = Some(Fault { seal: id, first_id, last_id, flaw });
                break 'chain;
            }
            if end.is_none() && seal.prev != Digest::GENESIS {
                report.pruned_before = Some(seal.span.first_id);
            }
            end = Some((seal.span.last_id, seal.digest));
            if anchor.is_some_and(|anchor| anchor == seal.digest || anchor == seal.prev) {
                report.has_anchor = Some(true);
            }
            report.add(id, &seal);
            tell(report.n_rows);
        }
    }
    backlog(db.conn(), &mut report).await?;
    Ok(report)
}

impl Report {
    fn add(&mut self, id: i64, seal: &Seal) {
        self.n_seals += 1;
        self.n_rows += seal.span.n_rows.unsigned_abs();
        self.head = Some(Head {
            seal: id,
            last_id: seal.span.last_id,
            digest: seal.digest,
            sealed_at: from_ms(seal.span.sealed_at).unwrap_or_default(),
        });
    }
}

/// Whether `seal` follows the one that ended at `end`, and its rows are as they were. Of the first
/// seal that is left nobody knows what it followed; but nothing may lie before it.
async fn check(
    db: &Db,
    key: &SealKey,
    seal: &Seal,
    end: Option<(i64, Digest)>,
) -> Result<Option<Flaw>, StoreError> {
    match end {
        Some((last_id, digest)) => {
            if (seal.prev, seal.span.first_id) != (digest, last_id + 1) {
                return Ok(Some(Flaw::Unlinked));
            }
        }
        None => {
            let before = trail::entries(db.conn(), i64::MIN, seal.span.first_id - 1, 1).await?;
            if let Some(stray) = before.first() {
                return Ok(Some(Flaw::Inserted { row: stray.id }));
            }
        }
    }
    // One more than there should be, so that one too many is seen.
    let limit = usize::try_from(seal.span.n_rows).unwrap_or_default().min(BATCH) + 1;
    let rows = trail::entries(db.conn(), seal.span.first_id - 1, seal.span.last_id, limit).await?;
    Ok(seal.check(key, &rows).err())
}

async fn exists(conn: &impl ConnectionTrait, seal: i64) -> Result<bool, StoreError> {
    let sql = Sql::new(conn, "read a seal").push("SELECT 1 FROM audit_seals WHERE id = ");
    Ok(sql.bind(seal).one(conn).await?.is_some())
}

/// Counts what is not sealed yet.
async fn backlog(conn: &impl ConnectionTrait, report: &mut Report) -> Result<(), StoreError> {
    let op = "count what is not sealed";
    let last_id = seals::head(conn).await?.map_or(0, |head| head.last_id);
    let row = Sql::new(conn, op)
        .push("SELECT COUNT(*), MIN(at) FROM audit_events WHERE id > ")
        .bind(last_id)
        .one(conn)
        .await?;
    let Some(row) = row else { return Ok(()) };
    let n: i64 = row.try_get_by_index(0).map_err(StoreError::during(op))?;
    let since: Option<i64> = row.try_get_by_index(1).map_err(StoreError::during(op))?;
    report.n_unsealed = n.unsigned_abs();
    report.unsealed_since = since.and_then(from_ms);
    Ok(())
}

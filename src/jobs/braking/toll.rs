//! Which keys a run would destroy, and what decides about a key to be purged.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::{
        brake::{Action, Destruction, Doomed, Toll},
        purge::{self, Ended, Verdict, since, verdict, waits_for_approval},
    },
    jobs::{
        Deps,
        braking::{CHUNK, PUT_OFF},
    },
    store::{
        StoreError, brake,
        policies::PolicyBook,
        purge::{self as ended_keys, EndReason, EndedKey, Terms},
        turn,
    },
};

/// Everything of this kind that is to be destroyed at `now`, put off or not.
pub(super) async fn toll(
    deps: &Deps,
    what: Destruction,
    now: DateTime<Utc>,
) -> Result<Toll, StoreError> {
    let (conn, until) = (deps.db.conn(), now + PUT_OFF);
    let book = PolicyBook::load(&deps.db, (*deps.policies).clone()).await?;
    let mut toll = Toll::default();
    let mut place = Some(turn::BEGINNING);
    while let Some(after) = place {
        match what {
            Destruction::Expire => {
                let (keys, last) = brake::expiring(conn, after, (now, until), CHUNK).await?;
                toll.extend(keys);
                place = last;
            }
            Destruction::Purge => {
                let claim = ended_keys::look(conn, after, until, CHUNK).await?;
                let purged = |key| purged(&book, key, notice(&book, deps, key), now);
                toll.extend(claim.keys.iter().filter_map(purged));
                place = claim.last.filter(|_| claim.len() == CHUNK);
            }
        }
    }
    Ok(toll)
}

/// The key, if it may be purged.
fn purged(
    book: &PolicyBook,
    key: &EndedKey,
    notice: TimeDelta,
    now: DateTime<Utc>,
) -> Option<Doomed> {
    let ended = ended(book, key);
    if verdict(&ended, notice, now) != Verdict::Purge {
        return None;
    }
    Some(Doomed {
        id: key.id,
        version: key.version,
        tenant_id: key.tenant_id,
        action: Action::Purge,
        since: since(&ended, notice)?,
    })
}

/// What the question whether a key may be purged depends on.
pub(in crate::jobs) fn ended(book: &PolicyBook, key: &EndedKey) -> Ended {
    let policy = book.of_key(&key.governed());
    Ended {
        ends_at: key.ends_at,
        told_at: key.told_at,
        needs_notice: key.reason != EndReason::Revoked,
        is_held: key.is_held,
        needs_approval: waits_for_approval(&policy, key.ends_at, key.approved_for),
    }
}

/// How long before its purge the key's owner must have been told.
pub(in crate::jobs) fn notice(book: &PolicyBook, deps: &Deps, key: &EndedKey) -> TimeDelta {
    let min_notice = deps.limits.min_notice;
    match key.reason {
        EndReason::WindowClosed => purge::notice(&book.of_key(&key.governed()), min_notice),
        EndReason::Revoked | EndReason::AccessEnded => min_notice,
    }
}

/// On which terms the key goes, if it is purged at `now`.
pub(in crate::jobs) fn terms(
    book: &PolicyBook,
    deps: &Deps,
    key: &EndedKey,
    now: DateTime<Utc>,
) -> Terms {
    let policy = book.of_key(&key.governed());
    Terms {
        notice: notice(book, deps, key),
        // Whatever was given: the statement asks the row.
        needs_approval: waits_for_approval(&policy, key.ends_at, None),
        keep_until: purge::keep_until(&policy, now),
    }
}

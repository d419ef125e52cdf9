//! A request is filed, whole.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use crate::{
    domain::{approval::ApprovalState, identity::PublicId, policy::Policies},
    store::{
        Db, StoreError, Tx, admin_tokens,
        approvals::{Approval, ApprovalError, Wanted, carry, code_of, list},
        audit,
        entity::{
            approvals::{ActiveModel, Column, Entity},
            owners,
        },
        second::NeedsSecond,
        to_ms,
        who::{Shown, Who},
    },
};

/// A request to be filed.
#[derive(Clone, Copy, Debug)]
pub struct NewApproval<'a> {
    /// Drawn at random.
    pub public_id: PublicId,
    /// What is wanted.
    pub wanted: &'a Wanted,
    /// The public id of the token that asks.
    pub token: &'a str,
    /// How long it waits.
    pub lasts: TimeDelta,
}

/// Files what was refused with `second`. Whoever asks for the same again, while it waits, is told of
/// the request that there is.
///
/// # Errors
/// [`StoreError::Stale`] if it is not as it was when it was looked at, [`ApprovalError::Nobody`], and
/// what is wrong with a code, which counts as a guess. Nothing else has changed then.
pub async fn file(
    db: &Db,
    base: &Policies,
    who: Who<'_>,
    new: &NewApproval<'_>,
    second: NeedsSecond,
) -> Result<Approval, ApprovalError> {
    let shown = who.show(db).await?;
    let filed = file_shown(db, base, &shown, new, second).await;
    shown.settle(db, filed).await
}

async fn file_shown(
    db: &Db,
    base: &Policies,
    shown: &Shown<'_>,
    new: &NewApproval<'_>,
    second: NeedsSecond,
) -> Result<Approval, ApprovalError> {
    let tx = db.begin().await?;
    let held = shown.hold(&tx).await?;
    let now = db.now(&*tx).await?;
    let requester_id = person(&tx, shown.owner_id()).await?;
    let found = carry::look(&*tx, base, new.wanted).await?;
    if found.seen != new.wanted.seen() {
        return Err(StoreError::Stale.into());
    }
    let evidence = held.prove(&tx, second.needs_otp, now).await?;
    let request = serde_json::to_string(new.wanted).unwrap_or_default();
    let public_id = match waiting(&tx, requester_id, &request, now).await? {
        Some(public_id) => public_id,
        None => {
            let row = ActiveModel {
                public_id: Set(new.public_id.to_string()),
                tenant_id: Set(found.tenant_id),
                key_id: Set(found.key_id),
                owner_id: Set(found.owner_id),
                request: Set(request),
                requested_by: Set(shown.actor().to_owned()),
                token: Set(new.token.to_owned()),
                requester_id: Set(requester_id),
                evidence: Set(evidence.to_string()),
                requested_at: Set(to_ms(now)),
                expires_at: Set(to_ms(now + new.lasts)),
                state: Set(code_of(ApprovalState::Pending)),
                ..Default::default()
            };
            let row = row.insert(&*tx).await.map_err(StoreError::during("file a request"))?;
            let more = [("mfa", evidence), ("expires_at", serde_json::json!(now + new.lasts))];
            let event = list::event("approval.requested", &row, &more);
            audit::insert(&*tx, shown.actor(), &[event], now).await?;
            row.public_id
        }
    };
    let filed = list::find(&*tx, &public_id).await?;
    tx.commit().await?;
    filed.ok_or(ApprovalError::NoRequest(public_id))
}

/// The owner of a token, if it is somebody's: two people cannot be told apart by tokens that are
/// nobody's.
pub(super) async fn person(tx: &Tx, owner_id: Option<i64>) -> Result<i64, ApprovalError> {
    let owner_id = owner_id.ok_or(ApprovalError::Nobody)?;
    let row = owners::Entity::find_by_id(owner_id).one(&**tx).await;
    let row = row.map_err(StoreError::during("read an owner"))?;
    match row.filter(|row| row.email != admin_tokens::OWNER) {
        Some(row) => Ok(row.id),
        None => Err(ApprovalError::Nobody),
    }
}

/// The same request of the same person, if it waits already.
async fn waiting(
    tx: &Tx,
    requester_id: i64,
    request: &str,
    now: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
    let query = Entity::find()
        .filter(Column::State.eq(code_of(ApprovalState::Pending)))
        .filter(Column::RequesterId.eq(requester_id))
        .filter(Column::Request.eq(request))
        .filter(Column::ExpiresAt.gt(to_ms(now)));
    let row = query.one(&**tx).await.map_err(StoreError::during("find a request"))?;
    Ok(row.map(|row| row.public_id))
}

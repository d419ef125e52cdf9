//! A request is decided: approved by another administrator and carried out at once, or rejected.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};

use crate::{
    domain::{
        approval::{ApprovalState, Undecidable, see_pending, see_two},
        policy::Policies,
    },
    store::{
        Db, StoreError, Tx,
        approvals::{
            Approval, ApprovalError, Wanted,
            carry::{self, After},
            code_of, file, list, state_of,
        },
        audit,
        codes::{Coded, StateCode},
        entity::{
            api_keys,
            approvals::{ActiveModel, Column, Entity, Model},
        },
        from_ms, to_ms,
        who::{Shown, Two, Who},
    },
};

/// Carries out exactly what was asked for, if `who` is another person than who asked. It is void,
/// for good, if what it is about has changed since, or if the token it was asked with is no longer
/// good: whoever has lost their rights asks for nothing.
///
/// # Errors
/// [`ApprovalError::Void`], which is written down; [`ApprovalError::Undecidable`],
/// [`ApprovalError::Nobody`], and what is wrong with a code: then it waits as before.
pub async fn approve(
    db: &Db,
    base: &Policies,
    who: Who<'_>,
    public_id: &str,
) -> Result<Approval, ApprovalError> {
    let shown = who.show(db).await?;
    let done = approve_shown(db, base, &shown, public_id).await;
    match shown.settle(db, done).await {
        Ok((approval, after)) => {
            after.run(db, &approval.requested_by).await?;
            Ok(approval)
        }
        Err(ApprovalError::Void(why)) => {
            let end = (ApprovalState::Void, "approval.void", Some(why.as_str()));
            end_as(db, who.actor(), public_id, end).await?;
            Err(ApprovalError::Void(why))
        }
        Err(error) => Err(error),
    }
}

async fn approve_shown(
    db: &Db,
    base: &Policies,
    shown: &Shown<'_>,
    public_id: &str,
) -> Result<(Approval, After), ApprovalError> {
    let tx = db.begin().await?;
    let done = approve_in(&tx, db, base, shown, public_id).await;
    if done.is_err() {
        // What is void is written down next, in a transaction that must not wait for this one.
        tx.undo().await?;
        return done;
    }
    tx.commit().await?;
    done
}

async fn approve_in(
    tx: &Tx,
    db: &Db,
    base: &Policies,
    shown: &Shown<'_>,
    public_id: &str,
) -> Result<(Approval, After), ApprovalError> {
    let held = shown.hold(tx).await?;
    let row = pending(tx, db, public_id).await?;
    let now = db.now(&**tx).await?;
    let approver = match shown.owner_id() {
        None => None,
        some => Some(file::person(tx, some).await?),
    };
    see_two(row.requester_id, approver)?;
    see_token(tx, &row, now).await?;
    let wanted: Wanted = serde_json::from_str(&row.request)
        .map_err(|_| ApprovalError::Void("the request makes no sense".to_owned()))?;
    let found = carry::look(&**tx, base, &wanted).await?;
    if found.seen != wanted.seen() {
        return Err(ApprovalError::changed());
    }
    let evidence = held.prove(tx, found.needs_otp(&wanted), now).await?;
    let two = two(&row, shown.actor(), &evidence);
    let carrying = Who::Two(&two).show(db).await?;
    let carrying = carrying.hold(tx).await?;
    let after = carry::out((tx, db), base, found, &wanted, (&carrying, now)).await?;
    decided(tx, &row, (ApprovalState::Approved, shown.actor(), None), now).await?;
    let event = list::event("approval.approved", &row, &[("mfa", evidence)]);
    audit::insert(&**tx, shown.actor(), &[event], now).await?;
    let approval = list::find(&**tx, public_id).await?;
    let approval = approval.ok_or_else(|| ApprovalError::NoRequest(public_id.to_owned()))?;
    Ok((approval, after))
}

/// Both of them, as the trail names them in what is carried out.
fn two(row: &Model, approver: &str, evidence: &Value) -> Two {
    let requested: Value = serde_json::from_str(&row.evidence).unwrap_or_default();
    let evidence = json!({
        "method": "two_person",
        "approval": row.public_id,
        "requested": { "by": row.requested_by, "mfa": requested },
        "approved": { "by": approver, "mfa": evidence },
    });
    Two::new(row.requested_by.clone(), evidence)
}

/// Sees that the token a request was made with is still good.
async fn see_token(tx: &Tx, row: &Model, now: DateTime<Utc>) -> Result<(), ApprovalError> {
    let query = api_keys::Entity::find().filter(api_keys::Column::PublicId.eq(row.token.as_str()));
    let token = query.one(&**tx).await.map_err(StoreError::during("read a token"))?;
    let is_good = token.is_some_and(|token| {
        let is_live = token.expires_at.and_then(from_ms).is_none_or(|end| now < end);
        token.state == StateCode::Active.code() && is_live && token.suspended_at.is_none()
    });
    if is_good {
        return Ok(());
    }
    Err(ApprovalError::Void("the token it was asked with is no longer good".to_owned()))
}

/// Rejects a request, or takes one's own back.
///
/// # Errors
/// [`ApprovalError::Undecidable`]; else as the database answers.
pub async fn reject(
    db: &Db,
    actor: &str,
    public_id: &str,
    reason: Option<&str>,
) -> Result<Approval, ApprovalError> {
    end_as(db, actor, public_id, (ApprovalState::Rejected, "approval.rejected", reason)).await
}

async fn end_as(
    db: &Db,
    actor: &str,
    public_id: &str,
    (state, action, reason): (ApprovalState, &'static str, Option<&str>),
) -> Result<Approval, ApprovalError> {
    let tx = db.begin().await?;
    let row = pending(&tx, db, public_id).await?;
    let now = db.now(&*tx).await?;
    decided(&tx, &row, (state, actor, reason), now).await?;
    let event = list::event(action, &row, &[("reason", json!(reason))]);
    audit::insert(&*tx, actor, &[event], now).await?;
    let approval = list::find(&*tx, public_id).await?;
    tx.commit().await?;
    approval.ok_or_else(|| ApprovalError::NoRequest(public_id.to_owned()))
}

/// A request that waits, locked.
async fn pending(tx: &Tx, db: &Db, public_id: &str) -> Result<Model, ApprovalError> {
    let row = list::locked(tx, public_id).await?;
    let row = row.ok_or_else(|| ApprovalError::NoRequest(public_id.to_owned()))?;
    let now = db.now(&**tx).await?;
    see_pending(state_of(row.state), from_ms(row.expires_at).unwrap_or_default(), now)?;
    Ok(row)
}

/// Writes down what was decided, if nobody was quicker.
async fn decided(
    tx: &Tx,
    row: &Model,
    (state, actor, reason): (ApprovalState, &str, Option<&str>),
    now: DateTime<Utc>,
) -> Result<(), ApprovalError> {
    let change = ActiveModel {
        state: Set(code_of(state)),
        decided_by: Set(Some(actor.to_owned())),
        decided_at: Set(Some(to_ms(now))),
        reason: Set(reason.map(str::to_owned)),
        ..Default::default()
    };
    let query = Entity::update_many()
        .set(change)
        .filter(Column::Id.eq(row.id))
        // The row is locked; this is for the day somebody changes that.
        .filter(Column::State.eq(code_of(ApprovalState::Pending)));
    let done = query.exec(&**tx).await.map_err(StoreError::during("decide a request"))?;
    if done.rows_affected == 1 {
        return Ok(());
    }
    Err(Undecidable::Over(ApprovalState::Approved).into())
}

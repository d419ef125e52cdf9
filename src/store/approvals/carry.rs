//! What is wanted, looked at and carried out.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use crate::{
    domain::{
        brake::Destruction,
        digest::Digest,
        policy::{Deed, Policies},
        spread::Spread,
    },
    store::{
        Db, StoreError, Tx, access, approval,
        approvals::{Approval, ApprovalError, Wanted, edits, kind_of},
        brake,
        entity::admin_tokens,
        environments::{self, Environment},
        key_changes,
        key_list::{self, KeyView},
        otp::{self, OtpError},
        owners::{self, Owner},
        policies::{
            PolicyBook,
            change::{self, Scope},
            shorten,
            simulate::reschedule,
        },
        seen::Tag,
        tenants::{self, Tenant},
        who::Held,
    },
};

/// What a request is about, as it is now.
pub(super) struct Found {
    thing: Thing,
    book: PolicyBook,
    /// How it is: the name that the request has of how it was.
    pub(super) seen: String,
    pub(super) tenant_id: Option<i64>,
    pub(super) key_id: Option<i64>,
    pub(super) owner_id: Option<i64>,
}

enum Thing {
    Key(Box<KeyView>),
    Owner(Box<Owner>),
    Policy(Box<Place>),
    Brake,
}

/// Whose policy.
struct Place {
    tenant: Tenant,
    environment: Option<Environment>,
    key: Option<KeyView>,
}

fn gone(what: &str) -> ApprovalError {
    ApprovalError::Void(format!("there is no such {what} any more"))
}

/// Reads what `wanted` is about.
pub(super) async fn look(
    conn: &impl ConnectionTrait,
    base: &Policies,
    wanted: &Wanted,
) -> Result<Found, ApprovalError> {
    let book = PolicyBook::load_by(conn, base.clone()).await?;
    if let Wanted::ChangePolicy { tenant, environment, key, kind, .. } = wanted {
        let place = place(conn, (tenant, environment.as_deref(), key.as_deref())).await?;
        let seen = Tag::of(&place.scope(kind.as_deref()).effective(&book)).to_string();
        let (key_id, owner_id) = place.key.as_ref().map(|key| (key.id, key.owner.0)).unzip();
        let tenant_id = Some(place.tenant.id);
        return Ok(Found {
            thing: Thing::Policy(place.into()),
            book,
            seen,
            tenant_id,
            key_id,
            owner_id,
        });
    }
    if let Some(id) = wanted.key() {
        let key = key_list::find(conn, id).await?.ok_or_else(|| gone("key"))?;
        // A token is of the tenant that it is for, or of them all.
        let token = admin_tokens::Entity::find().filter(admin_tokens::Column::KeyId.eq(key.id));
        let token = token.one(conn).await.map_err(StoreError::during("find a token"))?;
        let tenant_id = token.map_or(Some(key.tenant.0), |token| token.tenant_id);
        let (key_id, owner_id) = (Some(key.id), Some(key.owner.0));
        let seen = key.tag().to_string();
        return Ok(Found {
            thing: Thing::Key(key.into()),
            book,
            seen,
            tenant_id,
            key_id,
            owner_id,
        });
    }
    if let Some(id) = wanted.owner() {
        let owner = owners::find_by_public_id(conn, id).await?.ok_or_else(|| gone("owner"))?;
        let (tenant_id, owner_id) = (Some(owner.tenant_id), Some(owner.id));
        let seen = Tag::of(&owner).to_string();
        let thing = Thing::Owner(owner.into());
        return Ok(Found { thing, book, seen, tenant_id, key_id: None, owner_id });
    }
    // A plan is what its hash says, or none is held back.
    let mut seen = String::new();
    for what in Destruction::ALL {
        if let Some(on) = brake::get_by(conn, what).await?
            && on.hash == wanted.seen()
        {
            seen = on.hash;
        }
    }
    let (tenant_id, key_id, owner_id) = (None, None, None);
    Ok(Found { thing: Thing::Brake, book, seen, tenant_id, key_id, owner_id })
}

async fn place(
    conn: &impl ConnectionTrait,
    (tenant, environment, key): (&str, Option<&str>, Option<&str>),
) -> Result<Place, ApprovalError> {
    let tenant = tenants::find(conn, tenant).await?.ok_or_else(|| gone("tenant"))?;
    let environment = match environment {
        Some(slug) => {
            let found = environments::find(conn, tenant.id, slug).await?;
            Some(found.ok_or_else(|| gone("environment"))?)
        }
        None => None,
    };
    let key = match key {
        Some(id) => Some(key_list::find(conn, id).await?.ok_or_else(|| gone("key"))?),
        None => None,
    };
    Ok(Place { tenant, environment, key })
}

impl Place {
    fn scope(&self, kind: Option<&str>) -> Scope<'_> {
        match (&self.key, &self.environment) {
            (Some(key), Some(environment)) => Scope::of_key(&self.tenant, environment, key),
            (_, environment) => Scope {
                environment: environment.as_ref(),
                kind: kind_of(kind),
                ..Scope::of(&self.tenant)
            },
        }
    }
}

impl Found {
    /// Whether the rules ask whoever does it for a code.
    pub(super) fn needs_otp(&self, wanted: &Wanted) -> bool {
        match (wanted, &self.thing) {
            (Wanted::RevokeKey { .. } | Wanted::ApprovePurge { .. }, Thing::Key(key)) => {
                key.governed().is_some_and(|key| self.book.of_key(&key).needs_otp(Deed::Revoke))
            }
            (Wanted::ChangePolicy { kind, .. }, Thing::Policy(place)) => place
                .scope(kind.as_deref())
                .any(&self.book, |policy| policy.needs_otp(Deed::Policy)),
            _ => false,
        }
    }
}

/// What remains to be done once the transaction is over, and may be done again.
pub(super) enum After {
    Nothing,
    /// The keys that exist are looked at by the new rules.
    Policy {
        found: Box<Found>,
        book: Box<PolicyBook>,
        spread: Option<Spread>,
        kind: Option<String>,
    },
}

impl After {
    pub(super) async fn run(self, db: &Db, actor: &str) -> Result<(), StoreError> {
        let Self::Policy { found, book, spread, kind } = self else { return Ok(()) };
        let Thing::Policy(place) = &found.thing else { return Ok(()) };
        let scope = place.scope(kind.as_deref());
        reschedule(db, &book, &scope).await?;
        if let Some(spread) = spread {
            shorten(db, actor, &book, &scope, &spread).await?;
        }
        Ok(())
    }
}

/// Carries `wanted` out within `tx`, which has locked the request.
pub(super) async fn out(
    (tx, db): (&Tx, &Db),
    base: &Policies,
    found: Found,
    wanted: &Wanted,
    (held, now): (&Held<'_>, DateTime<Utc>),
) -> Result<After, ApprovalError> {
    let book = &found.book;
    match (wanted, &found.thing) {
        (Wanted::RevokeKey { reason, .. }, Thing::Key(key)) => {
            let which = (key.public_id.as_str(), Some(key.version));
            key_changes::revoke_in(tx, db, book, held, which, reason.as_deref()).await?;
        }
        (Wanted::ReleaseHold { .. }, Thing::Key(key)) => {
            let which = (key.public_id.as_str(), Some(key.version));
            key_changes::keep_in(tx, db, book, held, which, (None, None)).await?;
        }
        (Wanted::ApprovePurge { reason, .. }, Thing::Key(key)) => {
            let (which, reason) = ((key.public_id.as_str(), Some(key.version)), reason.as_deref());
            approval::approve_purge_in(tx, db, book, held, which, reason).await?;
        }
        (Wanted::SetAccess { ends_at, .. }, Thing::Owner(owner)) => {
            let seen = Tag::named(&found.seen);
            // Nothing ends in the past: what was to end at once ends now.
            let at = ends_at.map(|at| at.max(now));
            access::set_end_in(tx, db, book, held, (owner, Some(&seen)), at).await?;
        }
        (Wanted::ResetOtp { .. }, Thing::Owner(owner)) => {
            otp::reset_in(tx, db, book, held, owner).await.map_err(|error| match error {
                OtpError::NotEnrolled => ApprovalError::Void(error.to_string()),
                error => error.into(),
            })?;
        }
        (Wanted::ChangePolicy { kind, set, spread, .. }, Thing::Policy(place)) => {
            let spread = spread.map(|(notice, over)| Spread::new(notice, over)).transpose();
            let spread = spread.map_err(|error| ApprovalError::Void(error.to_string()))?;
            let (seen, kind) = (Tag::named(&found.seen), kind.clone());
            let which = (&place.scope(kind.as_deref()), Some(&seen));
            let book = change::set_in(tx, db, held, base, which, &edits(set)).await?;
            return Ok(After::Policy { found: found.into(), book: book.into(), spread, kind });
        }
        (Wanted::ReleaseBrake { hash }, Thing::Brake) => {
            let hash: Digest = hash.parse().map_err(|_| gone("plan"))?;
            brake::release_in(tx, held.actor(), hash, now).await?.ok_or_else(|| gone("plan"))?;
        }
        _ => return Err(ApprovalError::Void("the request makes no sense".to_owned())),
    }
    Ok(After::Nothing)
}

/// Whether whoever approves it needs a code, as things are.
///
/// # Errors
/// As the database answers.
pub async fn needs_otp(db: &Db, base: &Policies, approval: &Approval) -> Result<bool, StoreError> {
    let Some(wanted) = &approval.wanted else { return Ok(false) };
    match look(db.conn(), base, wanted).await {
        Ok(found) => Ok(found.needs_otp(wanted)),
        Err(ApprovalError::Store(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

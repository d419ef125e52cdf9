//! What an operator does with a key. What cannot be taken back asks for the key's name.

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use chrono::TimeDelta;
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    domain::{life::Ask, name::Label},
    http::{
        admin::{
            Admin, approvals,
            failure::Failure,
            form::{self, Sent, typed},
            visit::Visit,
        },
        v1::refusal::malformed,
    },
    store::{approval, approvals::Wanted, key_changes, keys::KeyError, suspension},
};

fn back(id: &str) -> Response {
    Redirect::to(&format!("/admin/keys/{id}")).into_response()
}

#[derive(Deserialize)]
pub(super) struct Revocation {
    #[serde(default)]
    name: String,
    reason: Option<String>,
    /// A code of the visitor's own, where the policy asks for one.
    otp: Option<SecretString>,
}

/// `POST /admin/keys/{id}/revoke`
pub(super) async fn revoke(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(form): Sent<Revocation>,
) -> Result<Response, Failure> {
    let key = visit.caller.key_to_change(&admin.api, &id).await?;
    if form.name.trim() != key.name.trim() {
        return Err(Failure::refused("wrong-name"));
    }
    let (reason, code): (Option<Label>, _) = (label(&form.reason)?, form::code(&form.otp)?);
    let (house, policies) = (admin.api.house()?, admin.api.policies().await?);
    let (who, reason) =
        (visit.caller.who(house, code.as_ref()), reason.as_ref().map(Label::as_str));
    match key_changes::revoke(&house.db, &policies, who, &key.public_id, reason).await {
        Err(KeyError::Second(second)) => {
            let (reason, seen) = (reason.map(str::to_owned), key.tag().to_string());
            let wanted = Wanted::RevokeKey { key: key.public_id, reason, seen };
            let filed = visit.caller.file(&admin.api, code.as_ref(), &wanted, second).await?;
            Ok(approvals::to(&filed))
        }
        done => {
            done?;
            Ok(back(&id))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Extension {
    days: String,
}

/// `POST /admin/keys/{id}/extend`
pub(super) async fn extend(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(form): Sent<Extension>,
) -> Result<Response, Failure> {
    let days: u16 = form.days.trim().parse().map_err(|_| malformed("no number of days"))?;
    let key = visit.caller.key_to_change(&admin.api, &id).await?;
    let (db, policies) = (admin.api.db()?, admin.api.policies().await?);
    let ask = Ask::For(TimeDelta::days(days.into()));
    key_changes::extend(db, &policies, &visit.caller.actor, &key.public_id, ask).await?;
    Ok(back(&id))
}

#[derive(Deserialize)]
pub(super) struct Hold {
    /// Absent: the key need not be kept any more.
    reason: Option<String>,
}

/// `POST /admin/keys/{id}/hold`
pub(super) async fn hold(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(form): Sent<Hold>,
) -> Result<Response, Failure> {
    let key = visit.caller.key_to_change(&admin.api, &id).await?;
    let reason: Option<Label> = label(&form.reason)?;
    let (db, policies) = (admin.api.db()?, admin.api.policies().await?);
    // Only that very key that was looked at.
    let which = (key.public_id.as_str(), Some(key.version));
    let reason = reason.as_ref().map(Label::as_str);
    let who = visit.caller.who(admin.api.house()?, None);
    match key_changes::hold(db, &policies, who, which, reason).await {
        Err(KeyError::Second(second)) => {
            let seen = key.tag().to_string();
            let wanted = Wanted::ReleaseHold { key: key.public_id, seen };
            Ok(approvals::to(&visit.caller.file(&admin.api, None, &wanted, second).await?))
        }
        done => {
            done?;
            Ok(back(&id))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Purging {
    #[serde(default)]
    name: String,
    reason: Option<String>,
    /// A code of the visitor's own, where the policy asks for one.
    otp: Option<SecretString>,
}

/// `POST /admin/keys/{id}/approve-purge`
pub(super) async fn approve_purge(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(form): Sent<Purging>,
) -> Result<Response, Failure> {
    let key = visit.caller.key_to_change(&admin.api, &id).await?;
    if form.name.trim() != key.name.trim() {
        return Err(Failure::refused("wrong-name"));
    }
    let (reason, code): (Option<Label>, _) = (label(&form.reason)?, form::code(&form.otp)?);
    let (db, policies) = (admin.api.db()?, admin.api.policies().await?);
    // Only that very key that was looked at.
    let which = (key.public_id.as_str(), Some(key.version));
    let reason = reason.as_ref().map(Label::as_str);
    let who = visit.caller.who(admin.api.house()?, code.as_ref());
    match approval::approve_purge(db, &policies, who, which, reason).await {
        Err(KeyError::Second(second)) => {
            let (reason, seen) = (reason.map(str::to_owned), key.tag().to_string());
            let wanted = Wanted::ApprovePurge { key: key.public_id, reason, seen };
            let filed = visit.caller.file(&admin.api, code.as_ref(), &wanted, second).await?;
            Ok(approvals::to(&filed))
        }
        done => {
            done?;
            Ok(back(&id))
        }
    }
}

/// Why somebody does something with a key.
#[derive(Deserialize)]
pub(super) struct Why {
    reason: Option<String>,
}

/// `POST /admin/keys/{id}/suspend`
pub(super) async fn suspend(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(form): Sent<Why>,
) -> Result<Response, Failure> {
    let key = visit.caller.key_to_change(&admin.api, &id).await?;
    let reason: Option<Label> = label(&form.reason)?;
    let (reason, which) = (reason.as_ref().map(Label::as_str), (key.public_id.as_str(), None));
    suspension::suspend(admin.api.db()?, &visit.caller.actor, which, reason, None).await?;
    Ok(back(&id))
}

/// `POST /admin/keys/{id}/unsuspend`
pub(super) async fn unsuspend(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(form): Sent<Why>,
) -> Result<Response, Failure> {
    let key = visit.caller.key_to_change(&admin.api, &id).await?;
    let reason: Option<Label> = label(&form.reason)?;
    // Only that very key that was looked at.
    let which = (key.public_id.as_str(), Some(key.version));
    let reason = reason.as_ref().map(Label::as_str);
    let (db, policies) = (admin.api.db()?, admin.api.policies().await?);
    suspension::unsuspend(db, &policies, &visit.caller.actor, which, reason).await?;
    Ok(back(&id))
}

fn label(text: &Option<String>) -> Result<Option<Label>, Failure> {
    let label = typed(text).map(str::parse::<Label>).transpose();
    label.map_err(|error| malformed(error.to_string()).into())
}

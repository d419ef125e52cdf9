//! Keys prolonged, held and ended. A caller who gives the `ETag` they saw in `If-Match` changes
//! that version, or nothing.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{life::Ask, name::Label},
    http::{
        problem::Problem,
        v1::{
            api::Api,
            approvals::{PendingApproval, waits},
            auth::{Allowed, Operate},
            etag::IfMatch,
            input::{Body, Life, otp, parse, parse_maybe},
            keys::{known_id, tagged},
            refusal::malformed,
            views::{KeyBody, ProblemView},
        },
    },
    store::{approval, approvals::Wanted, key_changes, keys::KeyError, suspension},
};

/// What is to be changed about a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::v1) struct KeyChange {
    /// A longer life, counted from now. An expired key is rotated, not prolonged.
    life: Life,
}

/// Prolong a key
#[utoipa::path(patch, path = "/v1/keys/{id}", tag = "keys", request_body = KeyChange,
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = KeyBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn amend(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(change): Body<KeyChange>,
) -> Result<Response, Problem> {
    let ask = change.life.ask()?;
    if ask == Ask::Default {
        return Err(malformed("`life`: give one of `days`, `until` and `never`"));
    }
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    let (policies, which) = (
        api.policies().await?,
        (key.public_id.as_str(), IfMatch::of(&headers).version(key.version)?),
    );
    key_changes::extend_if(api.db()?, &policies, &caller.actor, which, ask).await?;
    let key = caller.key(&api, &id).await?;
    Ok(tagged(KeyBody::new(key, api.now().await?)))
}

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::v1) struct Why {
    /// For the trail.
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

/// A key that was revoked.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct RevokedKey {
    id: String,
    /// When it is purged.
    purge_at: DateTime<Utc>,
}

/// Revoke a key
///
/// It is dead at once and for good; it can still be looked at until it is purged. Where the policy
/// asks for a code to revoke a key, it is of the owner of your token.
#[utoipa::path(post, path = "/v1/keys/{id}/revoke", tag = "keys", request_body = Why,
    params(("id" = String, Path, description = "its id"),
        ("X-OTP" = Option<String>, Header, description = "a code of your own, where the policy asks for one"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = RevokedKey),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn revoke(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    let reason: Option<Label> = parse_maybe("reason", why.reason.as_deref())?;
    let code = otp(&headers)?;
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    let (policies, which) = (
        api.policies().await?,
        (key.public_id.as_str(), IfMatch::of(&headers).version(key.version)?),
    );
    let (who, reason) =
        (caller.who(api.house()?, code.as_ref()), reason.as_ref().map(Label::as_str));
    match key_changes::revoke_if(api.db()?, &policies, who, which, reason).await {
        Err(KeyError::Second(second)) => {
            let (reason, seen) = (reason.map(str::to_owned), key.tag().to_string());
            let wanted = Wanted::RevokeKey { key: key.public_id, reason, seen };
            Ok(waits(&caller.file(&api, code.as_ref(), &wanted, second).await?))
        }
        done => Ok(Json(RevokedKey { id, purge_at: done? }).into_response()),
    }
}

/// Suspend a key
///
/// Every secret of it is refused, and it cannot be rotated, until that is lifted. Its dates do not
/// wait; its owner and the contacts are told.
#[utoipa::path(post, path = "/v1/keys/{id}/suspend", tag = "keys", request_body = Why,
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = KeyBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn suspend(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    let reason: Option<Label> = parse_maybe("reason", why.reason.as_deref())?;
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    let which = (key.public_id.as_str(), IfMatch::of(&headers).version(key.version)?);
    let reason = reason.as_ref().map(Label::as_str);
    suspension::suspend(api.db()?, &caller.actor, which, reason, None).await?;
    let key = caller.key(&api, &id).await?;
    Ok(tagged(KeyBody::new(key, api.now().await?)))
}

/// Lift the suspension of a key
///
/// It goes on with the secrets it has.
#[utoipa::path(post, path = "/v1/keys/{id}/unsuspend", tag = "keys", request_body = Why,
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = KeyBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn unsuspend(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    let reason: Option<Label> = parse_maybe("reason", why.reason.as_deref())?;
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    let (policies, which) = (
        api.policies().await?,
        (key.public_id.as_str(), IfMatch::of(&headers).version(key.version)?),
    );
    let reason = reason.as_ref().map(Label::as_str);
    suspension::unsuspend(api.db()?, &policies, &caller.actor, which, reason).await?;
    let key = caller.key(&api, &id).await?;
    Ok(tagged(KeyBody::new(key, api.now().await?)))
}

/// Whether a key must be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::v1) struct Hold {
    /// Why it must be kept.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Hold a key
///
/// A held key ends like any other, and is not purged.
#[utoipa::path(put, path = "/v1/keys/{id}/hold", tag = "keys", request_body = Hold,
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = KeyBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn hold(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(hold): Body<Hold>,
) -> Result<Response, Problem> {
    let reason: Label = parse("reason", &hold.reason)?;
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    let (policies, which) = (
        api.policies().await?,
        (key.public_id.as_str(), IfMatch::of(&headers).version(key.version)?),
    );
    let reason = Some(reason.as_str());
    let who = caller.who(api.house()?, None);
    key_changes::hold(api.db()?, &policies, who, which, reason).await?;
    let key = caller.key(&api, &id).await?;
    Ok(tagged(KeyBody::new(key, api.now().await?)))
}

/// Approve the purge of a key
///
/// Where its policy has `purge_mode` manual, a key whose time is over is purged only after that. The
/// word is for this end of the key: if it is brought back and ends again, another is waited for. Where
/// the policy asks for a code to revoke a key, it asks for one here too: of the owner of your token.
#[utoipa::path(post, path = "/v1/keys/{id}/approve-purge", tag = "keys", request_body = Why,
    params(("id" = String, Path, description = "its id"),
        ("X-OTP" = Option<String>, Header, description = "a code of your own, where the policy asks for one"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = KeyBody, headers(("ETag" = String))),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn approve_purge(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    let reason: Option<Label> = parse_maybe("reason", why.reason.as_deref())?;
    let code = otp(&headers)?;
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    let (policies, which) = (
        api.policies().await?,
        (key.public_id.as_str(), IfMatch::of(&headers).version(key.version)?),
    );
    let reason = reason.as_ref().map(Label::as_str);
    let who = caller.who(api.house()?, code.as_ref());
    match approval::approve_purge(api.db()?, &policies, who, which, reason).await {
        Err(KeyError::Second(second)) => {
            let (reason, seen) = (reason.map(str::to_owned), key.tag().to_string());
            let wanted = Wanted::ApprovePurge { key: key.public_id, reason, seen };
            return Ok(waits(&caller.file(&api, code.as_ref(), &wanted, second).await?));
        }
        done => done?,
    }
    let key = caller.key(&api, &id).await?;
    Ok(tagged(KeyBody::new(key, api.now().await?)))
}

/// Release a held key
#[utoipa::path(delete, path = "/v1/keys/{id}/hold", tag = "keys",
    params(("id" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = KeyBody, headers(("ETag" = String))),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn release(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    let (policies, which) = (
        api.policies().await?,
        (key.public_id.as_str(), IfMatch::of(&headers).version(key.version)?),
    );
    let who = caller.who(api.house()?, None);
    match key_changes::hold(api.db()?, &policies, who, which, None).await {
        Err(KeyError::Second(second)) => {
            let seen = key.tag().to_string();
            let wanted = Wanted::ReleaseHold { key: key.public_id, seen };
            return Ok(waits(&caller.file(&api, None, &wanted, second).await?));
        }
        done => done?,
    }
    let key = caller.key(&api, &id).await?;
    Ok(tagged(KeyBody::new(key, api.now().await?)))
}

//! The end of an owner's access, and what ends with it.

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
    domain::identity::OwnerKind,
    http::{
        problem::Problem,
        v1::{
            api::Api,
            approvals::{PendingApproval, waits},
            auth::{Allowed, Caller, Operate},
            etag::IfMatch,
            input::{Body, stored},
            owners::{Counts, endless},
            views::{KeyBody, ProblemView},
        },
    },
    store::{
        access::{self, AccessError},
        approvals::{Approval, Wanted},
        key_list::{self, Filter, KeyView},
        owners::Owner,
        seen::Tag,
    },
};

/// The most keys a preview shows.
const PREVIEW: u64 = 1000;

/// Until when an owner has access.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::v1) struct Access {
    /// `null`: without an end.
    ends_at: Option<DateTime<Utc>>,
}

/// Set the end of an owner's access
///
/// Keys that would outlive it end with it. A later end brings no key back.
#[utoipa::path(put, path = "/v1/owners/{id}/access", tag = "owners", request_body = Access,
    params(("id" = String, Path, description = "their id"),
        ("If-Match" = Option<String>, Header, description = "their `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = Counts),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn set(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(access): Body<Access>,
) -> Result<Response, Problem> {
    let at = access.ends_at.map(stored).transpose()?;
    let owner = caller.owner_to_change(&api, &id).await?;
    if owner.kind == OwnerKind::Contractor && at.is_none() {
        return Err(endless());
    }
    let seen = IfMatch::of(&headers).tag(Tag::of(&owner))?;
    Ok(match end(&api, &caller, (&owner, seen.as_ref()), at).await? {
        Ending::Done(counts) => Json(counts).into_response(),
        Ending::Waits(approval) => waits(&approval),
    })
}

/// What came of setting an end.
enum Ending {
    Done(Counts),
    /// Another administrator has to approve it.
    Waits(Box<Approval>),
}

async fn end(
    api: &Api,
    caller: &Caller,
    which: (&Owner, Option<&Tag>),
    at: Option<DateTime<Utc>>,
) -> Result<Ending, Problem> {
    let (policies, who) = (api.policies().await?, caller.who(api.house()?, None));
    match access::set_end_if(api.db()?, &policies, who, which, at).await {
        Err(AccessError::Second(second)) => {
            let (owner, seen) = (which.0.public_id.clone(), Tag::of(which.0).to_string());
            let wanted = Wanted::SetAccess { owner, ends_at: at, seen };
            Ok(Ending::Waits(caller.file(api, None, &wanted, second).await?.into()))
        }
        done => {
            let access::Ended { n_shortened, n_kept, n_corrupt } = done?;
            Ok(Ending::Done(Counts { n_shortened, n_kept, n_damaged: n_corrupt }))
        }
    }
}

/// An offboarding that was undone.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct Undone {
    /// When their access ends now.
    access_ends_at: Option<DateTime<Utc>>,
    /// Keys that end as they were to.
    n_restored: u64,
    /// Keys for which it was too late.
    n_late: u64,
}

/// Undo the offboarding of an owner
///
/// The access and the keys that ended with it are as they were, as long as the keys are not
/// purged: for 72 hours, unless the policy says otherwise.
#[utoipa::path(post, path = "/v1/owners/{id}/offboard/undo", tag = "owners",
    params(("id" = String, Path, description = "their id")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = Undone),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn undo(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
) -> Result<Json<Undone>, Problem> {
    let owner = caller.owner_to_change(&api, &id).await?;
    let done = access::undo(api.db()?, &api.policies().await?, &caller.actor, &owner).await?;
    let access::Undone { access_ends_at, n_restored, n_late } = done;
    Ok(Json(Undone { access_ends_at, n_restored, n_late }))
}

/// How an owner leaves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::v1) struct Offboard {
    /// When their access ends; now if absent.
    at: Option<DateTime<Utc>>,
    /// Only show what would end.
    #[serde(default)]
    dry_run: bool,
}

/// What ends with an owner's access.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct Offboarded {
    access_ends_at: DateTime<Utc>,
    /// The keys that end earlier than they would have, as they were before; the first thousand.
    /// `last_used_at` and `last_used_by` say which of them are in use, and by what.
    keys: Vec<KeyBody>,
    /// What was done; `null` in a dry run.
    done: Option<Counts>,
}

/// Offboard an owner
///
/// With `dry_run` nothing is changed. The keys end at that instant, and there is no window.
#[utoipa::path(post, path = "/v1/owners/{id}/offboard", tag = "owners", request_body = Offboard,
    params(("id" = String, Path, description = "their id"),
        ("If-Match" = Option<String>, Header, description = "their `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = Offboarded),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn offboard(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(offboard): Body<Offboard>,
) -> Result<Response, Problem> {
    let owner = caller.owner_to_change(&api, &id).await?;
    let seen = IfMatch::of(&headers).tag(Tag::of(&owner))?;
    let now = api.now().await?;
    let at = offboard.at.map_or(Ok(now), stored)?;
    let outlives = |key: &KeyView| key.expires_at.is_none_or(|end| at < end);
    let filter = Filter {
        owner_id: Some(owner.id),
        state: Some(key_list::State::Active),
        ..Filter::default()
    };
    let keys = key_list::list(api.db()?, &filter, 0, PREVIEW).await?;
    let keys = keys.into_iter().filter(outlives).map(|key| KeyBody::new(key, now)).collect();
    let done = match offboard.dry_run {
        true => None,
        false => match end(&api, &caller, (&owner, seen.as_ref()), Some(at)).await? {
            Ending::Done(counts) => Some(counts),
            Ending::Waits(approval) => return Ok(waits(&approval)),
        },
    };
    Ok(Json(Offboarded { access_ends_at: at, keys, done }).into_response())
}

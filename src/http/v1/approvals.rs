//! What waits for a second administrator: listed, shown, approved and rejected.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{approval::ApprovalState, name::Label, otp::Attempt},
    explain,
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{Allowed, Caller, Demand as _, Govern, Operate, Read},
            input::{Body, Params, otp, page, parse_maybe},
            refusal::{malformed, not_found},
            views::{Page, ProblemView},
        },
    },
    random,
    store::{
        admin_tokens,
        approvals::{self, Approval, Filter, NewApproval, Wanted},
        second::NeedsSecond,
    },
};

/// What is answered where a second administrator has to approve.
#[derive(Serialize, ToSchema)]
pub(super) struct PendingApproval {
    /// `urn:lapsed:approval-pending`.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    /// The request's id: see `/v1/approvals/{id}`.
    id: String,
    /// What is wanted, such as `revoke-key`.
    what: &'static str,
    /// Until when it can be approved.
    expires_at: DateTime<Utc>,
}

/// The answer to what a second administrator has to approve.
pub(super) fn waits(approval: &Approval) -> Response {
    let status = StatusCode::ACCEPTED;
    let body = PendingApproval {
        r#type: "urn:lapsed:approval-pending",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: "another administrator has to approve this",
        id: approval.public_id.clone(),
        what: approval.wanted.as_ref().map_or("", Wanted::word),
        expires_at: approval.expires_at,
    };
    let to = format!("/v1/approvals/{}", approval.public_id);
    (status, [(header::LOCATION, to)], Json(body)).into_response()
}

impl Caller {
    /// Files what a second administrator has to approve.
    pub(in crate::http) async fn file(
        &self,
        api: &Api,
        code: Option<&Attempt>,
        wanted: &Wanted,
        second: NeedsSecond,
    ) -> Result<Approval, Problem> {
        let house = api.house()?;
        let new = NewApproval {
            public_id: random::public_id()?,
            wanted,
            token: &self.token,
            lasts: house.runner.deps().limits.approval,
        };
        let who = self.who(house, code);
        Ok(approvals::file(&house.db, &house.base(), who, &new, second).await?)
    }

    /// A request that is the caller's to see.
    pub(in crate::http) async fn approval(&self, api: &Api, id: &str) -> Result<Approval, Problem> {
        let found = approvals::find(api.db()?.conn(), id).await?;
        let is_seen = |one: &Approval| match one.tenant_id {
            Some(tenant_id) => self.sees(tenant_id),
            None => self.tenant.is_none(),
        };
        found.filter(is_seen).ok_or_else(|| not_found("request"))
    }

    /// Sees that the caller could have asked for it too.
    pub(in crate::http) async fn may_decide(
        &self,
        api: &Api,
        approval: &Approval,
    ) -> Result<(), Problem> {
        match &approval.wanted {
            Some(
                Wanted::RevokeKey { key, .. }
                | Wanted::ReleaseHold { key, .. }
                | Wanted::ApprovePurge { key, .. },
            ) => {
                self.has_one_of(Operate::ROLES)?;
                match admin_tokens::find(api.db()?, key).await? {
                    // It is of the tenant that it is for, and so is the request.
                    Some(_) => self.has_one_of(Govern::ROLES),
                    None => self.key_to_change(api, key).await.map(drop),
                }
            }
            Some(Wanted::SetAccess { owner, .. }) => {
                self.has_one_of(Operate::ROLES)?;
                self.owner_to_change(api, owner).await.map(drop)
            }
            Some(Wanted::ChangePolicy { .. } | Wanted::ResetOtp { .. }) => {
                self.has_one_of(Govern::ROLES)
            }
            Some(Wanted::ReleaseBrake { .. }) | None => {
                self.has_one_of(Govern::ROLES)?;
                self.everywhere()
            }
        }
    }
}

/// A request that waits for a second administrator, or did.
#[derive(Serialize, ToSchema)]
#[schema(as = Approval)]
pub(super) struct ApprovalBody {
    id: String,
    /// What is wanted: `revoke-key`, `release-hold`, `approve-purge`, `set-access`, `reset-otp`,
    /// `change-policy` or `release-brake`; empty if the row is damaged.
    what: &'static str,
    /// The whole of it: exactly this is carried out.
    #[schema(value_type = Object)]
    request: serde_json::Value,
    /// Who asked, such as `key:ID`.
    requested_by: String,
    /// The address of the owner of that token.
    requester: Option<String>,
    requested_at: DateTime<Utc>,
    /// Until when it can be decided.
    expires_at: DateTime<Utc>,
    /// `pending`, `approved`, `rejected`, `expired` or `void` (what it is about has changed).
    state: &'static str,
    decided_by: Option<String>,
    decided_at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

impl ApprovalBody {
    fn new(approval: Approval, now: DateTime<Utc>) -> Self {
        Self {
            id: approval.public_id,
            what: approval.wanted.as_ref().map_or("", Wanted::word),
            request: serde_json::to_value(&approval.wanted).unwrap_or_default(),
            requested_by: approval.requested_by,
            requester: approval.requester,
            requested_at: approval.requested_at,
            expires_at: approval.expires_at,
            state: approval.state.at(approval.expires_at, now).as_str(),
            decided_by: approval.decided_by,
            decided_at: approval.decided_at,
            reason: approval.reason,
        }
    }
}

/// Which requests are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ApprovalParams {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Entries of a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// That stand so, such as `pending`; all if absent.
    state: Option<String>,
}

/// List what waits for a second administrator, or did
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", params(ApprovalParams),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<ApprovalBody>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Params(params): Params<ApprovalParams>,
) -> Result<Json<Page<ApprovalBody>>, Problem> {
    let (after, limit) = page(params.cursor.as_deref(), params.limit)?;
    let state = match params.state.as_deref() {
        None => None,
        Some(word) => {
            Some(ApprovalState::of_word(word).ok_or_else(|| malformed("`state`: no such state"))?)
        }
    };
    let (filter, now) = (Filter { tenant_id: caller.tenant_id(), state }, api.now().await?);
    let conn = api.db()?.conn();
    let mut found = approvals::list(conn, filter, now, after, limit as u64 + 1).await?;
    let is_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| is_more).map(|last| last.id.to_string());
    let items = found.into_iter().map(|one| ApprovalBody::new(one, now)).collect();
    Ok(Json(Page { items, next }))
}

/// A request, and what it would do.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownApproval {
    approval: ApprovalBody,
    /// What approving it would do as things are, in words. Empty once it is decided.
    preview: Vec<String>,
}

/// Show a request, and what approving it would do
#[utoipa::path(get, path = "/v1/approvals/{id}", tag = "approvals",
    params(("id" = String, Path, description = "its id")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = ShownApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn show(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(id): Path<String>,
) -> Result<Json<ShownApproval>, Problem> {
    let approval = caller.approval(&api, &id).await?;
    let (house, now) = (api.house()?, api.now().await?);
    let preview = explain::approval(&house.db, &house.base(), &approval, now).await?;
    Ok(Json(ShownApproval { approval: ApprovalBody::new(approval, now), preview }))
}

/// Approve a request
///
/// Exactly what was asked for is carried out, at once and once. It takes another administrator than
/// the one who asked, with a role that could have asked too. 409 `approval-void`: what it is about has
/// changed since, or the token it was asked with is no longer good.
#[utoipa::path(post, path = "/v1/approvals/{id}/approve", tag = "approvals",
    params(("id" = String, Path, description = "its id"),
        ("X-OTP" = Option<String>, Header, description = "a code of your own, where the policy asks for one")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = ApprovalBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn approve(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ApprovalBody>, Problem> {
    let code = otp(&headers)?;
    let approval = caller.approval(&api, &id).await?;
    caller.may_decide(&api, &approval).await?;
    let house = api.house()?;
    let who = caller.who(house, code.as_ref());
    let done = approvals::approve(&house.db, &house.base(), who, &approval.public_id).await?;
    Ok(Json(ApprovalBody::new(done, api.now().await?)))
}

/// Why a request is rejected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejection {
    /// For the trail, and for whoever asked.
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
}

/// Reject a request
///
/// Whoever asked takes it back by this too.
#[utoipa::path(post, path = "/v1/approvals/{id}/reject", tag = "approvals",
    request_body = Rejection,
    params(("id" = String, Path, description = "its id")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = ApprovalBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn reject(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    Body(why): Body<Rejection>,
) -> Result<Json<ApprovalBody>, Problem> {
    let reason: Option<Label> = parse_maybe("reason", why.reason.as_deref())?;
    let approval = caller.approval(&api, &id).await?;
    caller.may_decide(&api, &approval).await?;
    let reason = reason.as_ref().map(Label::as_str);
    let done = approvals::reject(api.db()?, &caller.actor, &approval.public_id, reason).await?;
    Ok(Json(ApprovalBody::new(done, api.now().await?)))
}

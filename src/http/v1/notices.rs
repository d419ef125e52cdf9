//! What owners are told, and what could not be told.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::key::KeyId,
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{Allowed, Operate, Read},
            input::{Params, page},
            refusal::{malformed, not_found},
            views::{NoticeBody, Page, ProblemView},
        },
    },
    store::{
        NoticeStatus,
        history::{self, NoticeFilter},
        retry::{self, Which},
    },
};

/// Which notices are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NoticeParams {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Entries of a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// About the key with this id.
    key: Option<String>,
    /// That stand so, such as `failed`.
    status: Option<String>,
}

/// List notices, newest first
#[utoipa::path(get, path = "/v1/notices", tag = "notices",
    params(NoticeParams),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<NoticeBody>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Params(params): Params<NoticeParams>,
) -> Result<Json<Page<NoticeBody>>, Problem> {
    let (before, limit) = page(params.cursor.as_deref(), params.limit)?;
    let status = match params.status.as_deref() {
        None => None,
        Some(word) => {
            Some(NoticeStatus::of_word(word).ok_or_else(|| malformed("`status`: no such status"))?)
        }
    };
    let key = match &params.key {
        None => None,
        Some(id) => Some(KeyId(caller.key(&api, id).await?.id)),
    };
    let filter = NoticeFilter {
        key,
        status,
        tenant_id: caller.tenant.as_ref().map(|(_, id)| *id),
        before: Some(before).filter(|before| *before > 0),
        ..NoticeFilter::default()
    };
    let found = history::notices(api.db()?, filter, limit as u64 + 1).await?;
    Ok(Json(Page::of(found, limit, |notice| notice.id)))
}

/// What is tried again.
#[derive(Serialize, ToSchema)]
pub(super) struct RetriedNotices {
    /// Mails that are due now.
    n_messages: u64,
    /// Notices in these mails, or that wait for a new one.
    n_notices: u64,
}

impl From<retry::Retried> for RetriedNotices {
    fn from(retried: retry::Retried) -> Self {
        Self { n_messages: retried.n_messages, n_notices: retried.n_notices }
    }
}

/// Retry a notice that failed, with all that travel in its mail
#[utoipa::path(post, path = "/v1/notices/{id}/retry", tag = "notices",
    params(("id" = String, Path, description = "its number")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = RetriedNotices),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn retry_one(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
) -> Result<Json<RetriedNotices>, Problem> {
    let number = id.parse().map_err(|_| not_found("notice"))?;
    let tenant_id = caller.tenant.as_ref().map(|(_, id)| *id);
    let filter = NoticeFilter { id: Some(number), tenant_id, ..NoticeFilter::default() };
    if history::notices(api.db()?, filter, 1).await?.is_empty() {
        return Err(not_found("notice"));
    }
    let done = retry::retry(api.db()?, &caller.actor, Which::One(number)).await?;
    Ok(Json(done.into()))
}

/// Retry all notices that failed
#[utoipa::path(post, path = "/v1/notices/retry", tag = "notices",
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = RetriedNotices),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn retry_all(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
) -> Result<Json<RetriedNotices>, Problem> {
    caller.everywhere()?;
    Ok(Json(retry::retry(api.db()?, &caller.actor, Which::All).await?.into()))
}

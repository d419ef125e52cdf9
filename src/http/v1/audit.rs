//! The audit trail: read, taken away whole, and verified.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::digest::Digest,
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{Allowed, Audit, Caller},
            input::{Params, page, parse_maybe, stored},
            views::{Page, ProblemView},
        },
    },
    store::audit::{trail, verify},
};

/// The most lines of one export: what a response may cost in memory. The next begins where it ends.
const EXPORT: usize = 10_000;

/// Which part of the trail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrailParams {
    /// `next` of the page before, or the last `id` of the export before.
    cursor: Option<String>,
    /// Entries of a page. An export has 10,000.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// From this instant on.
    since: Option<DateTime<Utc>>,
}

/// A row of the trail.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditEvent {
    id: i64,
    at: DateTime<Utc>,
    /// Who did it, such as `daemon`, `operator` or `key:ID`.
    actor: String,
    /// What, such as `key.rotated`.
    action: String,
    tenant: Option<String>,
    /// The key's id, whether it lives or not.
    key: Option<String>,
    /// The owner's id.
    owner: Option<String>,
    /// Before, after and why.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

impl From<trail::Event> for AuditEvent {
    fn from(event: trail::Event) -> Self {
        Self {
            id: event.id,
            at: event.at,
            actor: event.actor,
            action: event.action,
            tenant: event.tenant,
            key: event.key,
            owner: event.owner,
            detail: serde_json::from_str(&event.detail).unwrap_or_default(),
        }
    }
}

async fn read(
    api: &Api,
    caller: &Caller,
    after: i64,
    since: Option<DateTime<Utc>>,
    limit: usize,
) -> Result<Vec<trail::Event>, Problem> {
    let tenant_id = caller.tenant.as_ref().map(|(_, id)| *id);
    let since = since.map(stored).transpose()?;
    Ok(trail::events_of(api.db()?.conn(), tenant_id, after, since, limit).await?)
}

/// Read the audit trail
#[utoipa::path(get, path = "/v1/audit", tag = "audit",
    params(TrailParams),
    security(("token" = ["admin", "auditor"])),
    responses((status = 200, body = Page<AuditEvent>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Audit>,
    Params(params): Params<TrailParams>,
) -> Result<Json<Page<AuditEvent>>, Problem> {
    let (after, limit) = page(params.cursor.as_deref(), params.limit)?;
    let found = read(&api, &caller, after, params.since, limit + 1).await?;
    Ok(Json(Page::of(found, limit, |event| event.id)))
}

/// Export the audit trail
///
/// A JSON object a line, the fields as in a listing.
#[utoipa::path(get, path = "/v1/audit/export", tag = "audit", params(TrailParams),
    security(("token" = ["admin", "auditor"])),
    responses((status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn export(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Audit>,
    Params(params): Params<TrailParams>,
) -> Result<Response, Problem> {
    let (after, _) = page(params.cursor.as_deref(), params.limit)?;
    let mut lines = String::new();
    for event in read(&api, &caller, after, params.since, EXPORT).await? {
        lines += &serde_json::to_string(&AuditEvent::from(event)).unwrap_or_default();
        lines.push('\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

/// How the trail is verified.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerifyParams {
    /// An earlier `head`: it must still be part of the trail.
    anchor: Option<String>,
}

/// Whether the trail is as it was sealed.
#[derive(Serialize, ToSchema)]
pub(super) struct TrailReport {
    is_clean: bool,
    n_seals: u64,
    n_rows: u64,
    /// The digest of the last seal that holds: worth keeping somewhere else.
    head: Option<String>,
    /// Rows that wait for their seal.
    n_unsealed: u64,
    /// Whether the anchor is part of the trail.
    has_anchor: Option<bool>,
    /// The first thing that is wrong.
    fault: Option<String>,
}

/// Verify the audit trail
#[utoipa::path(get, path = "/v1/audit/verify", tag = "audit",
    params(VerifyParams),
    security(("token" = ["admin", "auditor"])),
    responses((status = 200, body = TrailReport),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn check(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Audit>,
    Params(params): Params<VerifyParams>,
) -> Result<Json<TrailReport>, Problem> {
    caller.everywhere()?;
    let anchor: Option<Digest> = parse_maybe("anchor", params.anchor.as_deref())?;
    let key = api.house()?.runner.deps().audit_key;
    let report = verify::verify(api.db()?, &key, anchor, |_| ()).await?;
    Ok(Json(TrailReport {
        is_clean: report.is_clean(),
        n_seals: report.n_seals,
        n_rows: report.n_rows,
        head: report.head.map(|head| head.digest.to_string()),
        n_unsealed: report.n_unsealed,
        has_anchor: report.has_anchor,
        fault: report.fault.map(|fault| format!("seal {}: {}", fault.seal, fault.flaw)),
    }))
}

//! The rules keys live under: in effect, changed, and tried out.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{
        identity::KeyKind,
        plan::{self, Day, Plan},
        spread::Spread,
    },
    http::{
        problem::Problem,
        v1::{
            api::Api,
            approvals::{PendingApproval, waits},
            auth::{Allowed, Caller, Govern, Read},
            etag::{self, IfMatch},
            input::{Body, Params, otp, parse_maybe},
            refusal::malformed,
            views::{Page, ProblemView},
        },
    },
    store::{
        approvals::Wanted,
        environments::Environment,
        policies::{
            EffectiveField, PolicyBook,
            change::{self, ChangeError, Edit, Scope},
            shorten,
            simulate::{self, Simulation},
        },
        seen::Tag,
        tenants::Tenant,
    },
};

/// Whose rules.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PolicyParams {
    /// Of this environment of the tenant.
    environment: Option<String>,
    /// For keys of this kind: `user`, `application` or `service`.
    kind: Option<String>,
}

/// A field of a policy, in effect.
#[derive(Serialize, ToSchema)]
pub(super) struct PolicyField {
    /// `user`, `application` or `service`.
    kind: String,
    /// Such as `window_days`.
    field: String,
    /// A number, a list, a flag, or `"never"`.
    value: serde_json::Value,
    /// Who says so: `installation`, `tenant`, `environment` or `key`.
    origin: String,
}

impl From<EffectiveField> for PolicyField {
    fn from(field: EffectiveField) -> Self {
        Self {
            kind: field.kind.to_string(),
            field: field.field.to_owned(),
            value: field.value,
            origin: field.origin.to_owned(),
        }
    }
}

/// The rules in effect where `scope` is, with their `ETag`.
pub(super) fn tagged(book: &PolicyBook, scope: &Scope<'_>) -> Response {
    let fields = scope.effective(book);
    let tag = Tag::of(&fields);
    etag::tagged(tag, Page::<PolicyField>::whole(fields.into_iter().map(Into::into).collect()))
}

/// A tenant and perhaps one of its environments.
async fn place(
    api: &Api,
    caller: &Caller,
    tenant: &str,
    environment: Option<&str>,
) -> Result<(Tenant, Option<Environment>), Problem> {
    let tenant = caller.tenant(api, tenant).await?;
    let environment = match environment {
        Some(slug) => Some(caller.environment(api, &tenant, slug).await?),
        None => None,
    };
    Ok((tenant, environment))
}

/// Show the policy in effect
///
/// Each field with its value and the level that says so.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/policy", tag = "policies",
    params(("tenant" = String, Path, description = "its short name"), PolicyParams),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<PolicyField>, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn show(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(tenant): Path<String>,
    Params(params): Params<PolicyParams>,
) -> Result<Response, Problem> {
    let kind = parse_maybe("kind", params.kind.as_deref())?;
    let (tenant, environment) =
        place(&api, &caller, &tenant, params.environment.as_deref()).await?;
    let scope = Scope { tenant: &tenant, environment: environment.as_ref(), kind, key: None };
    Ok(tagged(&api.policies().await?, &scope))
}

/// Fields to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyEdits {
    /// Only for this environment of the tenant.
    environment: Option<String>,
    /// Only for keys of this kind.
    kind: Option<String>,
    /// Each field with its value, or `null` to leave it to the level above again:
    /// `{"window_days": 3, "max_ttl_days": "never", "mfa_required_for": ["policy"]}`.
    #[schema(value_type = Object)]
    set: BTreeMap<String, serde_json::Value>,
    /// What becomes of keys that live longer than is allowed then; they keep their date if absent.
    existing: Option<Existing>,
}

/// How a stricter policy reaches the keys that exist.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Existing {
    /// No key ends sooner than in so many days.
    #[schema(minimum = 1, maximum = 365)]
    notice_days: u16,
    /// Over so many days after that the new dates are spread.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 365)]
    spread_days: u16,
}

impl Existing {
    /// Days of notice, and over how many the dates are spread.
    pub(super) fn days(&self) -> (u16, u16) {
        (self.notice_days, self.spread_days)
    }
}

impl PolicyEdits {
    fn read(&self) -> Result<(Option<KeyKind>, Vec<Edit>), Problem> {
        Ok((parse_maybe("kind", self.kind.as_deref())?, read_edits(&self.set)?))
    }
}

/// The fields to be set; `null` is a field that is left to the level above.
pub(super) fn read_edits(set: &BTreeMap<String, serde_json::Value>) -> Result<Vec<Edit>, Problem> {
    if set.is_empty() {
        return Err(malformed("`set`: name a field at least"));
    }
    let value = |value: &serde_json::Value| Some(value.clone()).filter(|one| !one.is_null());
    Ok(set.iter().map(|(field, new)| Edit::new(field, value(new))).collect())
}

/// How the keys that exist are reached, if they are.
pub(super) fn read_spread(existing: Option<&Existing>) -> Result<Option<Spread>, Problem> {
    let spread = existing.map(|existing| Spread::new(existing.notice_days, existing.spread_days));
    spread.transpose().map_err(|error| malformed(format!("`existing`: {error}")))
}

/// Change a policy
///
/// Windows that are open stay as they are, and so do the dates of keys, unless `existing` says
/// otherwise: try that out first. Where the rules as they are ask for a code to change them, it is
/// of the owner of your token.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/policy", tag = "policies",
    request_body = PolicyEdits,
    params(("tenant" = String, Path, description = "its short name"),
        ("X-OTP" = Option<String>, Header, description = "a code of your own, where the policy asks for one"),
        ("If-Match" = Option<String>, Header,
            description = "the `ETag` of the policy, shown for the same environment and kind")),
    security(("token" = ["admin"])),
    responses((status = 200, body = Page<PolicyField>, headers(("ETag" = String))),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn set(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    Body(edits): Body<PolicyEdits>,
) -> Result<Response, Problem> {
    let ((kind, changes), spread) = (edits.read()?, read_spread(edits.existing.as_ref())?);
    let code = otp(&headers)?;
    let (tenant, environment) = place(&api, &caller, &tenant, edits.environment.as_deref()).await?;
    let scope = Scope { tenant: &tenant, environment: environment.as_ref(), kind, key: None };
    let base = api.base()?;
    let present = Tag::of(&scope.effective(&api.policies().await?));
    let seen = IfMatch::of(&headers).tag(present.clone())?;
    let which = (&scope, seen.as_ref());
    let who = caller.who(api.house()?, code.as_ref());
    let book = match change::set_if(api.db()?, who, &base, which, &changes).await {
        Err(ChangeError::Second(second)) => {
            let wanted = Wanted::ChangePolicy {
                tenant: tenant.slug.clone(),
                environment: environment.as_ref().map(|environment| environment.slug.clone()),
                kind: kind.map(|kind| kind.to_string()),
                key: None,
                set: edits.set.clone(),
                spread: edits.existing.as_ref().map(Existing::days),
                seen: present.to_string(),
            };
            return Ok(waits(&caller.file(&api, code.as_ref(), &wanted, second).await?));
        }
        done => done?,
    };
    simulate::reschedule(api.db()?, &book, &scope).await?;
    if let Some(spread) = spread {
        shorten(api.db()?, &caller.actor, &book, &scope, &spread).await?;
    }
    Ok(tagged(&book, &scope))
}

/// What a change would do to the keys that exist, in the next 30 days.
#[derive(Serialize, ToSchema)]
pub(super) struct Simulated {
    n_keys: u64,
    /// Keys with another next action.
    n_other_next: u64,
    /// Active keys whose window will have another length.
    n_other_window: u64,
    /// Active keys that live longer than would be allowed.
    n_too_long: u64,
    /// Keys that would get a sooner date.
    n_shortened: u64,
    /// The first of those dates.
    first_end: Option<DateTime<Utc>>,
    n_damaged: u64,
    /// What happens as things are.
    before: Sum,
    /// What would happen.
    after: Sum,
}

impl From<Simulation> for Simulated {
    fn from(found: Simulation) -> Self {
        Self {
            n_keys: found.n_keys,
            n_other_next: found.n_other_next,
            n_other_window: found.n_other_window,
            n_too_long: found.n_too_long,
            n_shortened: found.n_shortened,
            first_end: found.first_end,
            n_damaged: found.n_corrupt,
            before: (&found.before).into(),
            after: (&found.after).into(),
        }
    }
}

/// What happens in all.
#[derive(Serialize, ToSchema)]
pub(super) struct Sum {
    n_notices: u64,
    n_expired: u64,
    n_suspended: u64,
    n_purged: u64,
}

impl From<&Plan> for Sum {
    fn from(plan: &Plan) -> Self {
        let Day { n_notices, n_expired, n_suspended, n_purged } = plan.total();
        Self { n_notices, n_expired, n_suspended, n_purged }
    }
}

/// Try a change of policy out
///
/// Changes nothing.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/policy/simulate", tag = "policies",
    request_body = PolicyEdits,
    params(("tenant" = String, Path, description = "its short name")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Simulated),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn simulate(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(tenant): Path<String>,
    Body(edits): Body<PolicyEdits>,
) -> Result<Json<Simulated>, Problem> {
    let ((kind, changes), spread) = (edits.read()?, read_spread(edits.existing.as_ref())?);
    let (tenant, environment) = place(&api, &caller, &tenant, edits.environment.as_deref()).await?;
    let scope = Scope { tenant: &tenant, environment: environment.as_ref(), kind, key: None };
    let (db, base, old) = (api.db()?, api.base()?, api.policies().await?);
    let (new, _) = change::preview(db.conn(), &base, &scope, &changes).await?;
    let until = plan::until(api.now().await?, TimeDelta::days(30));
    let found = simulate::simulate(db, (&old, &new), &scope, until, spread.as_ref()).await?;
    Ok(Json(found.into()))
}

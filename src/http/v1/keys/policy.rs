//! The rules of a single key: in effect, changed, and tried out.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use chrono::TimeDelta;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::plan,
    http::{
        problem::Problem,
        v1::{
            api::Api,
            approvals::{PendingApproval, waits},
            auth::{Allowed, Caller, Govern, Read},
            etag::IfMatch,
            input::{Body, otp},
            keys::known_id,
            policies::{Existing, PolicyField, Simulated, read_edits, read_spread, tagged},
            views::{Page, ProblemView},
        },
    },
    store::{
        approvals::Wanted,
        environments::Environment,
        key_list::KeyView,
        policies::{
            change::{self, ChangeError, Scope},
            shorten, simulate,
        },
        seen::Tag,
        tenants::Tenant,
    },
};

/// A key and where it is.
struct Place {
    tenant: Tenant,
    environment: Environment,
    key: KeyView,
}

impl Place {
    async fn find(api: &Api, caller: &Caller, key: KeyView) -> Result<Self, Problem> {
        let tenant = caller.tenant(api, &key.tenant.1).await?;
        let environment = caller.environment(api, &tenant, &key.environment.1).await?;
        Ok(Self { tenant, environment, key })
    }

    fn scope(&self) -> Scope<'_> {
        Scope::of_key(&self.tenant, &self.environment, &self.key)
    }
}

/// Show the policy of a key
///
/// Each field in effect for this very key, with its value and the level that says so: `key` where
/// the key has a rule of its own.
#[utoipa::path(get, path = "/v1/keys/{id}/policy", tag = "policies",
    params(("id" = String, Path, description = "its id")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<PolicyField>, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn show(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let key = caller.key(&api, known_id(&id)?.as_str()).await?;
    let place = Place::find(&api, &caller, key).await?;
    Ok(tagged(&api.policies().await?, &place.scope()))
}

/// Fields to be set for a key alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::v1) struct KeyPolicyEdits {
    /// Each field with its value, or `null` to leave it to the level above again:
    /// `{"window_days": 3, "mfa_required_for": ["rotate", "window_rotate"]}`.
    #[schema(value_type = Object)]
    set: BTreeMap<String, serde_json::Value>,
    /// What becomes of the key if it lives longer than is allowed then; it keeps its date if absent.
    existing: Option<Existing>,
}

/// Change the policy of a key
///
/// A key's own rules only tighten those of its environment, unless its tenant and its environment
/// have both delegated the field. A window that is open stays as it is.
#[utoipa::path(patch, path = "/v1/keys/{id}/policy", tag = "policies",
    request_body = KeyPolicyEdits,
    params(("id" = String, Path, description = "its id"),
        ("X-OTP" = Option<String>, Header, description = "a code of your own, where the policy asks for one"),
        ("If-Match" = Option<String>, Header, description = "the `ETag` of its policy")),
    security(("token" = ["admin"])),
    responses((status = 200, body = Page<PolicyField>, headers(("ETag" = String))),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn set(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(edits): Body<KeyPolicyEdits>,
) -> Result<Response, Problem> {
    let (changes, spread) = (read_edits(&edits.set)?, read_spread(edits.existing.as_ref())?);
    let code = otp(&headers)?;
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    let place = Place::find(&api, &caller, key).await?;
    let (scope, base) = (place.scope(), api.base()?);
    let present = Tag::of(&scope.effective(&api.policies().await?));
    let seen = IfMatch::of(&headers).tag(present.clone())?;
    let which = (&scope, seen.as_ref());
    let who = caller.who(api.house()?, code.as_ref());
    let book = match change::set_if(api.db()?, who, &base, which, &changes).await {
        Err(ChangeError::Second(second)) => {
            let wanted = Wanted::ChangePolicy {
                tenant: place.tenant.slug.clone(),
                environment: Some(place.environment.slug.clone()),
                kind: None,
                key: Some(place.key.public_id.clone()),
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

/// Try a change of a key's policy out
///
/// Changes nothing.
#[utoipa::path(post, path = "/v1/keys/{id}/policy/simulate", tag = "policies",
    request_body = KeyPolicyEdits,
    params(("id" = String, Path, description = "its id")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Simulated),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn try_out(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(id): Path<String>,
    Body(edits): Body<KeyPolicyEdits>,
) -> Result<Json<Simulated>, Problem> {
    let (changes, spread) = (read_edits(&edits.set)?, read_spread(edits.existing.as_ref())?);
    let key = caller.key(&api, known_id(&id)?.as_str()).await?;
    let place = Place::find(&api, &caller, key).await?;
    let (scope, db, base) = (place.scope(), api.db()?, api.base()?);
    let old = api.policies().await?;
    let (new, _) = change::preview(db.conn(), &base, &scope, &changes).await?;
    let until = plan::until(api.now().await?, TimeDelta::days(30));
    let found = simulate::simulate(db, (&old, &new), &scope, until, spread.as_ref()).await?;
    Ok(Json(found.into()))
}

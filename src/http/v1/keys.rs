//! Keys: listed, shown, explained and made. What changes them is in [`change`] and [`secret`].

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{
        identity::{KeyKind, PublicId},
        key::KeyId,
        name::Label,
    },
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{Allowed, Operate, Read, forbidden},
            etag,
            input::{Body, Life, Params, idempotency_key, otp, page, parse, parse_maybe, stored},
            refusal::{malformed, not_found},
            views::{KeyBody, NoticeBody, Page, ProblemView},
        },
    },
    issue::{self, Request},
    store::{
        history::{self, NoticeFilter},
        idempotency::Once,
        key_list::{self, Filter},
    },
};

pub(super) mod change;
pub(super) mod policy;
pub(super) mod secret;

/// The most lines of a history.
const LINES: u64 = 500;

/// Which keys are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyParams {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Entries of a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// Of this tenant.
    tenant: Option<String>,
    /// Of environments called so.
    environment: Option<String>,
    /// Of owners with this address.
    owner: Option<String>,
    /// `user`, `application` or `service`.
    kind: Option<String>,
    /// `active`, `window` or `revoked`, as stored, or `suspended`.
    state: Option<String>,
    /// That end at this instant or before.
    expires_by: Option<DateTime<Utc>>,
}

impl KeyParams {
    fn filter(&self) -> Result<Filter, Problem> {
        let state = match self.state.as_deref() {
            None => None,
            Some("active") => Some(key_list::State::Active),
            Some("window") => Some(key_list::State::Window),
            Some("suspended") => Some(key_list::State::Suspended),
            Some("revoked") => Some(key_list::State::Revoked),
            Some(_) => {
                return Err(malformed(
                    "`state`: one of `active`, `window`, `suspended`, `revoked`",
                ));
            }
        };
        Ok(Filter {
            environment: self.environment.clone(),
            owner: self.owner.clone(),
            kind: parse_maybe("kind", self.kind.as_deref())?,
            state,
            expires_by: self.expires_by.map(stored).transpose()?,
            ..Filter::default()
        })
    }
}

/// List keys
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(KeyParams),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<KeyBody>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Params(params): Params<KeyParams>,
) -> Result<Json<Page<KeyBody>>, Problem> {
    let (after, limit) = page(params.cursor.as_deref(), params.limit)?;
    let tenant = caller.narrowed(params.tenant.clone())?;
    let filter = Filter { tenant, ..params.filter()? };
    let now = api.now().await?;
    let found = key_list::list(api.db()?, &filter, after, limit as u64 + 1).await?;
    let ids: Vec<i64> = found.iter().map(|key| key.id).collect();
    let mut items: Vec<_> = found.into_iter().map(|key| KeyBody::new(key, now)).collect();
    let is_more = items.len() > limit;
    items.truncate(limit);
    let next = ids.get(limit - 1).filter(|_| is_more).map(ToString::to_string);
    Ok(Json(Page { items, next }))
}

/// A key to be made.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    tenant: String,
    environment: String,
    /// Its owner's address; they must be an owner of the tenant.
    owner: String,
    /// What its owner calls it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `user` (the default) or `application`.
    kind: Option<String>,
    /// How long it shall live; what the policy says if absent.
    #[serde(default)]
    life: Life,
}

/// A key just made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeKey {
    id: String,
    /// The whole key, shown now or never; `null` if this request was answered before: then
    /// `reissue` makes another secret.
    secret: Option<String>,
    expires_at: Option<DateTime<Utc>>,
}

/// Make a key
///
/// The secret is shown once. With an `Idempotency-Key`, the same request makes one key however
/// often it is sent. Where the policy asks for a code to make a key, it is of the owner of your
/// token.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = NewKey,
    params(("X-OTP" = Option<String>, Header, description = "a code of your own, where the policy asks for one"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters")),
    security(("token" = ["operator", "admin"])),
    responses((status = 201, body = MadeKey),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn create(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    headers: HeaderMap,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<MadeKey>), Problem> {
    let name: Label = parse("name", &new.name)?;
    let kind = parse_maybe("kind", new.kind.as_deref())?.unwrap_or(KeyKind::User);
    if kind == KeyKind::Service {
        return Err(malformed("`kind`: tokens of administrators are made at /v1/admin-tokens"));
    }
    let (ask, code) = (new.life.ask()?, otp(&headers)?);
    let tenant = caller.tenant(&api, &new.tenant).await?;
    if tenant.slug == crate::store::admin_tokens::TENANT {
        return Err(forbidden("this tenant has administrators' tokens only"));
    }
    let environment = caller.environment(&api, &tenant, &new.environment).await?;
    let owner = crate::store::owners::find(api.db()?.conn(), tenant.id, &new.owner).await?;
    let owner = owner.ok_or_else(|| not_found("owner"))?;
    let request = Request { environment: &environment, owner: &owner, kind, name: &name, ask };
    let (policies, house) = (api.policies().await?, api.house()?);
    let secrets = (house.brand, house.keyring.pepper());
    let who = caller.who(house, code.as_ref());
    let made = match idempotency_key(&headers)? {
        None => {
            let made = issue::issue(&house.db, &policies, secrets, who, &request).await?;
            let secret = Some(made.token.expose().to_owned());
            MadeKey { id: made.id.to_string(), secret, expires_at: made.expires_at }
        }
        Some(key) => {
            let scope = format!("{} create", caller.actor);
            let asked = serde_json::to_string(&new).unwrap_or_default();
            let once = Once { scope: &scope, key, request: &asked };
            let (made, token) =
                issue::issue_once(&house.db, &policies, secrets, who, &request, &once).await?;
            let secret = token.map(|token| token.expose().to_owned());
            MadeKey { id: made.id, secret, expires_at: made.expires_at }
        }
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Show a key
#[utoipa::path(get, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "its id")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = KeyBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn show(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let key = caller.key(&api, known_id(&id)?.as_str()).await?;
    Ok(tagged(KeyBody::new(key, api.now().await?)))
}

/// A key with its `ETag`.
fn tagged(key: KeyBody) -> Response {
    etag::tagged(key.version, key)
}

/// What is no id names no key.
fn known_id(id: &str) -> Result<PublicId, Problem> {
    id.parse().map_err(|_| not_found("key"))
}

/// What has happened to a key, and what it was told.
#[derive(Serialize, ToSchema)]
pub(super) struct Timeline {
    key: KeyBody,
    /// What happened, in order; the first 500.
    events: Vec<Happened>,
    /// What was told or is to be told, newest first.
    notices: Vec<NoticeBody>,
    /// When the daemon looks at the key next.
    next_action_at: Option<DateTime<Utc>>,
}

/// Something that happened to a key.
#[derive(Serialize, ToSchema)]
pub(super) struct Happened {
    at: DateTime<Utc>,
    /// Who did it, such as `daemon`, `operator` or `key:ID`.
    actor: String,
    /// What, such as `key.rotated`.
    action: String,
    /// Before, after and why.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

/// Explain a key
#[utoipa::path(get, path = "/v1/keys/{id}/timeline", tag = "keys",
    params(("id" = String, Path, description = "its id")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Timeline),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn timeline(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(id): Path<String>,
) -> Result<Json<Timeline>, Problem> {
    let key = caller.key(&api, known_id(&id)?.as_str()).await?;
    let (number, db) = (KeyId(key.id), api.db()?);
    let events = history::events(db, Some(number), 0, LINES).await?;
    let filter = NoticeFilter { key: Some(number), ..NoticeFilter::default() };
    let notices = history::notices(db, filter, LINES).await?;
    let next_action_at = key.next_action_at;
    let happened = |event: history::Event| Happened {
        at: event.at,
        actor: event.actor,
        action: event.action,
        detail: serde_json::from_str(&event.detail).unwrap_or_default(),
    };
    Ok(Json(Timeline {
        key: KeyBody::new(key, api.now().await?),
        events: events.into_iter().map(happened).collect(),
        notices: notices.into_iter().map(Into::into).collect(),
        next_action_at,
    }))
}

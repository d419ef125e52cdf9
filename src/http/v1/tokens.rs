//! Administrators' tokens.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::{identity::Role, life::Ask, name::Label, token::Token},
    http::{
        problem::Problem,
        v1::{
            api::Api,
            approvals::{PendingApproval, waits},
            auth::{Allowed, Caller, Govern},
            input::{Body, otp, parse},
            refusal::{malformed, not_found},
            views::{Page, ProblemView},
        },
    },
    random,
    store::{
        StoreError,
        admin_tokens::{self, AdminToken, FORM, Holder, NewToken},
        approvals::Wanted,
        key_changes, key_list,
        keys::KeyError,
    },
};

/// How often a token is begun anew, if an id is taken or somebody else made the first one.
const TRIES: u32 = 3;

#[derive(Serialize, ToSchema)]
#[schema(as = AdminToken)]
pub(super) struct TokenBody {
    id: String,
    name: String,
    /// `viewer`, `operator`, `admin` or `auditor`.
    role: String,
    /// Its owner's address, whose second factor counts; `null` if it is nobody's in particular.
    owner: Option<String>,
    /// The one tenant it is for; `null` is all.
    tenant: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked: bool,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<AdminToken> for TokenBody {
    fn from(token: AdminToken) -> Self {
        Self {
            id: token.public_id,
            name: token.name,
            role: token.role.to_string(),
            owner: token.owner,
            tenant: token.tenant,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked: token.is_revoked,
            last_used_at: token.last_used_at,
        }
    }
}

/// Whether the caller has this token in their sight.
fn sees(caller: &Caller, token: &AdminToken) -> bool {
    caller.tenant.as_ref().is_none_or(|(_, own)| token.tenant_id == Some(*own))
}

/// List administrators' tokens
#[utoipa::path(get, path = "/v1/admin-tokens", tag = "admin tokens",
    security(("token" = ["admin"])),
    responses((status = 200, body = Page<TokenBody>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
) -> Result<Json<Page<TokenBody>>, Problem> {
    let tokens = admin_tokens::list(api.db()?).await?;
    let seen = tokens.into_iter().filter(|token| sees(&caller, token));
    Ok(Json(Page::whole(seen.map(Into::into).collect())))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAdminToken {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `viewer`, `operator`, `admin` or `auditor`.
    role: String,
    /// The one tenant it is for. All, if absent; for a caller of one tenant, that one.
    tenant: Option<String>,
    /// How many days it lives; what the policy for service keys says if absent.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u16>,
}

/// A token just made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    id: String,
    /// The whole token, shown now or never.
    secret: String,
    role: String,
    tenant: Option<String>,
    expires_at: Option<DateTime<Utc>>,
}

/// Make an administrator's token
///
/// It is yours: its owner is the one of the token that asks. Tokens for others are made at the
/// command line. Where the policy asks for a code to make one, it is of that owner.
#[utoipa::path(post, path = "/v1/admin-tokens", tag = "admin tokens",
    request_body = NewAdminToken,
    params(("X-OTP" = Option<String>, Header, description = "a code of your own, where the policy asks for one")), security(("token" = ["admin"])),
    responses((status = 201, body = MadeToken),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn create(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    headers: HeaderMap,
    Body(new): Body<NewAdminToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let name: Label = parse("name", &new.name)?;
    let role: Role = parse("role", &new.role)?;
    let code = otp(&headers)?;
    let tenant = match caller.narrowed(new.tenant)? {
        Some(slug) => Some(caller.tenant(&api, &slug).await?),
        None => None,
    };
    let ask = match new.days {
        Some(0) => return Err(malformed("`days`: a token lives a day at least")),
        Some(days) => Ask::For(TimeDelta::days(days.into())),
        None => Ask::Default,
    };
    let (house, policies) = (api.house()?, api.policies().await?);
    let who = caller.who(house, code.as_ref());
    let mut tries = 1;
    let (token, expires_at) = loop {
        let (public_id, (kind, class)) = (random::public_id()?, FORM);
        let token = Token::new(house.brand, kind, class, public_id, &random::bytes()?);
        let new = NewToken {
            public_id,
            owner: Holder::Owner(caller.owner_id),
            owner_public_id: random::public_id()?,
            mac: &token.mac(house.keyring.pepper()),
            name: &name,
            role,
            tenant_id: tenant.as_ref().map(|tenant| tenant.id),
            ask,
        };
        match admin_tokens::create(&house.db, &policies, who, &new).await {
            Err(KeyError::Store(StoreError::Taken { .. })) if tries < TRIES => tries += 1,
            made => break (token, made?),
        }
    };
    let made = MadeToken {
        id: token.id.to_string(),
        secret: token.expose().to_owned(),
        role: role.to_string(),
        tenant: tenant.map(|tenant| tenant.slug),
        expires_at,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revoke an administrator's token
#[utoipa::path(delete, path = "/v1/admin-tokens/{id}", tag = "admin tokens",
    params(("id" = String, Path, description = "its id"),
        ("X-OTP" = Option<String>, Header, description = "a code of your own, where the policy asks for one")),
    security(("token" = ["admin"])),
    responses((status = 204, description = "it is dead"),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn revoke(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let code = otp(&headers)?;
    let token = admin_tokens::find(api.db()?, &id).await?;
    token.filter(|token| sees(&caller, token)).ok_or_else(|| not_found("token"))?;
    let policies = api.policies().await?;
    let who = caller.who(api.house()?, code.as_ref());
    let key = key_list::find(api.db()?.conn(), &id).await?.ok_or_else(|| not_found("token"))?;
    match key_changes::revoke(api.db()?, &policies, who, &id, None).await {
        Err(KeyError::Second(second)) => {
            let wanted = Wanted::RevokeKey { key: id, reason: None, seen: key.tag().to_string() };
            Ok(waits(&caller.file(&api, code.as_ref(), &wanted, second).await?))
        }
        done => {
            done?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

//! Who calls, and what they may do: a token is a key of kind `s` with a role and perhaps one
//! tenant. Whoever asks for something of another tenant is told that there is no such thing.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
};

use crate::{
    domain::{identity::Role, otp::Attempt, verdict::Verdict},
    http::{
        House,
        problem::Problem,
        v1::{api::Api, guesses::Asker, refusal::not_found},
    },
    store::{
        admin_tokens::{self, AdminToken},
        environments::{self, Environment},
        key_list::{self, KeyView},
        owners::{self, Owner},
        tenants::{self, Tenant},
        who::{Person, Who},
    },
};

/// A caller with a good token.
#[derive(Clone, Debug)]
pub(in crate::http) struct Caller {
    /// How the trail names them.
    pub(in crate::http) actor: String,
    pub(in crate::http) role: Role,
    /// The owner of their token, whose second factor is theirs.
    pub(in crate::http) owner_id: i64,
    /// The one tenant they may see, by slug and number.
    pub(in crate::http) tenant: Option<(String, i64)>,
}

/// What a route demands of its caller.
pub(in crate::http) trait Demand {
    const ROLES: &'static [Role];
}

/// Seeing.
pub(in crate::http) struct Read;
/// Making, rotating and ending keys.
pub(in crate::http) struct Operate;
/// Rules, tenants, second factors and tokens.
pub(in crate::http) struct Govern;
/// The trail.
pub(in crate::http) struct Audit;

impl Demand for Read {
    const ROLES: &'static [Role] = Role::ALL;
}

impl Demand for Operate {
    const ROLES: &'static [Role] = &[Role::Operator, Role::Admin];
}

impl Demand for Govern {
    const ROLES: &'static [Role] = &[Role::Admin];
}

impl Demand for Audit {
    const ROLES: &'static [Role] = &[Role::Admin, Role::Auditor];
}

/// A caller who meets `D`.
pub(in crate::http) struct Allowed<D>(
    pub(in crate::http) Caller,
    pub(in crate::http) std::marker::PhantomData<D>,
);

impl<D: Demand> FromRequestParts<Api> for Allowed<D> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller = Caller::of(parts, api).await?;
        caller.has_one_of(D::ROLES)?;
        Ok(Self(caller, std::marker::PhantomData))
    }
}

/// The text after `Bearer`.
pub(in crate::http) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// There is no good token: one answer, whatever is wrong with it.
pub(in crate::http) fn unauthorized() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "a valid token is required: Authorization: Bearer …")
        .code("invalid-key")
}

/// The token is good, but not for this.
pub(in crate::http) fn forbidden(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, detail).code("forbidden")
}

impl Caller {
    async fn of(parts: &Parts, api: &Api) -> Result<Self, Problem> {
        let verdict = match bearer(&parts.headers) {
            Some(text) => api.judge(text, Asker::of(parts, api)).await?,
            None => Verdict::INVALID,
        };
        let known = verdict.key.filter(|_| verdict.is_valid()).ok_or_else(unauthorized)?;
        // A key of another kind is as good as none.
        let token = admin_tokens::find(api.db()?, known.id.as_str()).await?;
        token.map(Self::holder).ok_or_else(unauthorized)
    }

    /// Whoever holds `token`, which is good.
    pub(in crate::http) fn holder(token: AdminToken) -> Self {
        Self {
            actor: format!("key:{}", token.public_id),
            role: token.role,
            owner_id: token.owner_id,
            tenant: token.tenant.zip(token.tenant_id),
        }
    }

    /// The caller, with the code they gave.
    pub(in crate::http) fn who<'a>(
        &'a self,
        house: &'a House,
        code: Option<&'a Attempt>,
    ) -> Who<'a> {
        let (actor, owner_id) = (self.actor.as_str(), self.owner_id);
        Who::Administrator(Person { actor, owner_id, keyring: &house.keyring, code })
    }

    /// Sees that the caller has one of these roles.
    pub(in crate::http) fn has_one_of(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.role) {
            return Ok(());
        }
        Err(forbidden(&format!("a token of the role {} may not do this", self.role)))
    }

    /// The number of the one tenant they may see.
    pub(in crate::http) fn tenant_id(&self) -> Option<i64> {
        self.tenant.as_ref().map(|(_, id)| *id)
    }

    /// Sees that the caller may see the whole installation.
    pub(in crate::http) fn everywhere(&self) -> Result<(), Problem> {
        match self.tenant {
            None => Ok(()),
            Some(_) => Err(forbidden("a token of one tenant may not do this")),
        }
    }

    /// The slug by which listings are narrowed: the caller's own tenant, or the one asked for.
    pub(in crate::http) fn narrowed(
        &self,
        asked: Option<String>,
    ) -> Result<Option<String>, Problem> {
        match (&self.tenant, asked) {
            (None, asked) => Ok(asked),
            (Some((own, _)), None) => Ok(Some(own.clone())),
            (Some((own, _)), Some(asked)) if *own == asked => Ok(Some(asked)),
            _ => Err(not_found("tenant")),
        }
    }

    /// Whether what belongs to this tenant is the caller's to see.
    pub(in crate::http) fn sees(&self, tenant_id: i64) -> bool {
        self.tenant.as_ref().is_none_or(|(_, own)| *own == tenant_id)
    }

    pub(in crate::http) async fn tenant(&self, api: &Api, slug: &str) -> Result<Tenant, Problem> {
        let tenant = tenants::find(api.db()?.conn(), slug).await?;
        tenant.filter(|tenant| self.sees(tenant.id)).ok_or_else(|| not_found("tenant"))
    }

    pub(in crate::http) async fn environment(
        &self,
        api: &Api,
        tenant: &Tenant,
        slug: &str,
    ) -> Result<Environment, Problem> {
        let environment = environments::find(api.db()?.conn(), tenant.id, slug).await?;
        environment.ok_or_else(|| not_found("environment"))
    }

    pub(in crate::http) async fn key(&self, api: &Api, id: &str) -> Result<KeyView, Problem> {
        let key = key_list::find(api.db()?.conn(), id).await?;
        key.filter(|key| self.sees(key.tenant.0)).ok_or_else(|| not_found("key"))
    }

    /// A key that the caller may change. Who may change an administrator's token could else have
    /// its rights.
    pub(in crate::http) async fn key_to_change(
        &self,
        api: &Api,
        id: &str,
    ) -> Result<KeyView, Problem> {
        let key = self.key(api, id).await?;
        let is_token = admin_tokens::find(api.db()?, id).await?.is_some();
        if is_token && self.role != Role::Admin {
            return Err(forbidden("only an administrator may change a token"));
        }
        Ok(key)
    }

    /// A key that the caller may give a new secret, which they are shown: of the tokens only one of
    /// their own, or they could act as somebody else.
    pub(in crate::http) async fn key_to_rotate(
        &self,
        api: &Api,
        id: &str,
    ) -> Result<KeyView, Problem> {
        let key = self.key_to_change(api, id).await?;
        let token = admin_tokens::find(api.db()?, id).await?;
        if token.is_some_and(|token| token.owner_id != self.owner_id) {
            return Err(forbidden("a token is rotated by its owner, or at the command line"));
        }
        Ok(key)
    }

    /// An owner whom the caller may change. Those of tokens are administrators themselves.
    pub(in crate::http) async fn owner_to_change(
        &self,
        api: &Api,
        id: &str,
    ) -> Result<Owner, Problem> {
        let owner = self.owner(api, id).await?;
        if owner.tenant == admin_tokens::TENANT && self.role != Role::Admin {
            return Err(forbidden("only an administrator may change an owner of tokens"));
        }
        Ok(owner)
    }

    pub(in crate::http) async fn owner(&self, api: &Api, id: &str) -> Result<Owner, Problem> {
        let owner = owners::find_by_public_id(api.db()?.conn(), id).await?;
        owner.filter(|owner| self.sees(owner.tenant_id)).ok_or_else(|| not_found("owner"))
    }
}

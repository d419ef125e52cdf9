//! Making keys: the secret is drawn, shown once, and remembered only as a MAC.

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::{
    domain::{
        derived::Derived,
        identity::{KeyKind, PublicId},
        life::Ask,
        name::Label,
        token::{Brand, Class, Token},
    },
    random::{self, NoRandomness},
    store::{
        Db, StoreError,
        environments::Environment,
        idempotency::Once,
        keys::{self, KeyError, Made, NewKey},
        owners::Owner,
        policies::PolicyBook,
        who::Who,
    },
};

/// How often an id is drawn before something else must be wrong.
const DRAWS: u32 = 3;

/// A key somebody wants.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Where it is used.
    pub environment: &'a Environment,
    /// Whose it is; of the environment's tenant.
    pub owner: &'a Owner,
    /// What it is for.
    pub kind: KeyKind,
    /// What its owner calls it.
    pub name: &'a Label,
    /// How long it shall live.
    pub ask: Ask,
}

/// A key just made. The secret exists nowhere else: shown now, or never.
#[derive(Debug)]
pub struct Issued {
    /// What people call the key.
    pub id: PublicId,
    /// What the client presents.
    pub token: Token,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Why there is no new key.
#[derive(Debug, Error)]
pub enum IssueError {
    /// No secret could be drawn.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The key could not be written.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Makes a key.
///
/// # Errors
/// What the policy, the owner's access or the database has against it.
pub async fn issue(
    db: &Db,
    policies: &PolicyBook,
    (brand, pepper): (Brand, &Derived),
    who: Who<'_>,
    request: &Request<'_>,
) -> Result<Issued, IssueError> {
    let class: Class = request.environment.class;
    let mut draws = 0;
    loop {
        let id = random::public_id()?;
        let token = Token::new(brand, request.kind, class, id, &random::bytes()?);
        let new = NewKey {
            public_id: id,
            mac: &token.mac(pepper),
            tenant_id: request.environment.tenant_id,
            environment_id: request.environment.id,
            owner_id: request.owner.id,
            kind: request.kind,
            name: request.name,
            ask: request.ask,
        };
        draws += 1;
        match keys::create(db, policies, who, &new).await {
            Ok(expires_at) => return Ok(Issued { id, token, expires_at }),
            Err(KeyError::Store(StoreError::Taken { .. })) if draws < DRAWS => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes a key as [`issue`] does, but once: whoever asks again is told of the key that was made,
/// and gets no secret.
///
/// # Errors
/// As [`issue`], and [`KeyError::Once`] for another request under the same idempotency key.
pub async fn issue_once(
    db: &Db,
    policies: &PolicyBook,
    (brand, pepper): (Brand, &Derived),
    who: Who<'_>,
    request: &Request<'_>,
    once: &Once<'_>,
) -> Result<(Made, Option<Token>), IssueError> {
    let class: Class = request.environment.class;
    let mut draws = 0;
    loop {
        let id = random::public_id()?;
        let token = Token::new(brand, request.kind, class, id, &random::bytes()?);
        let new = NewKey {
            public_id: id,
            mac: &token.mac(pepper),
            tenant_id: request.environment.tenant_id,
            environment_id: request.environment.id,
            owner_id: request.owner.id,
            kind: request.kind,
            name: request.name,
            ask: request.ask,
        };
        draws += 1;
        match keys::create_once(db, policies, who, &new, once).await {
            Ok(made) if made.is_replay => return Ok((made, None)),
            Ok(made) => return Ok((made, Some(token))),
            // The id, or the same request, which is found the next time.
            Err(KeyError::Store(StoreError::Taken { .. })) if draws < DRAWS => {}
            Err(error) => return Err(error.into()),
        }
    }
}

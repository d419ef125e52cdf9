//! The one door to the operating system's random generator.

use rand::{TryRng, rngs::SysRng};
use thiserror::Error;

use crate::domain::identity::PublicId;

/// The operating system gives no random bytes. Nothing that needs a secret can be done then.
#[derive(Debug, Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness(#[source] rand::rngs::SysError);

/// Random bytes, good enough for secrets.
///
/// # Errors
/// [`NoRandomness`], which on a sound system does not happen.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// A public id that nobody has drawn before, as far as chance goes; the database makes sure.
///
/// # Errors
/// As [`bytes`].
pub fn public_id() -> Result<PublicId, NoRandomness> {
    bytes().map(PublicId::from_random)
}

//! "Is this key valid?": one indexed read, and nothing is written.
//!
//! A text that is no key never gets here as far as a query. Of the rest, the secret is compared in
//! constant time before anything is told of its key; and where there is no such key a secret is
//! compared all the same, so that the answer takes as long.

use sea_orm::QueryResult;

use crate::{
    domain::{
        derived::Derived,
        token::{Brand, Mac, Token},
        verdict::{Finding, Verdict, judge},
    },
    store::{
        Db, StoreError, from_ms,
        last_use::{LastUse, Use},
    },
};

mod read;
mod together;

use read::{Found, mac_of};
pub use read::{of_many, of_one};
use together::Together;

/// Secrets of a key that are compared: its newest, and the one before it.
const MOST_SECRETS: usize = 2;

/// Verifies keys. To be kept for as long as keys are verified.
#[derive(Debug, Default)]
pub struct Verifier {
    /// When keys were last used, as far as that is not written down.
    pub uses: LastUse,
    together: Together,
}

impl Verifier {
    /// Judges what somebody presents as a key. A good one is noted in [`Verifier::uses`], with what
    /// presented it (`by`) if that is known, to be written down later.
    ///
    /// The database is not asked about a text that is mistyped. Secrets that another system issued
    /// are not ours to verify, and are as unknown as any other.
    ///
    /// # Errors
    /// As [`Verifier::judge`].
    pub async fn verify(
        &self,
        db: &Db,
        (brand, pepper): (Brand, &Derived),
        (text, by): (&str, Option<String>),
    ) -> Result<Verdict, StoreError> {
        match Token::parse(brand, text) {
            Ok(token) => self.judge(db, pepper, (&token, by)).await,
            Err(_) => Ok(Verdict::INVALID),
        }
    }

    /// As [`Verifier::verify`], of what has the form of a key.
    ///
    /// # Errors
    /// If the database does not answer, or what is stored of the very key makes no sense. Whoever
    /// asks must then let nobody in.
    pub async fn judge(
        &self,
        db: &Db,
        pepper: &Derived,
        (token, by): (&Token, Option<String>),
    ) -> Result<Verdict, StoreError> {
        let presented = token.macs(pepper);
        let rows = self.together.ask(db, token.id).await?;
        let Some(row) = matching(&rows, &presented)? else { return Ok(Verdict::INVALID) };
        let found = Found::read(row)?;
        let now = db.now_of(found.now)?;
        let valid_until = found.valid_until.and_then(from_ms);
        let verdict = judge(token.id, &found.key, found.version, valid_until, now);
        if verdict.finding == Finding::Valid {
            // What was remembered under the master key before is remembered anew.
            let mac = presented.into_iter().next().filter(|mac| mac.pepper != found.pepper);
            self.uses.note(Use { key: found.id, version: found.version, at: now, by, mac });
        }
        Ok(verdict)
    }
}
/// The row whose secret was presented. As many secrets are compared whether there are any or not.
fn matching<'a>(
    rows: &'a [QueryResult],
    presented: &[Mac],
) -> Result<Option<&'a QueryResult>, StoreError> {
    const NOBODYS: Mac = Mac { bytes: [0; 32], pepper: 0 };

    let mut found = None;
    for n in 0..MOST_SECRETS {
        let stored = rows.get(n).map(mac_of).transpose()?.flatten().unwrap_or(NOBODYS);
        for mac in presented {
            let is_this = mac.meets(&stored);
            found = if is_this { rows.get(n) } else { found };
        }
    }
    Ok(found)
}

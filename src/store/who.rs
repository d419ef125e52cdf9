//! Who does something, and what they show for it.
//!
//! A policy can ask whoever makes a key, revokes one or changes a policy for a code of their own
//! second factor. A guess is counted before anything is looked at ([`Who::show`]), and given back
//! unless it was wrong ([`Shown::settle`]); a good code is used up in the transaction of what it is
//! for. It is the throttle of rotations, so there is one budget for an owner, over all doors.

use chrono::{DateTime, Utc};
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use crate::{
    domain::otp::{Attempt, throttle::Receipt},
    keyring::Keyring,
    store::{
        Db, StoreError, Tx,
        entity::owners,
        otp::{self, OtpError},
        second::NeedsSecond,
    },
};

/// Who does something.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// Whoever is at the machine, with the database and the master key in hand; the trail calls
    /// them so. No policy asks them for a code, since they could change the policy; the trail says
    /// that they went without.
    Local(&'a str),
    /// The holder of an administrator's token.
    Administrator(Person<'a>),
    /// The owner of a key, by the link of a mail.
    Owner(Person<'a>),
    /// Two administrators: one asked for it, and another approved it.
    Two(&'a Two),
}

/// Two administrators, as the trail names them.
#[derive(Debug)]
pub struct Two {
    actor: String,
    evidence: Value,
}

impl Two {
    /// Whoever asked is `actor`; `evidence` says what both showed.
    pub(super) fn new(actor: String, evidence: Value) -> Self {
        Self { actor, evidence }
    }
}

/// Somebody with a second factor of their own.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// How the trail names them.
    pub actor: &'a str,
    /// Whose second factor it is: the owner of the token, or the owner of the key.
    pub owner_id: i64,
    /// Under which seeds are encrypted.
    pub keyring: &'a Keyring,
    /// What they typed, if anything. A wrong code refuses even what needs none.
    pub code: Option<&'a Attempt>,
}

impl<'a> Who<'a> {
    /// How the trail names them.
    pub fn actor(self) -> &'a str {
        match self {
            Self::Local(actor) => actor,
            Self::Administrator(person) | Self::Owner(person) => person.actor,
            Self::Two(two) => &two.actor,
        }
    }

    /// The same, with nothing typed.
    pub(super) fn without_code(self) -> Self {
        match self {
            Self::Administrator(person) => Self::Administrator(Person { code: None, ..person }),
            Self::Owner(person) => Self::Owner(Person { code: None, ..person }),
            other => other,
        }
    }

    fn person(self) -> Option<Person<'a>> {
        match self {
            Self::Local(_) | Self::Two(_) => None,
            Self::Administrator(person) | Self::Owner(person) => Some(person),
        }
    }

    /// Counts a guess, if a code was typed. True for good when this returns.
    pub(super) async fn show(self, db: &Db) -> Result<Shown<'a>, OtpError> {
        let receipt = match self.person() {
            Some(Person { owner_id, code: Some(_), .. }) => Some(otp::charge(db, owner_id).await?),
            _ => None,
        };
        Ok(Shown { who: self, receipt })
    }
}

/// An error that may be a code that was wrong.
pub(super) trait Missed {
    /// Whether a code was checked and found wrong: then it stays counted.
    fn is_miss(&self) -> bool;
}

/// Somebody whose guess is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    who: Who<'a>,
    receipt: Option<Receipt>,
}

impl<'a> Shown<'a> {
    pub(super) fn actor(&self) -> &'a str {
        self.who.actor()
    }

    /// Whose second factor it is, if it is anybody's.
    pub(super) fn owner_id(&self) -> Option<i64> {
        self.who.person().map(|person| person.owner_id)
    }

    /// Locks the owner whose code was typed. To be called before anything else is locked: an owner
    /// comes before a key, here as everywhere.
    pub(super) async fn hold(&self, tx: &Tx) -> Result<Held<'a>, OtpError> {
        let owner = match (self.who.person(), self.receipt) {
            (Some(person), Some(_)) => Some(otp::locked(tx, person.owner_id).await?),
            _ => None,
        };
        Ok(Held { shown: *self, owner })
    }

    /// Gives back a guess that was none, now that it is known what came of it.
    pub(super) async fn settle<T, E: Missed>(self, db: &Db, done: Result<T, E>) -> Result<T, E> {
        if let (Some(person), Some(receipt)) = (self.who.person(), self.receipt)
            && done.as_ref().is_err_and(|error| !error.is_miss())
        {
            // If that fails, a guess is counted that was none; what matters is the first error.
            otp::refund(db, person.owner_id, &receipt).await.ok();
        }
        done
    }
}

/// Somebody whose row is locked, as far as a code of theirs is to be used up.
#[derive(Debug)]
pub(super) struct Held<'a> {
    shown: Shown<'a>,
    owner: Option<owners::Model>,
}

impl<'a> Held<'a> {
    pub(super) fn actor(&self) -> &'a str {
        self.shown.actor()
    }

    /// Sees that an administrator does not do alone what needs two. To be called before the code is
    /// looked at: it is needed for the request.
    pub(super) fn see_second(&self, needs_two: bool, needs_otp: bool) -> Result<(), NeedsSecond> {
        match self.shown.who {
            Who::Administrator(_) if needs_two => Err(NeedsSecond { needs_otp }),
            _ => Ok(()),
        }
    }

    /// Uses the code up, if one was typed, and sees that there is one where it `must` be. Returns
    /// what the trail says of it.
    pub(super) async fn prove(
        &self,
        tx: &Tx,
        must: bool,
        now: DateTime<Utc>,
    ) -> Result<Value, OtpError> {
        if let Who::Two(two) = self.shown.who {
            return Ok(two.evidence.clone());
        }
        let Some(person) = self.shown.who.person() else {
            return Ok(json!({ "method": if must { "local" } else { "none" } }));
        };
        if let (Some(owner), Some(code), Some(receipt)) =
            (&self.owner, person.code, &self.shown.receipt)
        {
            let evidence = otp::consume(tx, person.keyring, owner, (code, receipt), now).await?;
            return Ok(evidence.to_json());
        }
        if !must {
            return Ok(json!({ "method": "none" }));
        }
        let owner = owners::Entity::find_by_id(person.owner_id).one(&**tx).await;
        let owner = owner.map_err(StoreError::during("read an owner"))?.ok_or(OtpError::NoOwner)?;
        Err(match owner.otp_confirmed_at {
            Some(_) => OtpError::Required,
            None => OtpError::NotEnrolled,
        })
    }
}

//! What must be true of each key, by dates alone, and what a relay has taken.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use lapsed::{domain::token::Token, mail::transport::Outgoing};
use mail_parser::MessageParser;

/// A mail that the relay took.
pub struct Taken {
    pub at: DateTime<Utc>,
    pub header_id: String,
    pub to: Vec<String>,
}

impl Taken {
    pub fn new(mail: &Outgoing, at: DateTime<Utc>) -> Self {
        let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
        Self { at, header_id: parsed.message_id().unwrap().to_owned(), to: mail.to.clone() }
    }
}

/// A key, as somebody would have noted it on paper.
pub struct PaperKey {
    pub token: Token,
    pub owner: i64,
    pub ttl: TimeDelta,
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// When its dates were last changed.
    pub changed_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl PaperKey {
    pub fn lives_from(&mut self, now: DateTime<Utc>, expires_at: DateTime<Utc>) {
        (self.issued_at, self.expires_at, self.changed_at) = (now, expires_at, now);
    }
}

#[derive(Default)]
pub struct Model {
    pub keys: Vec<PaperKey>,
    /// Since when an owner has no access.
    pub left: BTreeMap<i64, DateTime<Utc>>,
    /// How far each key was when it was last looked at: its version and state.
    pub seen: BTreeMap<String, (i64, i16, i64)>,
}

impl Model {
    pub fn made(&mut self, token: Token, owner: i64, ttl: TimeDelta, now: DateTime<Utc>) {
        let expires_at = now + ttl;
        let (issued_at, changed_at, revoked_at) = (now, now, None);
        let key = PaperKey { token, owner, ttl, issued_at, expires_at, changed_at, revoked_at };
        self.keys.push(key);
    }

    /// An owner has left: what is alive ends now.
    pub fn left(&mut self, owner: i64, now: DateTime<Utc>) {
        self.left.entry(owner).or_insert(now);
        for key in self.keys.iter_mut().filter(|key| key.owner == owner) {
            if now < key.expires_at {
                (key.expires_at, key.changed_at) = (now, now);
            }
        }
    }
}

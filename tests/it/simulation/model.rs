//! What must be true of each key, by dates alone; and chance, and what a relay has taken.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use lapsed::{domain::token::Token, mail::transport::Outgoing};
use mail_parser::MessageParser;

/// Chance that a seed decides (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub fn below_len(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap()
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

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

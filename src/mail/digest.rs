//! What one mail says, as plain data: no words, no layout, no address of anybody but its readers.

use std::{cmp::Reverse, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use thiserror::Error;

use crate::{
    domain::{
        identity::{KeyKind, PublicId},
        language::Language,
        stage::Stage,
    },
    mail::address::EmailAddress,
};

/// Everything one mail tells one owner, or those who are told instead.
///
/// Names in here may be as hostile as a database allows: they are cleaned when they are rendered
/// and again when the mail is built.
#[derive(Clone)]
pub struct Digest {
    /// The Message-ID without its angle brackets. The same for every attempt.
    pub message_id: String,
    /// Whom the mail goes to; at least one address.
    pub to: Vec<EmailAddress>,
    /// The name to greet. Only an owner is greeted by name.
    pub to_name: Option<String>,
    /// Who reads it.
    pub audience: Audience,
    /// The reader's time zone.
    pub time_zone: Tz,
    /// What it is written in.
    pub language: Language,
    /// Where its owner chooses which early reminders they get. Shown in those alone. Not for logs.
    pub wish_link: Option<String>,
    /// The keys it is about, in any order; at least one, but for an
    /// [alarm](crate::mail::alarm::Alarm).
    pub items: Vec<Item>,
}

/// Who reads a mail.
#[derive(Clone)]
pub enum Audience {
    /// The owner of the keys.
    Owner,
    /// Contacts, told instead of an owner, or beside them.
    Contacts {
        /// Whose keys these are.
        owner_name: String,
        /// The owner's address as it may be shown, like `a***@e***.org`.
        owner_mail_masked: String,
        /// Why they get it.
        why: Why,
    },
    /// Whoever is told that the brake is on: of no owner's keys.
    Operators,
}

/// Why a mail goes to contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The owner cannot be reached, because of this: the end of "could not be reached: …".
    Unreachable(String),
    /// A key is suspended, of which they are told beside the owner.
    Beside,
    /// By its rules, they get a copy of the key's reminders.
    Copy,
    /// By its rules, they get the key's reminders, and not the owner.
    Instead,
}

/// One key, and what is to be said about it.
#[derive(Clone)]
pub struct Item {
    /// What people call the key.
    pub public_id: PublicId,
    /// The name its owner gave it.
    pub name: String,
    /// The tenant's slug or name.
    pub tenant: String,
    /// The environment's slug or name.
    pub environment: String,
    /// What the key is for.
    pub kind: KeyKind,
    /// What is told about it.
    pub stage: Stage,
    /// Whether that is a reminder before the last one: the only kind that can be switched off.
    pub is_early: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its secret stops or stopped to work. `None` for a key that never expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// Until when it can be brought back after its expiry: the frozen end of an open window, or
    /// the end to be expected for a key still in use. `None` means that there is no way back.
    pub window_ends_at: Option<DateTime<Utc>>,
    /// Whether it ends because its owner's access does.
    pub ends_with_access: bool,
    /// Whether it is refused until that is lifted.
    pub is_suspended: bool,
    /// When it will be, if nothing uses it.
    pub suspends_at: Option<DateTime<Utc>>,
    /// When it was last seen in use.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The reader's own link to the key's page, if there are pages. It opens a door: not for logs.
    pub link: Option<String>,
}

/// What a mail is about: the templates are named after these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The owner's second factor was taken away. The most urgent: it may be somebody else's doing.
    OtpReset,
    /// The key is refused: somebody else may have had its secret.
    Suspended,
    /// The key is refused, because nothing used it.
    SuspendedUnused,
    /// The rotation window is about to close: after it the key is gone.
    Closing,
    /// The key has expired, and perhaps can still be brought back.
    Expired,
    /// The key is about to expire.
    Expiring,
    /// The key is about to end for good, with its owner's access.
    Ending,
    /// Nothing uses the key, and it will be refused for that.
    Unused,
    /// A stricter policy has the key end sooner than it was said.
    Shortened,
    /// A key that never expires is due for a review.
    Review,
    /// The key has a new secret.
    Rotated,
    /// A key was made.
    Created,
    /// The key is gone.
    Purged,
}

impl Topic {
    /// Every topic, the most urgent first.
    pub const ALL: [Self; 13] = [
        Self::OtpReset,
        Self::Suspended,
        Self::SuspendedUnused,
        Self::Closing,
        Self::Expired,
        Self::Expiring,
        Self::Ending,
        Self::Unused,
        Self::Shortened,
        Self::Review,
        Self::Rotated,
        Self::Created,
        Self::Purged,
    ];

    /// The topic's word: what people type for `lapsed mail preview`, and its template's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closing => "closing",
            Self::Expired => "expired",
            Self::Expiring => "expiring",
            Self::Ending => "ending",
            Self::Shortened => "shortened",
            Self::OtpReset => "otp-reset",
            Self::Suspended => "suspended",
            Self::SuspendedUnused => "suspended-unused",
            Self::Unused => "unused",
            Self::Review => "review",
            Self::Rotated => "rotated",
            Self::Created => "created",
            Self::Purged => "purged",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no topic.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is none of `otp-reset`, `suspended`, `suspended-unused`, `unused`, `shortened`, `closing`, `expired`, `expiring`, `ending`, `review`, `rotated`, `created`, `purged`"
)]
pub struct UnknownTopic(String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        let topic = Self::ALL.into_iter().find(|topic| topic.as_str() == text);
        topic.ok_or_else(|| UnknownTopic(text.to_owned()))
    }
}

impl Item {
    /// What is to be said about the key at `now`.
    ///
    /// A reminder that leaves so late that the key has expired meanwhile says so, instead of
    /// announcing the past.
    pub fn topic(&self, now: DateTime<Utc>) -> Topic {
        match self.stage {
            // Whoever asked for a new link is told how the key stands.
            Stage::LinkAsked if self.expires_at.is_none() => Topic::Review,
            Stage::Expiring { .. } | Stage::LinkAsked
                if self.expires_at.is_some_and(|at| at <= now) =>
            {
                Topic::Expired
            }
            Stage::Expiring { .. } | Stage::LinkAsked if self.ends_with_access => Topic::Ending,
            Stage::Expiring { .. } | Stage::LinkAsked => Topic::Expiring,
            Stage::Expired => Topic::Expired,
            Stage::Closing => Topic::Closing,
            Stage::Purged => Topic::Purged,
            Stage::Created => Topic::Created,
            Stage::Rotated => Topic::Rotated,
            Stage::ReviewDue => Topic::Review,
            Stage::OtpReset => Topic::OtpReset,
            Stage::Suspended | Stage::SuspendedContacts => Topic::Suspended,
            Stage::SuspendedUnused => Topic::SuspendedUnused,
            Stage::Unused => Topic::Unused,
            Stage::Shortened => Topic::Shortened,
        }
    }

    /// The instant its reader has to act by, if there is one.
    fn deadline(&self, topic: Topic) -> Option<DateTime<Utc>> {
        match topic {
            Topic::Closing | Topic::Expired => self.window_ends_at,
            Topic::Expiring | Topic::Ending | Topic::Shortened => self.expires_at,
            Topic::Unused => self.suspends_at,
            Topic::OtpReset
            | Topic::Suspended
            | Topic::SuspendedUnused
            | Topic::Review
            | Topic::Rotated
            | Topic::Created
            | Topic::Purged => None,
        }
    }
}

impl Digest {
    /// Where its reader chooses which early reminders they get: in a mail to an owner that is
    /// nothing but an early reminder. Whatever else a mail says must come.
    pub fn unsubscribe_link(&self, now: DateTime<Utc>) -> Option<&str> {
        let is_early = |item: &Item| {
            item.is_early && matches!(item.topic(now), Topic::Expiring | Topic::Ending)
        };
        let is_for_owner = matches!(self.audience, Audience::Owner);
        self.wish_link.as_deref().filter(|_| is_for_owner && self.items.iter().all(is_early))
    }

    /// The items with their topics at `now`, the most urgent first: by topic, then by deadline,
    /// then by name, so that every attempt at one mail lists them alike.
    pub fn by_urgency(&self, now: DateTime<Utc>) -> Vec<(Topic, &Item)> {
        let mut items: Vec<_> = self.items.iter().map(|item| (item.topic(now), item)).collect();
        items.sort_by_key(|(topic, item)| {
            let deadline = item.deadline(*topic);
            // What ends with its owner's access is as urgent as what expires on the same day.
            let rank = if *topic == Topic::Ending { Topic::Expiring } else { *topic };
            (rank, Reverse(deadline.is_some()), deadline, item.name.as_str(), item.public_id)
        });
        items
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message_id, to, items, .. } = self;
        f.debug_struct("Digest")
            .field("message_id", message_id)
            .field("to", to)
            .field("items", items)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.public_id, self.stage)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::mail::preview;

    fn now() -> DateTime<Utc> {
        "2026-11-23T09:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_most_urgent_comes_first() {
        let mut digest = preview::mixed(now());
        digest.items.reverse();
        let topics: Vec<_> = digest.by_urgency(now()).iter().map(|(topic, _)| *topic).collect();
        assert_eq!(topics, Topic::ALL);
    }

    #[test]
    fn among_equals_the_nearest_deadline_comes_first() {
        let order = |digest: &Digest| -> Vec<String> {
            digest.by_urgency(now()).iter().map(|(_, item)| item.name.clone()).collect()
        };
        let mut digest = preview::sample(Topic::Expiring, 3, now());
        digest.items[2].expires_at = Some(now() + TimeDelta::days(1));
        assert_eq!(order(&digest), ["ci-deploy", "billing-sync", "nightly-export"]);

        // An access that ends tomorrow is more urgent than a key that expires in a week.
        digest.items[1].expires_at = Some(now() + TimeDelta::hours(1));
        digest.items[1].ends_with_access = true;
        assert_eq!(order(&digest), ["nightly-export", "ci-deploy", "billing-sync"]);

        // What cannot be brought back any more has no deadline.
        let mut digest = preview::sample(Topic::Expired, 2, now());
        digest.items[0].window_ends_at = None;
        assert_eq!(order(&digest), ["nightly-export", "billing-sync"]);
    }

    #[test]
    fn only_what_is_nothing_but_an_early_reminder_can_be_switched_off() {
        let is_switchable = |digest: &Digest| digest.unsubscribe_link(now()).is_some();
        for topic in Topic::ALL {
            let expected = matches!(topic, Topic::Expiring | Topic::Ending);
            assert_eq!(is_switchable(&preview::sample(topic, 3, now())), expected, "{topic}");
        }
        let early = preview::sample(Topic::Expiring, 3, now());
        assert!(!is_switchable(&preview::for_contacts(early.clone())));
        assert!(!is_switchable(&preview::without_pages(early.clone())));
        let mut last = early.clone();
        last.items[1].is_early = false;
        assert!(!is_switchable(&last), "one of its reminders is the last");
        let mut late = early;
        late.items[1].expires_at = Some(now());
        assert!(!is_switchable(&late), "one of its keys has expired meanwhile");
    }

    #[test]
    fn a_reminder_is_late_from_the_very_instant_of_the_expiry() {
        let mut digest = preview::sample(Topic::Ending, 1, now());
        let item = &mut digest.items[0];
        item.expires_at = Some(now() + TimeDelta::milliseconds(1));
        assert_eq!(item.topic(now()), Topic::Ending);
        item.expires_at = Some(now());
        assert_eq!(item.topic(now()), Topic::Expired);
    }

    #[test]
    fn a_topic_is_read_as_it_is_written() {
        for topic in Topic::ALL {
            assert_eq!(topic.to_string().parse(), Ok(topic));
        }
        let error = "expire".parse::<Topic>().unwrap_err();
        assert!(error.to_string().starts_with("`expire` is none of `otp-reset`"), "{error}");
    }
}

//! What happened, as data and in words.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::{
    domain::stage::Stage,
    store::{
        Db, StoreError,
        sql::Sql,
        timeline::{Happened, Mailed},
    },
};

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A key changed.
    Key {
        /// When.
        #[serde(serialize_with = "iso")]
        at: DateTime<Utc>,
        /// What, such as `key.expired`.
        action: String,
        /// Who did it.
        actor: String,
        /// The key's name.
        key: String,
        /// Its owner's name.
        owner: String,
        /// Until when it can be brought back, or undone.
        #[serde(serialize_with = "maybe_iso")]
        until: Option<DateTime<Utc>>,
    },
    /// A mail was taken over.
    Mail {
        /// When.
        #[serde(serialize_with = "iso")]
        at: DateTime<Utc>,
        /// To whom.
        to: Vec<String>,
        /// Whether the contacts were told instead of the owner.
        is_escalation: bool,
        /// Each key's name, and what was told of it.
        told: Vec<(String, String)>,
    },
}

impl Event {
    /// When it happened.
    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Key { at, .. } | Self::Mail { at, .. } => *at,
        }
    }
}

impl From<Happened> for Event {
    fn from(happened: Happened) -> Self {
        let until = match happened.action.as_str() {
            "key.expired" | "key.access_ended" | "key.revoked" => happened.window_ends_at,
            "key.extended" => happened.expires_at,
            _ => None,
        };
        let Happened { at, actor, action, key, owner, .. } = happened;
        Self::Key { at, action, actor, key, owner, until }
    }
}

impl From<Mailed> for Event {
    fn from(mailed: Mailed) -> Self {
        let told = mailed.told.into_iter().map(|(key, stage)| (key, in_words(stage))).collect();
        let Mailed { at, recipients: to, is_escalation, .. } = mailed;
        Self::Mail { at, to, is_escalation, told }
    }
}

/// A line about it, without the time.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail { to, is_escalation, told, .. } => {
                let instead = if *is_escalation { " (the owner cannot be reached)" } else { "" };
                write!(f, "mail to {}{instead}: ", to.join(", "))?;
                for (n, (key, what)) in told.iter().enumerate() {
                    write!(f, "{}{key} {what}", if n > 0 { "; " } else { "" })?;
                }
                Ok(())
            }
            Self::Key { action, actor, key, owner, until, .. } => {
                let day = until.map(|until| until.format("%a %-d %b").to_string());
                let day = day.unwrap_or_default();
                match action.as_str() {
                    "key.expired" => {
                        write!(f, "{key} of {owner} expired; the window is open until {day}")
                    }
                    "key.access_ended" => write!(
                        f,
                        "{key} ended with the access of {owner}; an undo is possible until {day}"
                    ),
                    "key.purged" => write!(f, "{key} of {owner} was purged; a tombstone remains"),
                    "key.extended" => write!(f, "{actor} extended {key} to {day}"),
                    "key.revoked" => {
                        write!(f, "{actor} revoked {key}; an undo is possible until {day}")
                    }
                    other => write!(f, "{other}: {key} of {owner}"),
                }
            }
        }
    }
}

fn in_words(stage: Stage) -> String {
    match stage {
        Stage::Expiring { days: 1 } => "expires within a day".to_owned(),
        Stage::Expiring { days } => format!("expires within {days} days"),
        Stage::Expired => "has expired".to_owned(),
        Stage::Closing => "will be purged tomorrow".to_owned(),
        Stage::Purged => "was purged".to_owned(),
        Stage::Created => "was made".to_owned(),
        Stage::Rotated => "was rotated".to_owned(),
        Stage::ReviewDue => "needs a review".to_owned(),
        Stage::LinkAsked => "has a new link".to_owned(),
        Stage::Suspended | Stage::SuspendedContacts => "is suspended".to_owned(),
        Stage::Unused => "will be suspended, because nothing uses it".to_owned(),
        Stage::SuspendedUnused => "is suspended, because nothing used it".to_owned(),
        Stage::OtpReset => "has an owner without a second factor".to_owned(),
        Stage::Shortened => "ends sooner by a stricter policy".to_owned(),
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Keys in use.
    pub n_active: u64,
    /// Keys in their window.
    pub n_window: u64,
    /// Keys revoked and not purged yet.
    pub n_revoked: u64,
    /// Keys purged.
    pub n_purged: u64,
    /// Mails taken over.
    pub n_mails: u64,
    /// Things told.
    pub n_told: u64,
}

/// Counts what is left.
pub(super) async fn summary(db: &Db) -> Result<Summary, StoreError> {
    let conn = db.conn();
    let row = Sql::new(conn, "count what is left")
        .push(
            "SELECT (SELECT COUNT(*) FROM api_keys WHERE state = 1), \
             (SELECT COUNT(*) FROM api_keys WHERE state = 2), \
             (SELECT COUNT(*) FROM api_keys WHERE state = 3), \
             (SELECT COUNT(*) FROM tombstones), \
             (SELECT COUNT(*) FROM messages WHERE status = 3), \
             (SELECT COUNT(*) FROM notices WHERE status IN (3, 6))",
        )
        .one(conn)
        .await?;
    let count = |index| {
        let number = row.as_ref().and_then(|row| row.try_get_by_index::<i64>(index).ok());
        number.unwrap_or_default().unsigned_abs()
    };
    Ok(Summary {
        n_active: count(0),
        n_window: count(1),
        n_revoked: count(2),
        n_purged: count(3),
        n_mails: count(4),
        n_told: count(5),
    })
}

fn iso<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn maybe_iso<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => iso(at, serializer),
        None => serializer.serialize_none(),
    }
}

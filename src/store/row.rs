//! From the columns of a key to the key: the only place where it is done.

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult};
use thiserror::Error;

use crate::{
    domain::{
        identity::KeyKind,
        key::{Key, KeyId, KeyState},
        stage::Stage,
        unused::Unused,
        wish::Wish,
    },
    store::{
        codes::{Coded, StateCode},
        entity::api_keys,
        from_ms,
    },
};

/// The first instant of the year 10,000. A time from then on, or before 1970, is taken for damage;
/// between the two, no sum of a time and a policy's period can overflow.
const END_OF_TIME_MS: i64 = 253_402_300_800_000;

/// The columns of `api_keys` that a decision depends on, as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyColumns {
    pub(crate) state: i16,
    pub(crate) kind: i16,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) access_ends_at: Option<i64>,
    pub(crate) review_at: Option<i64>,
    pub(crate) window_ends_at: Option<i64>,
    pub(crate) last_stage: Option<i16>,
    /// Whether `suspended_at` has an instant.
    pub(crate) is_suspended: bool,
    /// Whether `hold` has a text.
    pub(crate) is_held: bool,
    /// The owner's `reminder_wish`, where a decision depends on it.
    pub(crate) wish: Option<i16>,
    /// What is known of its use, where a decision depends on it.
    pub(crate) uses: Option<UseColumns>,
}

/// The columns that say how long a key has been out of use, as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UseColumns {
    pub(crate) last_used_at: Option<i64>,
    pub(crate) unsuspended_at: Option<i64>,
    pub(crate) unused_warned_at: Option<i64>,
    /// Whether `suspended_at` has an instant.
    pub(crate) is_suspended: bool,
    /// Whether `source` has a text.
    pub(crate) is_foreign: bool,
}

impl UseColumns {
    /// In the order in which [`UseColumns::read`] reads them.
    pub(crate) const SQL: &str = "last_used_at, unsuspended_at, unused_warned_at, \
         CASE WHEN suspended_at IS NULL THEN 0 ELSE 1 END, CASE WHEN source IS NULL THEN 0 ELSE 1 END";

    /// Reads [`UseColumns::SQL`] from the column with this index on.
    pub(crate) fn read(row: &QueryResult, from: usize) -> Result<Self, DbErr> {
        Ok(Self {
            last_used_at: row.try_get_by_index(from)?,
            unsuspended_at: row.try_get_by_index(from + 1)?,
            unused_warned_at: row.try_get_by_index(from + 2)?,
            is_suspended: row.try_get_by_index::<i32>(from + 3)? != 0,
            is_foreign: row.try_get_by_index::<i32>(from + 4)? != 0,
        })
    }

    /// How long a key that was issued at `issued_at` has been out of use. `None` for one that is
    /// suspended, and for one of another system that has never been used here: there may be uses
    /// that are not seen here. An instant that makes no sense is none.
    pub(crate) fn unused(self, issued_at: DateTime<Utc>) -> Option<Unused> {
        let at = |ms: Option<i64>| maybe_time("", ms).ok().flatten();
        let last_used_at = at(self.last_used_at);
        if self.is_suspended || (self.is_foreign && last_used_at.is_none()) {
            return None;
        }
        let since = [last_used_at, at(self.unsuspended_at)].into_iter().flatten().max();
        let since = since.map_or(issued_at, |since| since.max(issued_at));
        Some(Unused { since, warned_at: at(self.unused_warned_at) })
    }
}

impl From<&api_keys::Model> for KeyColumns {
    fn from(row: &api_keys::Model) -> Self {
        Self {
            state: row.state,
            kind: row.kind,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            access_ends_at: row.access_ends_at,
            review_at: row.review_at,
            window_ends_at: row.window_ends_at,
            last_stage: row.last_stage,
            is_suspended: row.suspended_at.is_some(),
            is_held: row.hold.is_some(),
            wish: None,
            uses: Some(UseColumns {
                last_used_at: row.last_used_at,
                unsuspended_at: row.unsuspended_at,
                unused_warned_at: row.unused_warned_at,
                is_suspended: row.suspended_at.is_some(),
                is_foreign: row.source.is_some(),
            }),
        }
    }
}

/// A row of `api_keys` that makes no sense. It is parked with this text, and stops nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("key {}: {what}", .id.0)]
pub struct CorruptKey {
    /// Which row.
    pub id: KeyId,
    /// What is wrong with it, beginning with the column's name.
    pub what: String,
}

/// Reads a whole row.
pub(crate) fn to_key(row: &api_keys::Model) -> Result<Key, CorruptKey> {
    key_of(KeyColumns::from(row)).map_err(|what| CorruptKey { id: KeyId(row.id), what })
}

/// Reads the columns of one row. The error says what is wrong, beginning with the column's name.
pub(crate) fn key_of(columns: KeyColumns) -> Result<Key, String> {
    let kind = KeyKind::of_code(columns.kind)
        .ok_or_else(|| format!("kind is {}, which is no kind of key", columns.kind))?;
    let expires_at = maybe_time("expires_at", columns.expires_at)?;
    let window_ends_at = maybe_time("window_ends_at", columns.window_ends_at)?;
    let access_ends_at = maybe_time("access_ends_at", columns.access_ends_at)?;
    let issued_at = time("issued_at", columns.issued_at)?;
    Ok(Key {
        kind,
        state: state_of(columns.state, expires_at, window_ends_at, access_ends_at)?,
        issued_at,
        access_ends_at,
        review_at: maybe_time("review_at", columns.review_at)?,
        last_stage: columns.last_stage.map(stage).transpose()?,
        is_suspended: columns.is_suspended,
        is_held: columns.is_held,
        wish: Wish::of_code(columns.wish),
        unused: columns.uses.and_then(|uses| uses.unused(issued_at)),
    })
}

fn state_of(
    code: i16,
    expires_at: Option<DateTime<Utc>>,
    window_ends_at: Option<DateTime<Utc>>,
    access_ends_at: Option<DateTime<Utc>>,
) -> Result<KeyState, String> {
    match StateCode::of_code(code) {
        // Such a key would outlive its owner's access, and no sweep would ever look at it.
        Some(StateCode::Active) if expires_at.is_none() && access_ends_at.is_some() => {
            Err("expires_at is missing, though access_ends_at is set".to_owned())
        }
        Some(StateCode::Active) => Ok(KeyState::Active { expires_at }),
        Some(StateCode::Window) => {
            let expires_at =
                expires_at.ok_or("expires_at is missing, though the key is expired")?;
            let window_ends_at =
                window_ends_at.ok_or("window_ends_at is missing, though the key is expired")?;
            Ok(KeyState::Window { expires_at, window_ends_at })
        }
        Some(StateCode::Revoked) => {
            let purge_at =
                window_ends_at.ok_or("window_ends_at is missing, though the key is revoked")?;
            Ok(KeyState::Revoked { purge_at })
        }
        None => Err(format!("state is {code}, which is no state of a key")),
    }
}

fn stage(code: i16) -> Result<Stage, String> {
    Stage::from_code(code).ok_or_else(|| format!("last_stage is {code}, which is no stage"))
}

fn maybe_time(column: &str, ms: Option<i64>) -> Result<Option<DateTime<Utc>>, String> {
    ms.map(|ms| time(column, ms)).transpose()
}

fn time(column: &str, ms: i64) -> Result<DateTime<Utc>, String> {
    (0..END_OF_TIME_MS)
        .contains(&ms)
        .then(|| from_ms(ms))
        .flatten()
        .ok_or_else(|| format!("{column} is {ms} ms, which is no time from 1970 to 9999"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: KeyColumns = KeyColumns {
        state: 1,
        kind: 1,
        issued_at: 1_800_000_000_000,
        expires_at: Some(1_807_776_000_000),
        access_ends_at: None,
        review_at: None,
        window_ends_at: None,
        last_stage: Some(30),
        is_suspended: false,
        is_held: false,
        wish: None,
        uses: None,
    };

    #[test]
    fn a_key_is_out_of_use_since_whatever_was_last() {
        let uses = UseColumns {
            last_used_at: None,
            unsuspended_at: None,
            unused_warned_at: Some(7),
            is_suspended: false,
            is_foreign: false,
        };
        let since = |uses: UseColumns| {
            let key = key_of(KeyColumns { uses: Some(uses), ..ACTIVE }).unwrap();
            key.unused.map(|unused| unused.since.timestamp_millis())
        };
        let issued = ACTIVE.issued_at;
        assert_eq!(since(uses), Some(issued));
        let used = UseColumns { last_used_at: Some(issued + 5), ..uses };
        assert_eq!(since(used), Some(issued + 5));
        assert_eq!(since(UseColumns { last_used_at: Some(issued - 5), ..uses }), Some(issued));
        assert_eq!(
            since(UseColumns { unsuspended_at: Some(issued + 9), ..used }),
            Some(issued + 9)
        );
        assert_eq!(since(UseColumns { last_used_at: Some(i64::MAX), ..uses }), Some(issued));
        assert_eq!(since(UseColumns { is_suspended: true, ..used }), None);
        assert_eq!(since(UseColumns { is_foreign: true, ..uses }), None, "used elsewhere, perhaps");
        assert_eq!(since(UseColumns { is_foreign: true, ..used }), Some(issued + 5));
        assert_eq!(key_of(ACTIVE).unwrap().unused, None, "nobody has looked");
    }

    #[test]
    fn a_row_becomes_the_key_it_stands_for() {
        let key = key_of(ACTIVE).unwrap();
        assert_eq!(key.state, KeyState::Active { expires_at: from_ms(1_807_776_000_000) });
        assert_eq!(key.last_stage, Some(Stage::Expiring { days: 30 }));

        let window = KeyColumns { state: 2, window_ends_at: Some(1_808_380_800_000), ..ACTIVE };
        assert!(matches!(key_of(window).unwrap().state, KeyState::Window { .. }));
        let revoked = KeyColumns { state: 3, expires_at: None, ..window };
        assert!(matches!(key_of(revoked).unwrap().state, KeyState::Revoked { .. }));
    }

    #[test]
    fn damage_is_named_by_its_column() {
        for (damaged, text) in [
            (KeyColumns { kind: 9, ..ACTIVE }, "kind is 9, which is no kind of key"),
            (KeyColumns { state: 0, ..ACTIVE }, "state is 0, which is no state of a key"),
            (
                KeyColumns { state: 2, ..ACTIVE },
                "window_ends_at is missing, though the key is expired",
            ),
            (
                KeyColumns { state: 2, expires_at: None, ..ACTIVE },
                "expires_at is missing, though the key is expired",
            ),
            (
                KeyColumns { state: 3, ..ACTIVE },
                "window_ends_at is missing, though the key is revoked",
            ),
            (
                KeyColumns { expires_at: None, access_ends_at: Some(1), ..ACTIVE },
                "expires_at is missing, though access_ends_at is set",
            ),
            (KeyColumns { last_stage: Some(-3), ..ACTIVE }, "last_stage is -3, which is no stage"),
            (
                KeyColumns { issued_at: -1, ..ACTIVE },
                "issued_at is -1 ms, which is no time from 1970 to 9999",
            ),
            (
                KeyColumns { expires_at: Some(END_OF_TIME_MS), ..ACTIVE },
                "expires_at is 253402300800000 ms, which is no time from 1970 to 9999",
            ),
        ] {
            assert_eq!(key_of(damaged), Err(text.to_owned()));
        }
        let last = KeyColumns { expires_at: Some(END_OF_TIME_MS - 1), ..ACTIVE };
        assert!(key_of(last).is_ok(), "the last instant of 9999 is a time");
    }
}

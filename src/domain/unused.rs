//! Keys that nothing uses: their owners are warned, and then they are suspended, where the policy asks
//! for that. Nothing in this file can wait, fail, or read a clock.
//!
//! Nobody is suspended without a warning, nor sooner after it than it is meant to come: so a policy
//! that begins to ask for it, or a daemon that was away, takes nobody by surprise.

use chrono::{DateTime, TimeDelta, Utc};

/// How long before a suspension its owner is warned; half of the time without use, if that is
/// shorter.
const WARN_BEFORE: TimeDelta = TimeDelta::days(7);

/// How long a key has been out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Since when: its last use, or when its present life began, or when a suspension was lifted,
    /// whichever was last.
    pub since: DateTime<Utc>,
    /// When its owner was last warned that it will be suspended.
    pub warned_at: Option<DateTime<Utc>>,
}

/// What is done to a key that nothing uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Its owner is told that it will be suspended.
    Warn {
        /// When it will, unless it is used.
        suspends_at: DateTime<Utc>,
    },
    /// It is suspended, and its owner told.
    Suspend,
}

/// What is done at one look, and when the next one is due; always after it, and `None` once the key
/// is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What is done now, if anything is.
    pub deed: Option<Deed>,
    /// When there is something to look at again, if nothing uses the key.
    pub next: Option<DateTime<Utc>>,
}

impl Unused {
    /// A key whose present life begins at `now`.
    pub fn from(now: DateTime<Utc>) -> Self {
        Self { since: now, warned_at: None }
    }

    /// What is done at `now` to a key that may be out of use for `limit`.
    ///
    /// A use since the warning makes it void, and so does a longer limit: then there is another.
    pub fn look(self, limit: TimeDelta, now: DateTime<Utc>) -> Look {
        let (lead, warning_at) = (lead(limit), self.warning_at(limit));
        // Who is warned late has as long as anybody: neither comes before `since + limit`.
        match self.warned_at.filter(|at| warning_at <= *at).map(|at| at + lead) {
            Some(suspends_at) if suspends_at <= now => {
                Look { deed: Some(Deed::Suspend), next: None }
            }
            Some(suspends_at) => Look { deed: None, next: Some(suspends_at) },
            None if warning_at <= now => {
                let suspends_at = now + lead;
                Look { deed: Some(Deed::Warn { suspends_at }), next: Some(suspends_at) }
            }
            None => Look { deed: None, next: Some(warning_at) },
        }
    }

    /// When the warning is due, if nothing uses the key.
    pub fn warning_at(self, limit: TimeDelta) -> DateTime<Utc> {
        self.since + limit - lead(limit)
    }
}

/// How long before the suspension its owner is warned.
fn lead(limit: TimeDelta) -> TimeDelta {
    WARN_BEFORE.min(limit / 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: TimeDelta = TimeDelta::seconds(1);

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn days(n: i64) -> TimeDelta {
        TimeDelta::days(n)
    }

    /// A look at noon at a key that has been out of use for so long, and whose owner was warned so
    /// long ago, as a line.
    fn line(limit: i64, unused_for: TimeDelta, warned_ago: Option<TimeDelta>) -> String {
        let since = noon() - unused_for;
        let unused = Unused { since, warned_at: warned_ago.map(|ago| noon() - ago) };
        let Look { deed, next } = unused.look(days(limit), noon());
        let deed = match deed {
            None => "keep".to_owned(),
            Some(Deed::Warn { suspends_at }) => format!("warn of {}", suspends_at - noon()),
            Some(Deed::Suspend) => "suspend".to_owned(),
        };
        deed + &next.map_or("; never again".to_owned(), |at| format!("; look in {}", at - noon()))
    }

    #[test]
    fn an_owner_is_warned_a_week_before_and_then_the_key_is_suspended_to_the_second() {
        let check = |unused_for, warned_ago, expected: &str| {
            assert_eq!(line(90, unused_for, warned_ago), expected);
        };
        check(days(0), None, "keep; look in PT7171200S");
        check(days(83) - SECOND, None, "keep; look in PT1S");
        check(days(83), None, "warn of PT604800S; look in PT604800S");
        check(days(83) + SECOND, Some(SECOND), "keep; look in PT604799S");
        check(days(90) - SECOND, Some(days(7) - SECOND), "keep; look in PT1S");
        check(days(90), Some(days(7)), "suspend; never again");
    }

    #[test]
    fn who_was_not_warned_is_warned_first_however_long_it_has_been() {
        assert_eq!(line(90, days(400), None), "warn of PT604800S; look in PT604800S");
        assert_eq!(line(90, days(400), Some(days(7) - SECOND)), "keep; look in PT1S");
        assert_eq!(line(90, days(400), Some(days(7))), "suspend; never again");
        // It was used since the warning, or may be out of use for longer now.
        assert_eq!(line(90, days(84), Some(days(85))), "warn of PT604800S; look in PT604800S");
        assert_eq!(line(120, days(113), Some(days(30))), "warn of PT604800S; look in PT604800S");
    }

    #[test]
    fn a_short_limit_has_a_short_warning() {
        assert_eq!(line(1, TimeDelta::zero(), None), "keep; look in PT43200S");
        assert_eq!(line(1, TimeDelta::hours(12), None), "warn of PT43200S; look in PT43200S");
    }

    proptest! {
        #[test]
        fn nothing_is_suspended_unwarned_or_in_use_or_looked_at_for_ever(
            limit in 1..=3650_i64,
            unused_for in 0..500_000_000_i64,
            warned_ago in proptest::option::of(0..500_000_000_i64),
        ) {
            let at = |ago: i64| noon() - TimeDelta::seconds(ago);
            let unused = Unused { since: at(unused_for), warned_at: warned_ago.map(at) };
            let limit = days(limit);
            let Look { deed, next } = unused.look(limit, noon());
            prop_assert!(next.is_none_or(|next| noon() < next));
            prop_assert_eq!(next.is_none(), deed == Some(Deed::Suspend));
            if deed == Some(Deed::Suspend) {
                let warned_at = unused.warned_at.unwrap();
                prop_assert!(unused.since <= warned_at && unused.since + limit <= noon());
                prop_assert!(days(7).min(limit / 2) <= noon() - warned_at);
            }
            if let Some(Deed::Warn { suspends_at }) = deed {
                // Told of it once, and kept to.
                let warned = Unused { warned_at: Some(noon()), ..unused };
                let before = warned.look(limit, suspends_at - SECOND);
                prop_assert_eq!(before.deed, None);
                prop_assert_eq!(warned.look(limit, suspends_at).deed, Some(Deed::Suspend));
            }
        }
    }
}

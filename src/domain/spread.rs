//! New dates for keys that live longer than their rules allow by now: none ends before its owner
//! has had notice, and not all of them end on one day.

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use crate::domain::{
    identity::PublicId,
    key::{Key, KeyState},
    policy::Policy,
};

/// How a stricter rule reaches the keys that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    notice: TimeDelta,
    over: TimeDelta,
}

/// A spread that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpreadError {
    /// Owners would be surprised.
    #[error("owners get notice of 1 to 365 days, and not {0}")]
    Notice(u16),
    /// It would never end.
    #[error("new dates are spread over 0 to 365 days, and not {0}")]
    Over(u16),
}

impl Spread {
    /// Gives at least `notice_days` of notice, and spreads the new dates over `over_days` after
    /// it; 0: all on the first day that the notice allows.
    ///
    /// # Errors
    /// If one of them is out of range.
    pub fn new(notice_days: u16, over_days: u16) -> Result<Self, SpreadError> {
        match (notice_days, over_days) {
            (0 | 366.., _) => Err(SpreadError::Notice(notice_days)),
            (_, 366..) => Err(SpreadError::Over(over_days)),
            (notice, over) => Ok(Self {
                notice: TimeDelta::days(notice.into()),
                over: TimeDelta::days(over.into()),
            }),
        }
    }

    /// When the key of this id ends under `policy`, if that is sooner than it would. Asked again
    /// later it is no sooner than that, so nothing happens twice.
    ///
    /// A key whose longest life is over after the notice ends with it. One whose longest life is
    /// over before gets a day of its own, which its id decides: whoever tries it out beforehand is
    /// told the same day, give or take what time has passed.
    pub fn new_end(
        &self,
        id: PublicId,
        key: &Key,
        policy: &Policy,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let KeyState::Active { expires_at } = key.state else { return None };
        if expires_at.is_some_and(|end| end <= now) || policy.allows_ttl(key.lifetime()) {
            return None;
        }
        let longest = key.issued_at.checked_add_signed(policy.max_ttl()?)?;
        let share = self.over.num_milliseconds() / PARTS * part(id);
        let earliest = now.checked_add_signed(self.notice + TimeDelta::milliseconds(share))?;
        let end = longest.max(earliest);
        expires_at.is_none_or(|old| end < old).then_some(end)
    }
}

/// Into how many parts a spread is divided.
const PARTS: i64 = 1 << 12;

/// Which part is this key's: evenly distributed, and always the same.
fn part(id: PublicId) -> i64 {
    // FNV-1a: ids are random already, but a few letters of them are not evenly spread over parts.
    let hash = id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Its last step leaves the low bits alone: mix once more.
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    i64::try_from((mixed >> 33) % PARTS.unsigned_abs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{identity::KeyKind, policy::PolicyFields, wish::Wish};

    const SECOND: TimeDelta = TimeDelta::seconds(1);

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn day(n: i64) -> DateTime<Utc> {
        noon() + TimeDelta::days(n)
    }

    fn key(issued: i64, expires_at: Option<DateTime<Utc>>) -> Key {
        Key {
            kind: KeyKind::Application,
            state: KeyState::Active { expires_at },
            issued_at: day(issued),
            access_ends_at: None,
            review_at: None,
            last_stage: None,
            is_suspended: false,
            is_held: false,
            wish: Wish::All,
            unused: None,
        }
    }

    fn id(n: usize) -> PublicId {
        format!("key{n:09}").parse().unwrap()
    }

    fn at_most(days: u16) -> Policy {
        let fields = PolicyFields {
            max_ttl_days: Some(days),
            default_ttl_days: Some(days),
            ..PolicyFields::default()
        };
        Policy::new(KeyKind::Application, fields).unwrap()
    }

    fn end(key: &Key, spread: Spread) -> Option<DateTime<Utc>> {
        spread.new_end(id(1), key, &at_most(90), noon())
    }

    #[test]
    fn no_key_ends_before_its_owner_had_notice() {
        let now = Spread::new(30, 0).unwrap();
        assert_eq!(end(&key(-300, None), now), Some(day(30)));
        assert_eq!(end(&key(-300, Some(day(31))), now), Some(day(30)));
        assert_eq!(end(&key(-300, Some(day(30) + SECOND)), now), Some(day(30)));
        assert_eq!(end(&key(-300, Some(day(30))), now), None, "never later, never the same");
        assert_eq!(end(&key(-300, Some(noon() + SECOND)), now), None);
        assert_eq!(end(&key(-300, Some(noon())), now), None, "it has ended");
    }

    #[test]
    fn a_key_keeps_as_much_as_the_rule_allows() {
        let now = Spread::new(30, 60).unwrap();
        assert_eq!(end(&key(0, None), now), Some(day(90)));
        assert_eq!(end(&key(0, Some(day(90))), now), None, "to the second");
        assert_eq!(end(&key(0, Some(day(90) + SECOND)), now), Some(day(90)));
        let window = KeyState::Window { expires_at: day(-1), window_ends_at: day(6) };
        assert_eq!(end(&Key { state: window, ..key(-300, None) }, now), None);
    }

    #[test]
    fn the_ends_are_spread_evenly_and_none_is_beyond_the_range() {
        let spread = Spread::new(30, 10).unwrap();
        let mut days = [0; 10];
        for n in 0..10_000 {
            let end = spread.new_end(id(n), &key(-300, None), &at_most(90), noon()).unwrap();
            days[usize::try_from((end - day(30)).num_days()).unwrap()] += 1;
        }
        assert!(days.iter().all(|n| (850..1150).contains(n)), "{days:?}");
    }

    #[test]
    fn a_key_keeps_its_part() {
        // Whoever has tried it out was told of a day: another version gives the same.
        assert_eq!([0, 1, 2, 3].map(|n| part(id(n))), [1839, 1235, 1859, 945]);
    }

    #[test]
    fn doing_it_again_changes_nothing() {
        let spread = Spread::new(30, 10).unwrap();
        for n in 0..100 {
            let first = spread.new_end(id(n), &key(-300, None), &at_most(90), noon());
            let after = key(-300, first);
            for later in [0, 1, 29] {
                let again = spread.new_end(id(n), &after, &at_most(90), day(later));
                assert_eq!(again, None);
            }
        }
    }

    #[test]
    fn a_spread_has_limits() {
        assert_eq!(Spread::new(0, 1), Err(SpreadError::Notice(0)));
        assert_eq!(Spread::new(366, 1), Err(SpreadError::Notice(366)));
        assert_eq!(Spread::new(1, 366), Err(SpreadError::Over(366)));
        assert!(Spread::new(1, 0).is_ok() && Spread::new(365, 365).is_ok());
    }
}

//! Hours in which nobody is told what can wait. Nothing in this file can wait, fail, or read a clock.
//!
//! What is urgent never waits, and nothing waits past the moment it speaks of: a reminder that would
//! come too late at the end of the quiet hours goes out at once, quiet or not.

use std::{fmt, str::FromStr};

use chrono::{
    DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone as _, Timelike as _, Utc,
};
use chrono_tz::Tz;
use thiserror::Error;

use crate::domain::{policy::Policy, stage::Stage, wish::is_early};

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// Until so long before a window's end the news of an expiry may wait: on its last day, it is late.
const LAST_DAY: TimeDelta = TimeDelta::days(1);

/// From one time of the day, included, to another, excluded; perhaps over midnight. By the clock on
/// the wall where an owner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    /// Minutes after midnight.
    from: u16,
    /// Minutes after midnight; not the same.
    until: u16,
}

/// A text that is no [`QuietHours`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is neither `none` nor two times of the day such as `22:00-07:00`")]
pub struct NoQuietHours(String);

impl QuietHours {
    /// Whether they hold at this minute of the day.
    fn holds(self, minute: u16) -> bool {
        if self.from < self.until {
            (self.from..self.until).contains(&minute)
        } else {
            self.from <= minute || minute < self.until
        }
    }

    /// Whether it is quiet in `other` whenever it is in these.
    pub fn is_within(self, other: Self) -> bool {
        (0..DAY).all(|minute| !self.holds(minute) || other.holds(minute))
    }

    /// When a mail leaves that is made at `now` for somebody in `zone`, and has to leave before
    /// `latest`: at once, or at the end of the quiet hours that it is in.
    pub fn send_at(self, zone: Tz, now: DateTime<Utc>, latest: DateTime<Utc>) -> DateTime<Utc> {
        self.end(zone, now).filter(|end| *end < latest).unwrap_or(now)
    }

    /// When the quiet hours are over that it is in at `now`, if it is in any. Always after `now`.
    fn end(self, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = now.with_timezone(&zone).naive_local();
        let minute = u16::try_from(wall.hour() * 60 + wall.minute()).ok()?;
        if !self.holds(minute) {
            return None;
        }
        let today = wall.date();
        let day = if minute < self.until { today } else { today.succ_opt()? };
        let until = u32::from(self.until);
        let end = day.and_hms_opt(until / 60, until % 60, 0)?;
        at_wall(zone, end).into_iter().find(|end| now < *end)
    }
}

/// The instants at which clocks in `zone` show `wall`, in order. Where they skip it, the first one
/// after it that they show.
fn at_wall(zone: Tz, wall: NaiveDateTime) -> Vec<DateTime<Utc>> {
    /// No clock was ever put forward by more: a whole day, and the hour of a summer.
    const LONGEST_SKIP: i64 = 26 * 60;
    for minutes in 0..=LONGEST_SKIP {
        match zone.from_local_datetime(&(wall + TimeDelta::minutes(minutes))) {
            MappedLocalTime::Single(at) => return vec![at.to_utc()],
            MappedLocalTime::Ambiguous(first, second) => {
                return vec![first.to_utc(), second.to_utc()];
            }
            MappedLocalTime::None => {}
        }
    }
    Vec::new()
}

/// Before when a notice of `stage` has to leave that may wait for the end of quiet hours; `None`: it
/// does not wait. It speaks of the instant `about`; `window_ends_at` is when the key can no longer be
/// brought back.
///
/// Early reminders wait, reviews, receipts, warnings, a sooner end, and the news of an expiry while
/// its window has more than a day. Everything else may be somebody else's doing, or is late already.
pub fn waits_until(
    stage: Stage,
    policy: &Policy,
    about: Option<DateTime<Utc>>,
    window_ends_at: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    match stage {
        Stage::Expiring { .. } => about.filter(|_| is_early(stage, policy)),
        Stage::Shortened | Stage::Unused => about,
        Stage::Expired => window_ends_at.map(|end| end - LAST_DAY),
        Stage::ReviewDue | Stage::Purged => Some(DateTime::<Utc>::MAX_UTC),
        Stage::Closing
        | Stage::Created
        | Stage::Rotated
        | Stage::LinkAsked
        | Stage::OtpReset
        | Stage::Suspended
        | Stage::SuspendedContacts
        | Stage::SuspendedUnused => None,
    }
}

impl FromStr for QuietHours {
    type Err = NoQuietHours;

    fn from_str(text: &str) -> Result<Self, NoQuietHours> {
        let time = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let is_written =
                |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            let (hours, minutes) = Some((hours, minutes))
                .filter(|(hours, minutes)| is_written(hours) && is_written(minutes))?;
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let times =
            text.split_once('-').and_then(|(from, until)| Some((time(from)?, time(until)?)));
        match times {
            Some((from, until)) if from != until => Ok(Self { from, until }),
            _ => Err(NoQuietHours(text.to_owned())),
        }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        let text = format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60);
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{identity::KeyKind, policy::PolicyFields};

    const FAR: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

    fn hours(text: &str) -> QuietHours {
        text.parse().unwrap()
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// When a mail leaves that is made then, as a text.
    fn leaves(quiet: &str, zone: Tz, now: &str) -> String {
        let at = hours(quiet).send_at(zone, utc(now), FAR);
        at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for text in ["22:00-07:00", "00:00-23:59", "12:30-12:29"] {
            assert_eq!(hours(text).to_string(), text);
        }
        for text in [
            "",
            "none",
            "22-7",
            "22:00-22:00",
            "24:00-07:00",
            "22:60-07:00",
            "2:00-7:00",
            "22:00-07:00 ",
            "+2:00-07:00",
            "22:00",
            "22:00-07:00-09:00",
        ] {
            assert!(text.parse::<QuietHours>().is_err(), "{text}");
        }
    }

    #[test]
    fn hours_over_midnight_end_in_the_morning_to_the_second() {
        let check = |now, at| assert_eq!(leaves("22:00-07:00", Tz::UTC, now), at, "{now}");
        check("2026-05-04T21:59:59Z", "2026-05-04T21:59:59Z");
        check("2026-05-04T22:00:00Z", "2026-05-05T07:00:00Z");
        check("2026-05-04T23:59:59Z", "2026-05-05T07:00:00Z");
        check("2026-05-05T00:00:00Z", "2026-05-05T07:00:00Z");
        check("2026-05-05T06:59:59Z", "2026-05-05T07:00:00Z");
        check("2026-05-05T07:00:00Z", "2026-05-05T07:00:00Z");
        // Within one day.
        assert_eq!(leaves("12:00-13:30", Tz::UTC, "2026-05-04T12:10:00Z"), "2026-05-04T13:30:00Z");
        assert_eq!(leaves("12:00-13:30", Tz::UTC, "2026-05-04T13:30:00Z"), "2026-05-04T13:30:00Z");
        // To midnight.
        assert_eq!(leaves("20:00-00:00", Tz::UTC, "2026-05-04T20:00:00Z"), "2026-05-05T00:00:00Z");
        assert_eq!(leaves("20:00-00:00", Tz::UTC, "2026-05-05T00:00:00Z"), "2026-05-05T00:00:00Z");
    }

    #[test]
    fn they_are_the_owners_hours_in_summer_and_winter() {
        let berlin = |now| leaves("22:00-07:00", Tz::Europe__Berlin, now);
        assert_eq!(berlin("2026-01-10T21:30:00Z"), "2026-01-11T06:00:00Z");
        assert_eq!(berlin("2026-07-10T21:30:00Z"), "2026-07-11T05:00:00Z");
        // The nights in which the clock is put forward, and back.
        assert_eq!(berlin("2026-03-28T22:30:00Z"), "2026-03-29T05:00:00Z");
        assert_eq!(berlin("2026-10-24T22:30:00Z"), "2026-10-25T06:00:00Z");
    }

    #[test]
    fn an_end_that_no_clock_shows_is_the_first_instant_after_it() {
        // At 2 o'clock it is 3 o'clock.
        let berlin = |now| leaves("22:00-02:30", Tz::Europe__Berlin, now);
        assert_eq!(berlin("2026-03-29T00:30:00Z"), "2026-03-29T01:00:00Z");
        // On Samoa, a whole day was left out.
        let apia = |now| leaves("22:00-07:00", Tz::Pacific__Apia, now);
        assert_eq!(apia("2011-12-30T09:00:00Z"), "2011-12-30T10:00:00Z");
    }

    #[test]
    fn an_end_that_clocks_show_twice_is_the_one_that_lies_ahead() {
        // At 3 o'clock it is 2 o'clock again.
        let berlin = |now| leaves("22:00-02:30", Tz::Europe__Berlin, now);
        assert_eq!(berlin("2026-10-25T00:10:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(berlin("2026-10-25T00:40:00Z"), "2026-10-25T00:40:00Z");
        assert_eq!(berlin("2026-10-25T01:10:00Z"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn nothing_waits_past_what_it_speaks_of() {
        let now = utc("2026-05-04T23:00:00Z");
        let end = utc("2026-05-05T07:00:00Z");
        let by = |latest| hours("22:00-07:00").send_at(Tz::UTC, now, latest);
        assert_eq!(by(end + TimeDelta::seconds(1)), end);
        assert_eq!(by(end), now, "at the end of the hours it would say nothing new");
        assert_eq!(by(now - TimeDelta::days(1)), now, "it is late already");
    }

    #[test]
    fn hours_are_within_hours() {
        let is_within = |one: &str, other: &str| hours(one).is_within(hours(other));
        assert!(is_within("23:00-06:00", "22:00-07:00"));
        assert!(is_within("22:00-07:00", "22:00-07:00"));
        assert!(is_within("01:00-02:00", "22:00-07:00"));
        assert!(!is_within("21:59-07:00", "22:00-07:00"));
        assert!(!is_within("22:00-07:01", "22:00-07:00"));
        assert!(!is_within("07:00-22:00", "22:00-07:00"));
    }

    #[test]
    fn what_is_urgent_does_not_wait_and_the_rest_as_long_as_it_is_true() {
        let policy = Policy::new(KeyKind::User, PolicyFields::default()).unwrap();
        let (about, window) =
            (Some(utc("2026-05-04T12:00:00Z")), Some(utc("2026-05-11T12:00:00Z")));
        let until = |stage| waits_until(stage, &policy, about, window);
        for stage in [
            Stage::Expiring { days: 30 },
            Stage::Expiring { days: 7 },
            Stage::Shortened,
            Stage::Unused,
        ] {
            assert_eq!(until(stage), about, "{stage}");
        }
        assert_eq!(
            until(Stage::Expired),
            Some(utc("2026-05-10T12:00:00Z")),
            "but for the last day"
        );
        assert_eq!(waits_until(Stage::Expired, &policy, about, None), None, "there is no window");
        for stage in [Stage::ReviewDue, Stage::Purged] {
            assert_eq!(until(stage), Some(FAR), "{stage}");
        }
        for stage in [
            Stage::Expiring { days: 1 },
            Stage::Closing,
            Stage::Created,
            Stage::Rotated,
            Stage::LinkAsked,
            Stage::OtpReset,
            Stage::Suspended,
            Stage::SuspendedContacts,
            Stage::SuspendedUnused,
        ] {
            assert_eq!(until(stage), None, "{stage}");
        }
    }

    proptest! {
        #[test]
        fn a_mail_leaves_at_once_or_at_the_end_and_never_too_late(
            (from, until) in (0..DAY, 0..DAY).prop_filter("different", |(from, until)| from != until),
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            second in 1_000_000_000_i64..2_200_000_000,
            ahead in -100_000_i64..200_000,
        ) {
            let quiet = QuietHours { from, until };
            let now = DateTime::from_timestamp(second, 0).unwrap();
            let latest = now + TimeDelta::seconds(ahead);
            let at = quiet.send_at(zone, now, latest);
            prop_assert!(now <= at && at <= now + TimeDelta::hours(50), "{at}");
            if now < at {
                prop_assert!(at < latest);
                // By the clock on the wall it is the end, or that was skipped this very second.
                let wall = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
                let (now, before) = (wall(at), wall(at - TimeDelta::seconds(1)));
                let minute = u16::try_from(now.hour() * 60 + now.minute()).unwrap();
                prop_assert!(minute == until || TimeDelta::seconds(1) < now - before, "{now}");
            }
        }
    }
}

//! English that needs a calculation: dates, distances in time, and the labels of facts.
//!
//! Sentences are in `text/`. Together the two are all the English in a mail: another language is
//! another folder and another file like this one.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::domain::identity::KeyKind;

/// Days without use from which a mail suggests to let the key go.
pub const UNUSED_DAYS: i64 = 90;

/// The labels of what is told about a key.
pub mod label {
    /// The name its owner gave the key.
    pub const NAME: &str = "Key";
    /// What people call the key in commands.
    pub const ID: &str = "ID";
    /// Tenant and environment.
    pub const PLACE: &str = "Where";
    /// What the key is for.
    pub const KIND: &str = "Kind";
    /// When it was made.
    pub const CREATED: &str = "Created";
    /// When it was last seen in use.
    pub const LAST_USED: &str = "Last used";
    /// A future end.
    pub const EXPIRES: &str = "Expires";
    /// A past end.
    pub const EXPIRED: &str = "Expired";
    /// How many keys the brake holds back.
    pub const HELD_BACK: &str = "Keys held back";
    /// Since when it does.
    pub const SINCE: &str = "Since";
    /// Why it does.
    pub const REASON: &str = "Because";
    /// The end of an open window, or of the one to come.
    pub const BACK: &str = "Can be brought back";
}

/// The value of [`label::BACK`], from the words for an instant.
pub fn until(instant: &str) -> String {
    format!("until {instant}")
}

/// The value of a fact that there is no instant for.
pub const NEVER: &str = "never";

/// What stands for an instant that should be known and is not: a mail with this gap is better
/// than none.
pub const UNKNOWN_DATE: &str = "a date not known";

/// How far ahead such an instant is.
pub const SOON: &str = "soon";

/// A name for a key or an owner that has none.
pub const NO_NAME: &str = "(no name)";

/// Whose keys they are, at the beginning of a sentence and within one: "Your API key", "3 of their
/// API keys".
pub const fn whose(is_owner: bool) -> (&'static str, &'static str) {
    if is_owner { ("Your", "your") } else { ("The", "their") }
}

/// What a key is, in two words.
pub const fn kind(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::User => "user key",
        KeyKind::Application => "application key",
        KeyKind::Service => "service token",
    }
}

/// Tenant and environment in one phrase.
pub fn place(tenant: &str, environment: &str) -> String {
    match (tenant.is_empty(), environment.is_empty()) {
        (_, true) => tenant.to_owned(),
        (true, _) => environment.to_owned(),
        _ => format!("{tenant} / {environment}"),
    }
}

/// An instant as its reader sees it: from `now`, in a time zone.
///
/// Dates, and times and their zones, are held together by no-break spaces.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The instant.
    pub at: DateTime<Utc>,
    /// When the mail is written.
    pub now: DateTime<Utc>,
    /// Where its reader is.
    pub zone: Tz,
}

impl Moment {
    /// Whether it lies behind the reader.
    pub fn is_past(self) -> bool {
        self.at <= self.now
    }

    /// Whether it is today or tomorrow.
    pub fn is_near(self) -> bool {
        self.midnights() <= 1
    }

    /// How far ahead it is: "today" and "tomorrow" by the reader's calendar, else "in 7 days",
    /// counting a day begun as a whole one. An instant just missed comes "at any moment".
    pub fn ahead(self) -> String {
        if self.is_past() {
            return "at any moment".to_owned();
        }
        match self.midnights() {
            0 => "today".to_owned(),
            1 => "tomorrow".to_owned(),
            _ => format!("in {} days", days_begun(self.at - self.now)),
        }
    }

    /// How long ago it was by the reader's calendar: "today", "yesterday", "3 days ago". A clock
    /// that runs ahead does not make the past the future.
    pub fn ago(self) -> String {
        match -self.midnights() {
            ..=0 => "today".to_owned(),
            1 => "yesterday".to_owned(),
            days => format!("{days} days ago"),
        }
    }

    /// The reader's date, like "30 Nov 2026".
    pub fn day(self) -> String {
        self.at.with_timezone(&self.zone).format("%-d\u{a0}%b\u{a0}%Y").to_string()
    }

    /// The reader's date and time with the zone's letters, like "Mon 30 Nov 2026, 10:00 CET".
    pub fn local(self) -> String {
        if self.is_utc() {
            return format!("{}, {}", self.weekday(), self.clock());
        }
        let local = self.at.with_timezone(&self.zone);
        // Zones without letters of their own are called by their distance, like "+03".
        let letters = local.format("%Z").to_string();
        let prefix = if letters.starts_with(['+', '-']) { "UTC" } else { "" };
        format!("{}, {}\u{a0}{prefix}{letters}", self.weekday(), local.format("%H:%M"))
    }

    /// Date and time for the reader, and the exact time in UTC beside it unless that is the same;
    /// with its date if Greenwich has another one.
    pub fn full(self) -> String {
        if self.is_utc() {
            return self.local();
        }
        let is_same_date = self.at.with_timezone(&self.zone).date_naive() == self.at.date_naive();
        let date = if is_same_date { "" } else { "%-d\u{a0}%b\u{a0}%Y,\u{a0}" };
        format!("{} ({}{})", self.local(), self.at.format(date), self.clock())
    }

    /// The exact time of day in UTC. Seconds are shown where there are any.
    fn clock(self) -> String {
        let is_full_minute = self.at.timestamp() % 60 == 0;
        self.at
            .format(if is_full_minute { "%H:%M\u{a0}UTC" } else { "%H:%M:%S\u{a0}UTC" })
            .to_string()
    }

    fn weekday(self) -> String {
        self.at.with_timezone(&self.zone).format("%a\u{a0}%-d\u{a0}%b\u{a0}%Y").to_string()
    }

    fn is_utc(self) -> bool {
        matches!(self.zone, Tz::UTC | Tz::Etc__UTC)
    }

    /// Midnights between now and then, as the reader's calendar has them.
    fn midnights(self) -> i64 {
        let date = |at: DateTime<Utc>| -> NaiveDate { at.with_timezone(&self.zone).date_naive() };
        (date(self.at) - date(self.now)).num_days()
    }
}

/// Days in `time`, a day begun counting as a whole one.
fn days_begun(time: TimeDelta) -> i64 {
    let day = TimeDelta::days(1).num_milliseconds();
    (time.num_milliseconds() + day - 1).div_euclid(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: &str, now: &str, zone: Tz) -> Moment {
        Moment { at: at.parse().unwrap(), now: now.parse().unwrap(), zone }
    }

    #[test]
    fn days_ahead_are_rounded_up() {
        for (at, now, words) in [
            ("2026-11-30T09:00:00Z", "2026-11-23T09:00:00Z", "in 7 days"),
            ("2026-11-30T09:00:00Z", "2026-11-23T09:00:01Z", "in 7 days"),
            ("2026-11-30T09:00:00Z", "2026-11-23T08:59:59Z", "in 8 days"),
            ("2026-11-30T09:00:00Z", "2026-11-24T09:00:00Z", "in 6 days"),
            // By the calendar from here on.
            ("2026-11-30T09:00:00Z", "2026-11-28T23:59:59Z", "in 2 days"),
            ("2026-11-30T23:59:59Z", "2026-11-29T00:00:00Z", "tomorrow"),
            ("2026-11-30T00:00:00Z", "2026-11-29T23:59:59Z", "tomorrow"),
            ("2026-11-30T23:59:59Z", "2026-11-30T00:00:00Z", "today"),
            ("2026-11-30T09:00:00Z", "2026-11-30T08:59:59Z", "today"),
            ("2026-11-30T09:00:00Z", "2026-11-30T09:00:00Z", "at any moment"),
            ("2026-11-30T09:00:00Z", "2026-12-30T09:00:00Z", "at any moment"),
        ] {
            assert_eq!(moment(at, now, Tz::UTC).ahead(), words, "{at} from {now}");
        }
    }

    #[test]
    fn today_and_tomorrow_are_the_readers() {
        let (at, now) = ("2026-11-30T23:30:00Z", "2026-11-30T22:00:00Z");
        assert_eq!(moment(at, now, Tz::UTC).ahead(), "today");
        assert_eq!(moment(at, now, Tz::Asia__Tokyo).ahead(), "today");
        assert_eq!(moment(at, now, Tz::Europe__Berlin).ahead(), "tomorrow");
    }

    #[test]
    fn days_ago_are_the_calendars() {
        for (at, now, words) in [
            ("2026-11-30T09:00:00Z", "2026-11-30T09:00:00Z", "today"),
            ("2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z", "yesterday"),
            ("2026-11-29T23:59:59Z", "2026-12-01T00:00:00Z", "2 days ago"),
            ("2026-12-05T00:00:00Z", "2026-12-01T00:00:00Z", "today"),
        ] {
            assert_eq!(moment(at, now, Tz::UTC).ago(), words, "{at} from {now}");
        }
    }

    #[test]
    fn a_time_is_local_and_exact() {
        let now = "2026-01-01T00:00:00Z";
        for (at, zone, words) in [
            ("2026-11-30T09:00:00Z", Tz::UTC, "Mon 30 Nov 2026, 09:00 UTC"),
            ("2026-11-30T09:00:17Z", Tz::UTC, "Mon 30 Nov 2026, 09:00:17 UTC"),
            (
                "2026-11-30T09:00:17Z",
                Tz::Europe__Berlin,
                "Mon 30 Nov 2026, 10:00 CET (09:00:17 UTC)",
            ),
            // An hour apart in UTC, and the same on the wall: the clocks went back.
            ("2026-10-25T00:30:00Z", Tz::Europe__Berlin, "Sun 25 Oct 2026, 02:30 CEST (00:30 UTC)"),
            ("2026-10-25T01:30:00Z", Tz::Europe__Berlin, "Sun 25 Oct 2026, 02:30 CET (01:30 UTC)"),
            (
                "2026-11-30T23:00:00Z",
                Tz::America__Sao_Paulo,
                "Mon 30 Nov 2026, 20:00 UTC-03 (23:00 UTC)",
            ),
            (
                "2026-11-30T20:00:00Z",
                Tz::Asia__Kolkata,
                "Tue 1 Dec 2026, 01:30 IST (30 Nov 2026, 20:00 UTC)",
            ),
        ] {
            assert_eq!(moment(at, now, zone).full().replace('\u{a0}', " "), words);
        }
    }

    #[test]
    fn a_place_has_one_half_or_both() {
        assert_eq!(place("acme", "production"), "acme / production");
        assert_eq!(place("acme", ""), "acme");
        assert_eq!(place("", "production"), "production");
    }
}

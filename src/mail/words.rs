//! Words that need a calculation, or stand alone: dates, distances in time, the labels of facts.
//!
//! Sentences are in `text/`. Together the two are all the words in a mail: another language is
//! another folder there and another file here.

use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::domain::{identity::KeyKind, language::Language};

mod english;
mod german;

/// Days without use from which a mail suggests to let the key go.
pub const UNUSED_DAYS: i64 = 90;

/// The labels of what is told about a brake, to those who run the installation: in English.
pub mod label {
    /// How many keys the brake holds back.
    pub const HELD_BACK: &str = "Keys held back";
    /// Since when it does.
    pub const SINCE: &str = "Since";
    /// Why it does.
    pub const REASON: &str = "Because";
}

/// The words of one language.
#[derive(Debug)]
pub struct Words {
    /// The labels of what is told about a key.
    pub labels: Labels,
    /// What a key is: a user's, an application's, a service's.
    kinds: [&'static str; 3],
    /// What stands before the end of a window.
    until: &'static str,
    /// The value of a fact that there is no instant for.
    pub never: &'static str,
    /// What stands for an instant that should be known and is not: a mail with this gap is better
    /// than none.
    pub unknown_date: &'static str,
    /// How far ahead such an instant is.
    pub soon: &'static str,
    /// A name for a key or an owner that has none.
    pub no_name: &'static str,
    /// The reader, whom something was made for.
    pub you: &'static str,
    of_owner: (&'static str, &'static str),
    of_others: (&'static str, &'static str),
    /// Why an owner cannot be reached whose address is none.
    pub not_an_address: &'static str,
    at_any_moment: &'static str,
    today: &'static str,
    tomorrow: &'static str,
    yesterday: &'static str,
    days_ahead: (&'static str, &'static str),
    days_ago: (&'static str, &'static str),
    /// From Monday on.
    weekdays: [&'static str; 7],
    /// A date, for chrono.
    date: &'static str,
    /// What stands round a key's name as an entry of a calendar.
    entry: (&'static str, &'static str),
    /// What stands before its id there, and between that and its place.
    entry_of: (&'static str, &'static str),
}

/// The labels of what is told about a key.
#[derive(Debug)]
pub struct Labels {
    /// The name its owner gave the key.
    pub name: &'static str,
    /// What people call the key in commands.
    pub id: &'static str,
    /// Tenant and environment.
    pub place: &'static str,
    /// What the key is for.
    pub kind: &'static str,
    /// When it was made.
    pub created: &'static str,
    /// When it was last seen in use.
    pub last_used: &'static str,
    /// A future end.
    pub expires: &'static str,
    /// A past end.
    pub expired: &'static str,
    /// The end of an open window, or of the one to come.
    pub back: &'static str,
}

impl Words {
    /// The words of `language`.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &english::ENGLISH,
            Language::German => &german::GERMAN,
        }
    }

    /// The value of [`Labels::back`], from the words for an instant.
    pub fn until(&self, instant: &str) -> String {
        format!("{} {instant}", self.until)
    }

    /// Whose keys they are, at the beginning of a sentence and within one: "Your API key", "3 of
    /// their API keys".
    pub const fn whose(&self, is_owner: bool) -> (&'static str, &'static str) {
        if is_owner { self.of_owner } else { self.of_others }
    }

    /// What a key is, in two words.
    pub const fn kind(&self, kind: KeyKind) -> &'static str {
        match kind {
            KeyKind::User => self.kinds[0],
            KeyKind::Application => self.kinds[1],
            KeyKind::Service => self.kinds[2],
        }
    }

    /// What a calendar says of a key's end: a line, and a second one with its id and its place.
    pub fn entry(&self, name: &str, id: &str, place: &str) -> (String, String) {
        let (before, after) = self.entry;
        let (key, of) = self.entry_of;
        (format!("{before}{name}{after}"), format!("{key}{id}{of}{place}"))
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
    /// What its reader reads.
    pub language: Language,
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
        let words = self.words();
        if self.is_past() {
            return words.at_any_moment.to_owned();
        }
        let (before, after) = words.days_ahead;
        match self.midnights() {
            0 => words.today.to_owned(),
            1 => words.tomorrow.to_owned(),
            _ => format!("{before}{}{after}", days_begun(self.at - self.now)),
        }
    }

    /// How long ago it was by the reader's calendar: "today", "yesterday", "3 days ago". A clock
    /// that runs ahead does not make the past the future.
    pub fn ago(self) -> String {
        let words = self.words();
        let (before, after) = words.days_ago;
        match -self.midnights() {
            ..=0 => words.today.to_owned(),
            1 => words.yesterday.to_owned(),
            days => format!("{before}{days}{after}"),
        }
    }

    /// The reader's date, like "30 Nov 2026" or "30.11.2026".
    pub fn day(self) -> String {
        self.at.with_timezone(&self.zone).format(self.words().date).to_string()
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
        let date = if is_same_date { "" } else { self.words().date };
        let comma = if is_same_date { "" } else { ",\u{a0}" };
        format!("{} ({}{comma}{})", self.local(), self.at.format(date), self.clock())
    }

    /// The exact time of day in UTC. Seconds are shown where there are any.
    fn clock(self) -> String {
        let is_full_minute = self.at.timestamp() % 60 == 0;
        self.at
            .format(if is_full_minute { "%H:%M\u{a0}UTC" } else { "%H:%M:%S\u{a0}UTC" })
            .to_string()
    }

    fn weekday(self) -> String {
        let local = self.at.with_timezone(&self.zone);
        let weekday = local.weekday().num_days_from_monday();
        let weekday = usize::try_from(weekday).ok().and_then(|n| self.words().weekdays.get(n));
        format!("{}\u{a0}{}", weekday.unwrap_or(&""), self.day())
    }

    fn words(self) -> &'static Words {
        Words::of(self.language)
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
        let language = Language::English;
        Moment { at: at.parse().unwrap(), now: now.parse().unwrap(), zone, language }
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
    fn a_german_reads_german_dates() {
        let of = |at: &str, zone| Moment {
            language: Language::German,
            ..moment(at, "2026-11-30T08:00:00Z", zone)
        };
        let (berlin, utc) = (Tz::Europe__Berlin, Tz::UTC);
        let plain = |text: String| text.replace('\u{a0}', " ");
        assert_eq!(plain(of("2026-12-06T09:00:00Z", utc).full()), "So 06.12.2026, 09:00 UTC");
        assert_eq!(
            plain(of("2026-11-30T23:30:17Z", berlin).full()),
            "Di 01.12.2026, 00:30 CET (30.11.2026, 23:30:17 UTC)"
        );
        assert_eq!(of("2026-12-07T08:00:00Z", berlin).ahead(), "in 7 Tagen");
        assert_eq!(of("2026-12-01T08:00:00Z", berlin).ahead(), "morgen");
        assert_eq!(of("2026-11-30T08:00:00Z", berlin).ahead(), "jeden Augenblick");
        assert_eq!(of("2026-11-29T08:00:00Z", berlin).ago(), "gestern");
        assert_eq!(of("2026-11-27T08:00:00Z", berlin).ago(), "vor 3 Tagen");
    }

    #[test]
    fn a_place_has_one_half_or_both() {
        assert_eq!(place("acme", "production"), "acme / production");
        assert_eq!(place("acme", ""), "acme");
        assert_eq!(place("", "production"), "production");
    }
}

//! Times as people type and read them.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// Reads `2026-11-30` (midnight UTC) or RFC 3339.
///
/// # Errors
/// What would be right.
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let day = |text| NaiveDate::parse_from_str(text, "%Y-%m-%d");
    let at = match day(text) {
        Ok(day) => day.and_time(NaiveTime::MIN).and_utc(),
        Err(_) => DateTime::parse_from_rfc3339(text)
            .map_err(|_| {
                "a date is written 2026-11-30 (midnight UTC), or 2026-11-30T12:00:00Z".to_owned()
            })?
            .to_utc(),
    };
    // What is stored has milliseconds, and four digits for the year.
    let at = DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at);
    if (1970..=9999).contains(&chrono::Datelike::year(&at)) {
        Ok(at)
    } else {
        Err("a date lies between the years 1970 and 9999".to_owned())
    }
}

/// An instant, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    At(DateTime<Utc>),
    Never,
}

impl End {
    pub(super) fn at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::At(at) => Some(at),
            Self::Never => None,
        }
    }
}

/// Reads an instant, or `never`.
///
/// # Errors
/// What would be right.
pub(super) fn end(text: &str) -> Result<End, String> {
    match text {
        "never" => Ok(End::Never),
        text => instant(text).map(End::At).map_err(|error| format!("{error}; or `never`")),
    }
}

/// A point in time seen from now: `30d`, or a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Horizon {
    In(TimeDelta),
    At(DateTime<Utc>),
}

impl Horizon {
    pub(super) fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::In(period) => crate::domain::plan::until(now, period),
            Self::At(at) => at,
        }
    }
}

/// Reads a period such as `30d` or `12h`, or a date.
///
/// # Errors
/// What would be right.
pub(super) fn horizon(text: &str) -> Result<Horizon, String> {
    if let Ok(at) = instant(text) {
        return Ok(Horizon::At(at));
    }
    let period = humantime::parse_duration(text).ok().and_then(|p| TimeDelta::from_std(p).ok());
    period
        .map(Horizon::In)
        .ok_or_else(|| "a period is written 30d or 12h, a date 2026-11-30".to_owned())
}

/// `2026-11-30 12:00 UTC (in 7 days)`.
pub(super) fn show(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({})", at.format("%Y-%m-%d %H:%M UTC"), relative(at, now))
}

/// As [`show`], or `never`.
pub(super) fn show_end(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| show(at, now))
}

/// As [`show`], or `absent`.
pub(super) fn show_past(at: Option<DateTime<Utc>>, now: DateTime<Utc>, absent: &str) -> String {
    at.map_or_else(|| absent.to_owned(), |at| show(at, now))
}

/// `in 7 days`, `3 hours ago`. What lies ahead is rounded up, so that the last day is no
/// "0 days"; what is past is rounded down.
fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let (ahead, length) = if at >= now { (true, at - now) } else { (false, now - at) };
    let units = [
        (TimeDelta::days(1), "day"),
        (TimeDelta::hours(1), "hour"),
        (TimeDelta::minutes(1), "minute"),
    ];
    // A unit is used from two of it on: 30 hours are told as hours.
    let unit = units.iter().find(|(unit, _)| length >= *unit * 2);
    let (unit, word) = match unit {
        Some(unit) => *unit,
        None if length < TimeDelta::minutes(1) => return "now".to_owned(),
        None => units[2],
    };
    let (length, unit) = (length.num_milliseconds(), unit.num_milliseconds());
    let n = if ahead { (length + unit - 1) / unit } else { length / unit };
    let plural = if n == 1 { "" } else { "s" };
    if ahead { format!("in {n} {word}{plural}") } else { format!("{n} {word}{plural} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        instant("2026-11-23T12:00:00Z").unwrap()
    }

    #[test]
    fn a_date_is_midnight_in_utc() {
        assert_eq!(instant("2026-11-23").unwrap().to_rfc3339(), "2026-11-23T00:00:00+00:00");
        assert_eq!(instant("2026-11-23T14:00:00+02:00").unwrap(), noon());
        for wrong in ["", "23.11.2026", "2026-13-01", "2026-11-23 12:00", "1969-12-31", "never"] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
        assert_eq!(end("never").unwrap(), End::Never);
    }

    #[test]
    fn a_horizon_is_a_period_or_a_date() {
        assert_eq!(horizon("30d").unwrap().from(noon()), noon() + TimeDelta::days(30));
        assert_eq!(horizon("2026-11-24").unwrap(), Horizon::At(instant("2026-11-24").unwrap()));
        assert!(horizon("soon").is_err());
    }

    #[test]
    fn what_lies_ahead_is_rounded_up_and_what_is_past_down() {
        let second = TimeDelta::seconds(1);
        for (ahead, text) in [
            (TimeDelta::zero(), "now"),
            (second * 59, "now"),
            (second * 61, "in 2 minutes"),
            (TimeDelta::hours(30), "in 30 hours"),
            (TimeDelta::days(7) - second, "in 7 days"),
            (TimeDelta::days(7), "in 7 days"),
            (TimeDelta::days(7) + second, "in 8 days"),
            (-TimeDelta::minutes(1), "1 minute ago"),
            (-TimeDelta::hours(3) - second, "3 hours ago"),
            (-TimeDelta::days(3) + second, "2 days ago"),
        ] {
            assert_eq!(relative(noon() + ahead, noon()), text);
        }
        assert_eq!(show(noon() + TimeDelta::days(7), noon()), "2026-11-30 12:00 UTC (in 7 days)");
    }
}

//! The ends of keys for a calendar (RFC 5545): one entry for each key, with a name that stays, so
//! that a later mail about the key moves the entry instead of adding another.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::mail::{
    address::clean_name,
    digest::{Digest, Item, Topic},
    words::Words,
};

/// The most bytes of a line, without its end (RFC 5545, section 3.1).
const MAX_LINE: usize = 75;

/// The entries of the keys in `digest` whose end lies ahead of their owner at `now`; `None` if
/// there are none. `domain` is that of the names of threads.
pub(super) fn calendar(digest: &Digest, domain: &str, now: DateTime<Utc>) -> Option<String> {
    let ahead = |topic: Topic| {
        matches!(
            topic,
            Topic::Expiring | Topic::Ending | Topic::Shortened | Topic::Rotated | Topic::Created
        )
    };
    let items = digest.by_urgency(now);
    let ends: Vec<(&Item, DateTime<Utc>)> = items
        .into_iter()
        .filter(|(topic, _)| ahead(*topic))
        .filter_map(|(_, item)| Some((item, item.expires_at.filter(|end| now < *end)?)))
        .collect();
    if ends.is_empty() {
        return None;
    }
    let mut text = String::new();
    let mut line = |line: &str| fold(&mut text, line);
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line(&format!("PRODID:-//lapsed//keys//{}", digest.language.tag().to_uppercase()));
    line("METHOD:PUBLISH");
    for (item, end) in ends {
        line("BEGIN:VEVENT");
        line(&format!("UID:key.{}@{domain}", item.public_id));
        // Which of two entries is the newer: minutes go up, and fit for four thousand years.
        line(&format!("SEQUENCE:{}", now.timestamp() / 60));
        line(&format!("DTSTAMP:{}", instant(now)));
        line(&format!("DTSTART:{}", instant(end)));
        let place = format!("{} / {}", clean_name(&item.tenant), clean_name(&item.environment));
        let words = Words::of(digest.language);
        let (summary, description) =
            words.entry(&clean_name(&item.name), item.public_id.as_str(), &place);
        line(&format!("SUMMARY:{}", escaped(&summary)));
        line(&format!("DESCRIPTION:{}", escaped(&description)));
        // It takes no time of the day.
        line("TRANSP:TRANSPARENT");
        line("END:VEVENT");
    }
    line("END:VCALENDAR");
    Some(text)
}

fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

/// Text as a value (RFC 5545, section 3.3.11).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '\\' | ';' | ',') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

/// Adds a line to `text`, cut into pieces that every calendar takes, never within a character.
fn fold(text: &mut String, line: &str) {
    let mut room = MAX_LINE;
    for char in line.chars() {
        if char.len_utf8() > room {
            text.push_str("\r\n ");
            room = MAX_LINE - 1;
        }
        room -= char.len_utf8();
        text.push(char);
    }
    // A `String` takes whatever is written to it.
    let _ = text.write_str("\r\n");
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{domain::language::Language, mail::preview};

    fn now() -> DateTime<Utc> {
        "2026-11-23T09:00:00Z".parse().unwrap()
    }

    fn value<'a>(calendar: &'a str, name: &str) -> Vec<&'a str> {
        let start = format!("{name}:");
        calendar.lines().filter_map(|line| line.strip_prefix(start.as_str())).collect()
    }

    #[test]
    fn a_rotation_moves_the_entry_that_a_reminder_made() {
        let reminder = preview::sample(Topic::Expiring, 1, now());
        let mut rotated = preview::sample(Topic::Rotated, 1, now());
        rotated.items[0].public_id = reminder.items[0].public_id;
        let later = now() + TimeDelta::days(1);
        let end = later + TimeDelta::days(90);
        rotated.items[0].expires_at = Some(end);
        let (old, new) = (
            calendar(&reminder, "acme.example", now()).unwrap(),
            calendar(&rotated, "acme.example", later).unwrap(),
        );
        assert_eq!(value(&old, "UID"), value(&new, "UID"));
        assert_eq!(value(&old, "UID").len(), 1);
        let sequence = |text: &str| value(text, "SEQUENCE")[0].parse::<u32>().unwrap();
        assert!(sequence(&old) < sequence(&new));
        assert_eq!(value(&new, "DTSTART"), [instant(end)]);
    }

    #[test]
    fn an_entry_is_in_its_readers_language() {
        let digest = preview::sample(Topic::Expiring, 1, now());
        let digest = Digest { language: Language::German, ..digest };
        let calendar = calendar(&digest, "acme.example", now()).unwrap();
        assert_eq!(value(&calendar, "SUMMARY"), ["API-Schlüssel billing-sync läuft ab"]);
        let what = value(&calendar, "DESCRIPTION")[0];
        assert!(
            what.starts_with("Schlüssel ") && what.ends_with("von acme / production"),
            "{what}"
        );
        assert_eq!(value(&calendar, "PRODID"), ["-//lapsed//keys//DE"]);
    }

    #[test]
    fn a_name_is_text_and_a_line_is_short() {
        let mut digest = preview::sample(Topic::Expiring, 1, now());
        digest.items[0].name = format!("a;b,c\\d\r\nEND:VEVENT {}", "ключ ".repeat(40));
        let calendar = calendar(&digest, "acme.example", now()).unwrap();
        assert!(calendar.split("\r\n").all(|line| line.len() <= MAX_LINE), "{calendar}");
        assert!(!calendar.replace("\r\n", "").contains('\n'));
        let whole = calendar.replace("\r\n ", "");
        assert!(whole.contains(r"SUMMARY:API key a\;b\,c\\d"), "{whole}");
        assert_eq!(value(&whole, "END"), ["VEVENT", "VCALENDAR"]);
    }

    #[test]
    fn what_has_ended_or_never_ends_is_in_no_calendar() {
        for topic in [Topic::Expired, Topic::Closing, Topic::Purged, Topic::Review] {
            assert_eq!(calendar(&preview::sample(topic, 2, now()), "a.example", now()), None);
        }
        let late = now() + TimeDelta::days(400);
        let digest = preview::sample(Topic::Expiring, 2, now());
        assert_eq!(calendar(&digest, "a.example", late), None);
    }
}

//! Sample mails: for `lapsed mail preview`, for checking an operator's templates, and for tests.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::{
    domain::{
        brake::Destruction,
        identity::{KeyKind, PublicId},
        language::Language,
        stage::Stage,
    },
    mail::{
        alarm::Alarm,
        digest::{Audience, Digest, Item, Topic, Why},
    },
};

/// Names that look like those of a real installation; a longer sample takes them in turn.
const NAMES: [&str; 6] =
    ["billing-sync", "nightly-export", "ci-deploy", "laptop", "grafana-reader", "crm-import"];

/// Environments to go with the names.
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "development"];

/// Every sample a template has to cope with: all topics for one key, for several, and for more
/// than are listed; with pages and without; for owners and for contacts; and a mixed one. In every
/// language.
pub fn all(now: DateTime<Utc>) -> Vec<Digest> {
    Language::ALL
        .into_iter()
        .flat_map(|language| {
            all_in_english(now).into_iter().map(move |digest| Digest { language, ..digest })
        })
        .collect()
}

fn all_in_english(now: DateTime<Utc>) -> Vec<Digest> {
    let mut samples = vec![mixed(now), without_pages(mixed(now)), for_contacts(mixed(now))];
    for topic in Topic::ALL {
        for n in [1, 3, 60] {
            samples.push(sample(topic, n, now));
            samples.push(without_pages(for_contacts(sample(topic, n, now))));
        }
    }
    samples
}

/// What the mail about the brake has to cope with: both kinds, to whoever runs the installation,
/// and to a tenant's contacts.
pub fn alarms(now: DateTime<Utc>) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for (what, n, limit) in [(Destruction::Expire, 1_204, 500), (Destruction::Purge, 311, 100)] {
        let alarm = Alarm {
            what,
            n,
            reason: Some(format!("{n} keys within half an hour are more than {limit}")),
            hash: "8d3f".repeat(16),
            since: now,
            tenant: None,
        };
        let of_tenant =
            Alarm { n: 7, reason: None, tenant: Some("acme".to_owned()), ..alarm.clone() };
        alarms.extend([alarm, of_tenant]);
    }
    alarms
}

/// A mail about `n` keys of one topic, to an owner in Berlin. The first key has never been used.
pub fn sample(topic: Topic, n: usize, now: DateTime<Utc>) -> Digest {
    digest((0..n).map(|index| item(topic, index, now)).collect())
}

/// A mail about one key of every topic.
pub fn mixed(now: DateTime<Utc>) -> Digest {
    let topics = Topic::ALL.into_iter().enumerate();
    // The first three come rarely: they get the keys that are left over.
    let n = Topic::ALL.len();
    digest(topics.map(|(index, topic)| item(topic, (index + n - 3) % n, now)).collect())
}

/// The same mail from an installation without pages, so without links.
pub fn without_pages(mut digest: Digest) -> Digest {
    for item in &mut digest.items {
        item.link = None;
    }
    digest.wish_link = None;
    digest
}

/// The same mail to the tenant's contacts, because its owner cannot be reached.
pub fn for_contacts(mut digest: Digest) -> Digest {
    digest.to =
        ["ops@example.org", "security@example.org"].map(str::parse).into_iter().flatten().collect();
    digest.to_name = None;
    digest.audience = Audience::Contacts {
        owner_name: "Ada Lovelace".to_owned(),
        owner_mail_masked: "a***@e***.org".to_owned(),
        why: Why::Unreachable("the mail server says that the mailbox does not exist".to_owned()),
    };
    digest
}

fn digest(items: Vec<Item>) -> Digest {
    Digest {
        message_id: "sample.1@lapsed.example.org".to_owned(),
        to: "ada@example.org".parse().into_iter().collect(),
        to_name: Some("Ada Lovelace".to_owned()),
        audience: Audience::Owner,
        time_zone: Tz::Europe__Berlin,
        language: Language::English,
        wish_link: Some(
            "https://keys.example.org/reminders/sample-that-changes-nothing".to_owned(),
        ),
        items,
    }
}

/// The `index`th key of a sample. The higher the index, the less urgent.
fn item(topic: Topic, index: usize, now: DateTime<Utc>) -> Item {
    let days = TimeDelta::days;
    let later = i64::try_from(index).unwrap_or(0) / 3;
    let name = NAMES[index % NAMES.len()];
    let round = index / NAMES.len();
    let (stage, expires_at) = match topic {
        Topic::Closing => (Stage::Closing, Some(now - days(6) + TimeDelta::hours(later))),
        Topic::Expired => (Stage::Expired, Some(now - TimeDelta::hours(1))),
        Topic::Expiring | Topic::Ending => {
            (Stage::Expiring { days: 7 }, Some(now + days(7 + later)))
        }
        Topic::Shortened => (Stage::Shortened, Some(now + days(30 + later))),
        Topic::OtpReset => (Stage::OtpReset, Some(now + days(60))),
        Topic::Suspended => (Stage::Suspended, Some(now + days(60))),
        Topic::SuspendedUnused => (Stage::SuspendedUnused, Some(now + days(60))),
        Topic::Unused => (Stage::Unused, Some(now + days(60))),
        Topic::Review => (Stage::ReviewDue, None),
        Topic::Rotated => (Stage::Rotated, Some(now + days(90))),
        Topic::Created => (Stage::Created, Some(now + days(90))),
        Topic::Purged => (Stage::Purged, Some(now - days(7))),
    };
    Item {
        public_id: sample_id(index),
        name: if round == 0 { name.to_owned() } else { format!("{name}-{}", round + 1) },
        tenant: "acme".to_owned(),
        environment: ENVIRONMENTS[index % ENVIRONMENTS.len()].to_owned(),
        kind: if topic == Topic::Review { KeyKind::Application } else { KeyKind::User },
        stage,
        is_early: matches!(stage, Stage::Expiring { .. }),
        created_at: if topic == Topic::Created { now } else { now - days(200) },
        expires_at,
        window_ends_at: expires_at.filter(|_| topic != Topic::Ending).map(|at| at + days(7)),
        ends_with_access: topic == Topic::Ending,
        is_suspended: matches!(topic, Topic::Suspended | Topic::SuspendedUnused),
        suspends_at: (topic == Topic::Unused).then(|| now + days(7 + later)),
        last_used_at: (index > 0).then(|| now - days(40) * i32::try_from(index % 4).unwrap_or(0)),
        // Of a purged key there is nothing left to open.
        link: (topic != Topic::Purged)
            .then(|| "https://keys.example.org/k/sample-link-that-opens-nothing".to_owned()),
    }
}

fn sample_id(index: usize) -> PublicId {
    let mut bytes = *b"Sample000000";
    bytes[PublicId::LEN - 1] = u8::try_from(index % 62).unwrap_or(0);
    bytes[PublicId::LEN - 2] = u8::try_from(index / 62 % 62).unwrap_or(0);
    PublicId::from_random(bytes)
}

//! Which of an owner's notices travel together, to whom, and when: what their policies say of mails.
//! Nothing here waits or fails.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::{
    domain::{
        policy::{Channel, Policy},
        quiet::waits_until,
        stage::Stage,
    },
    store::{
        notices::is_of_no_key,
        outbox::{PendingNotice, Recipient, Subject, read_list},
        policies::{Governed, PolicyBook},
    },
};

/// For whom notices are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// The owner, or whoever is told instead.
    Owner,
    /// The tenant's contacts, beside the owner, who has a notice of their own.
    Contacts,
    /// The owner, with a copy for these contacts.
    OwnerAnd(Vec<String>),
    /// These contacts, in the place of the owner.
    Only(Vec<String>),
}

/// How notices travel: those that travel alike are one mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) meant: Meant,
    /// When the mail leaves.
    pub(super) at: DateTime<Utc>,
    /// The only key it speaks of; `None`: any of the owner's.
    only: Option<i64>,
}

impl Way {
    /// How a notice travels where no policy says anything about it.
    pub(super) fn usual(notice: &PendingNotice, now: DateTime<Utc>) -> Self {
        let is_beside = notice.stage == Stage::SuspendedContacts.code();
        let meant = if is_beside { Meant::Contacts } else { Meant::Owner };
        // What is about no key has a mail of its own, which is worded apart.
        let only = is_of_no_key(notice.key_id).then_some(notice.key_id);
        Self { meant, at: now, only }
    }

    /// How a notice about `subject` travels by the rules in `book`. `contacts` are told where a
    /// tenant has none.
    pub(super) fn by_rules(
        notice: &PendingNotice,
        subject: &Subject,
        recipient: &Recipient,
        (book, contacts): (&PolicyBook, &[String]),
        now: DateTime<Utc>,
    ) -> Self {
        let usual = Self::usual(notice, now);
        let (Some(kind), Some(stage)) = (subject.kind, Stage::from_code(notice.stage)) else {
            return usual;
        };
        let policy = book.of_key(&Governed {
            id: subject.key_id,
            tenant_id: recipient.tenant_id,
            environment_id: subject.environment_id.unwrap_or(0),
            kind,
            own: subject.own_policy.as_deref(),
        });
        let zone = recipient.time_zone.parse().unwrap_or(Tz::UTC);
        Self {
            meant: match usual.meant {
                Meant::Owner => meant(&policy, stage, || contacts_of(subject, recipient, contacts)),
                meant => meant,
            },
            at: leaves_at(&policy, stage, subject, zone, now),
            only: (!policy.is_digest()).then_some(subject.key_id),
        }
    }
}

fn meant(policy: &Policy, stage: Stage, contacts: impl FnOnce() -> Vec<String>) -> Meant {
    match policy.channels(stage) {
        [Channel::Contacts] => Meant::Only(contacts()),
        channels if channels.contains(&Channel::Contacts) => Meant::OwnerAnd(contacts()),
        _ => Meant::Owner,
    }
}

/// The contacts of the key's environment, else of its tenant, else of the installation.
fn contacts_of(subject: &Subject, recipient: &Recipient, others: &[String]) -> Vec<String> {
    let of_environment = subject.contacts.as_deref().map(read_list).unwrap_or_default();
    if !of_environment.is_empty() {
        return of_environment;
    }
    let of_tenant = read_list(&recipient.contacts);
    if of_tenant.is_empty() { others.to_vec() } else { of_tenant }
}

/// When a notice leaves: now, or at the end of quiet hours.
fn leaves_at(
    policy: &Policy,
    stage: Stage,
    subject: &Subject,
    zone: Tz,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let Some(quiet) = policy.quiet_hours() else { return now };
    // Before the expiry, nobody knows when the window will end.
    let window_ends_at = subject.window_ends_at;
    match waits_until(stage, policy, subject.about, window_ends_at) {
        Some(latest) => quiet.send_at(zone, now, latest),
        None => now,
    }
}

/// Puts the notices of one owner together that travel alike, in the order given.
pub(super) fn together(notices: impl Iterator<Item = (i64, Way)>) -> Vec<(Way, Vec<i64>)> {
    let mut mails: Vec<(Way, Vec<i64>)> = Vec::new();
    for (id, way) in notices {
        match mails.iter_mut().find(|(other, _)| *other == way) {
            Some((_, ids)) => ids.push(id),
            None => mails.push((way, vec![id])),
        }
    }
    mails
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::{
        identity::KeyKind,
        policy::{Policies, PolicyFields},
    };

    /// Late in the evening in Berlin.
    fn now() -> DateTime<Utc> {
        "2026-05-04T21:00:00Z".parse().unwrap()
    }

    fn book(change: impl FnOnce(&mut PolicyFields)) -> PolicyBook {
        let mut fields = PolicyFields::default();
        change(&mut fields);
        let user = Policy::new(KeyKind::User, fields).unwrap();
        PolicyBook::new(Policies { user, ..Policies::default() })
    }

    fn way(book: &PolicyBook, stage: Stage, contacts: Option<&str>) -> Way {
        let notice = PendingNotice { id: 1, owner_id: 7, stage: stage.code(), key_id: 5 };
        let subject = Subject {
            notice_id: 1,
            key_id: 5,
            environment_id: Some(1),
            kind: Some(KeyKind::User),
            about: Some(now() + TimeDelta::days(7)),
            window_ends_at: None,
            contacts: contacts.map(str::to_owned),
            own_policy: None,
        };
        let recipient = Recipient {
            owner_id: 7,
            tenant_id: 1,
            email: "ada@acme.example".to_owned(),
            is_reachable: true,
            contacts: r#"["ops@acme.example"]"#.to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
        };
        Way::by_rules(&notice, &subject, &recipient, (book, &[]), now())
    }

    const WEEK: Stage = Stage::Expiring { days: 7 };

    #[test]
    fn without_a_word_all_goes_to_the_owner_at_once_and_together() {
        let usual = Way { meant: Meant::Owner, at: now(), only: None };
        let rules = book(|_| ());
        for stage in [WEEK, Stage::Rotated, Stage::Purged] {
            assert_eq!(way(&rules, stage, None), usual, "{stage}");
        }
        let beside = way(&rules, Stage::SuspendedContacts, None);
        assert_eq!(beside, Way { meant: Meant::Contacts, ..usual });
    }

    #[test]
    fn reminders_go_to_whom_the_policy_names_and_nothing_else_does() {
        let to = |address: &str| vec![address.to_owned()];
        let both = book(|f| f.reminder_channels = vec![Channel::Owner, Channel::Contacts]);
        assert_eq!(way(&both, WEEK, None).meant, Meant::OwnerAnd(to("ops@acme.example")));
        let own = Some(r#"["prod@acme.example"]"#);
        assert_eq!(way(&both, WEEK, own).meant, Meant::OwnerAnd(to("prod@acme.example")));
        assert_eq!(way(&both, Stage::Rotated, own).meant, Meant::Owner);
        let contacts = book(|f| f.reminder_channels = vec![Channel::Contacts]);
        assert_eq!(way(&contacts, WEEK, Some("[]")).meant, Meant::Only(to("ops@acme.example")));
        assert_eq!(way(&contacts, Stage::SuspendedContacts, own).meant, Meant::Contacts);
    }

    #[test]
    fn what_can_wait_leaves_when_the_owners_quiet_hours_end() {
        let quiet = book(|f| f.quiet_hours = "22:00-07:00".parse().ok());
        let morning: DateTime<Utc> = "2026-05-05T05:00:00Z".parse().unwrap();
        assert_eq!(way(&quiet, WEEK, None).at, morning);
        assert_eq!(way(&quiet, Stage::Expiring { days: 1 }, None).at, now(), "the last one");
        assert_eq!(way(&quiet, Stage::Rotated, None).at, now());
        assert_eq!(way(&quiet, Stage::Expired, None).at, now(), "there is no window");
    }

    #[test]
    fn what_is_about_no_key_travels_alone() {
        let notice = |key_id| PendingNotice { id: 1, owner_id: 7, stage: -14, key_id };
        assert_ne!(Way::usual(&notice(-7), now()), Way::usual(&notice(7), now()));
    }

    #[test]
    fn what_travels_alike_is_one_mail() {
        let apart = book(|f| f.digest = false);
        let one = way(&apart, WEEK, None);
        assert_eq!(one.only, Some(5));
        let usual = way(&book(|_| ()), WEEK, None);
        let mails =
            together([(1, usual.clone()), (2, one.clone()), (3, usual.clone())].into_iter());
        assert_eq!(mails, [(usual, vec![1, 3]), (one, vec![2])]);
    }
}

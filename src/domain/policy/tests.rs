//! What a policy refuses.

use super::*;

fn check(change: impl FnOnce(&mut PolicyFields)) -> Result<Policy, PolicyError> {
    let mut fields = PolicyFields::default();
    change(&mut fields);
    Policy::new(KeyKind::User, fields)
}

fn message(change: impl FnOnce(&mut PolicyFields)) -> String {
    check(change).unwrap_err().to_string()
}

#[test]
fn the_default_is_a_policy() {
    let policy = check(|_| ()).unwrap();
    assert_eq!(policy.reminder_days(), [1, 7, 30]);
    assert_eq!(policy.window(), TimeDelta::days(7));
    assert_eq!(policy.closing(), Some(TimeDelta::days(1)));
}

#[test]
fn each_mistake_is_named_by_its_field() {
    assert_eq!(
        message(|f| f.reminder_days.clear()),
        "reminder_days is empty, so no owner would ever be told; name at least one day"
    );
    assert_eq!(
        message(|f| f.reminder_days.push(0)),
        "reminder_days contains 0, but each must be from 1 to 3650"
    );
    assert_eq!(message(|f| f.window_days = 91), "window_days is 91, but must be from 0 to 90");
    assert_eq!(
        message(|f| f.closing_days = 7),
        "closing_days is 7, but must be less than window_days (7)"
    );
    assert_eq!(
        message(|f| f.default_ttl_days = Some(0)),
        "default_ttl_days is 0, but must be from 1 to 3650"
    );
    assert_eq!(
        message(|f| f.default_ttl_days = Some(366)),
        "default_ttl_days is 366, which is more than max_ttl_days (365)"
    );
    assert_eq!(
        message(|f| f.default_ttl_days = None),
        "default_ttl_days is never, which is more than max_ttl_days (365)"
    );
    assert_eq!(
        message(|f| f.min_ttl_days = Some(91)),
        "min_ttl_days is 91, which is more than default_ttl_days (90)"
    );
    assert_eq!(
        message(|f| f.reminder_channels.clear()),
        "reminder_channels is empty, so nobody would be reminded; name owner or contacts"
    );
    assert_eq!(
        message(|f| f.unused_days = Some(0)),
        "unused_days is 0, but must be from 1 to 3650"
    );
    assert_eq!(
        message(|f| f.tombstone_days = 0),
        "tombstone_days is 0, but must be from 1 to 3650"
    );
    assert_eq!(
        message(|f| f.max_overlap_hours = 169),
        "max_overlap_hours is 169, but must be from 0 to 168"
    );
    assert_eq!(
        message(|f| f.max_keys_per_owner = Some(0)),
        "max_keys_per_owner is 0, but must be at least 1, or never"
    );
    assert_eq!(
        message(|f| f.max_ttl_days = None),
        "max_ttl_days is missing, but keys of people must expire"
    );
}

#[test]
fn a_short_window_has_no_last_day() {
    for days in [0, 1] {
        assert_eq!(check(|f| f.window_days = days).unwrap().closing(), None, "{days}");
    }
    assert!(check(|f| f.window_days = 2).unwrap().closing().is_some());
    assert_eq!(check(|f| f.closing_days = 0).unwrap().closing(), None);
}

#[test]
fn never_is_longer_than_any_limit() {
    let policy = check(|_| ()).unwrap();
    assert!(policy.allows_ttl(Some(TimeDelta::days(365))));
    assert!(!policy.allows_ttl(Some(TimeDelta::days(365) + TimeDelta::milliseconds(1))));
    assert!(!policy.allows_ttl(None));
}

#[test]
fn a_policy_is_what_was_written() {
    let fields = PolicyFields {
        reminder_days: vec![2, 14],
        window_days: 9,
        closing_days: 3,
        default_ttl_days: Some(40),
        max_ttl_days: Some(50),
        review_days: Some(60),
        undo_hours: 70,
        mfa_required_for: vec![Deed::Rotate, Deed::Policy],
        two_person: true,
        self_rotate: true,
        window_proof: vec![WindowProof::Otp],
        min_ttl_days: Some(8),
        max_overlap_hours: 11,
        default_overlap_hours: 10,
        max_keys_per_owner: Some(12),
        tombstone_days: 13,
        purge_mode: PurgeMode::Manual,
        unused_days: Some(15),
        digest: false,
        quiet_hours: "22:00-07:00".parse().ok(),
        reminder_channels: vec![Channel::Owner, Channel::Contacts],
        risk_analysis_ref: "TRA-14".parse().ok(),
    };
    let policy = Policy::new(KeyKind::User, fields.clone()).unwrap();
    assert_eq!(policy.fields(), fields);
    let days = TimeDelta::days;
    assert_eq!((policy.window(), policy.closing()), (days(9), Some(days(3))));
    assert_eq!((policy.default_ttl(), policy.max_ttl()), (Some(days(40)), Some(days(50))));
    assert_eq!((policy.review_every(), policy.min_ttl()), (Some(days(60)), Some(days(8))));
    let hours = TimeDelta::hours;
    assert_eq!((policy.undo(), policy.max_overlap()), (hours(70), hours(11)));
    assert_eq!(policy.default_overlap(), hours(10));
    assert_eq!(policy.max_keys_per_owner(), Some(12));
    assert_eq!((policy.keep_tombstone(), policy.purge_mode()), (days(13), PurgeMode::Manual));
    assert_eq!(policy.unused(), Some(days(15)));
    assert!(!policy.is_digest() && !policy.has_usual_mails());
    assert_eq!(policy.quiet_hours().map(|hours| hours.to_string()).unwrap(), "22:00-07:00");
    assert_eq!(policy.channels(Stage::Expired), [Channel::Owner, Channel::Contacts]);
    assert_eq!(policy.channels(Stage::Rotated), [Channel::Owner], "that is no reminder");
    assert_eq!(policy.risk_analysis_ref().map(Label::as_str), Some("TRA-14"));
    assert!(policy.self_rotate() && policy.two_person());
    assert_eq!(
        Deed::ALL.map(|deed| policy.needs_otp(deed)),
        [false, true, false, false, true],
        "create, rotate, window_rotate, revoke, policy"
    );
    assert!(policy.takes(WindowProof::Otp) && !policy.takes(WindowProof::MailLink));
    let usual = check(|_| ()).unwrap();
    assert!(!Deed::ALL.into_iter().any(|deed| usual.needs_otp(deed)) && !usual.self_rotate());
    assert!(!usual.two_person());
    assert_eq!(usual.unused(), None);
    assert!(usual.has_usual_mails() && usual.is_digest());
    assert!(WindowProof::ALL.into_iter().all(|proof| usual.takes(proof)));
    assert_eq!(
        (usual.review_every(), usual.min_ttl(), usual.max_keys_per_owner()),
        (None, None, None)
    );
}

#[test]
fn each_limit_itself_is_allowed() {
    let ok = |change: fn(&mut PolicyFields)| check(change).map(drop);
    assert_eq!(ok(|f| f.reminder_days = vec![MAX_DAYS, 1]), Ok(()));
    assert!(ok(|f| f.reminder_days.push(MAX_DAYS + 1)).is_err());
    assert_eq!(ok(|f| f.window_days = 90), Ok(()));
    assert_eq!(ok(|f| f.closing_days = 6), Ok(()));
    assert_eq!(ok(|f| f.max_ttl_days = Some(MAX_DAYS)), Ok(()));
    assert!(ok(|f| f.max_ttl_days = Some(MAX_DAYS + 1)).is_err());
    assert_eq!(ok(|f| f.default_ttl_days = Some(365)), Ok(()));
    assert_eq!(ok(|f| f.min_ttl_days = Some(90)), Ok(()));
    assert_eq!(ok(|f| f.max_overlap_hours = MAX_OVERLAP_HOURS), Ok(()));
    assert_eq!(ok(|f| f.max_keys_per_owner = Some(1)), Ok(()));
    let rungs = check(|f| f.reminder_days = vec![7, 30, 7]).unwrap();
    assert_eq!(rungs.reminder_days(), [7, 30], "in order, and each once");
    let server =
        PolicyFields { default_ttl_days: None, max_ttl_days: None, ..PolicyFields::default() };
    let server = Policy::new(KeyKind::Application, server).unwrap();
    assert!(server.allows_ttl(None) && server.allows_ttl(Some(TimeDelta::MAX)));
}

#[test]
fn a_proof_is_read_as_it_is_written() {
    let words = ["mail_link", "otp", "secret_and_otp"];
    assert_eq!(WindowProof::ALL.map(WindowProof::as_str), words);
    assert_eq!(words.map(WindowProof::of_word), WindowProof::ALL.map(Some));
    assert_eq!(WindowProof::of_word("secret"), None);
}

#[test]
fn a_mode_of_purging_is_read_as_it_is_written() {
    let words = ["auto", "manual"];
    assert_eq!(PurgeMode::ALL.map(PurgeMode::as_str), words);
    assert_eq!(words.map(PurgeMode::of_word), PurgeMode::ALL.map(Some));
    assert_eq!(PurgeMode::of_word("never"), None);
    assert!(PurgeMode::Auto < PurgeMode::Manual, "the later is the stricter");
}

#[test]
fn a_channel_is_read_as_it_is_written_and_each_counts_once() {
    let words = ["owner", "contacts"];
    assert_eq!(Channel::ALL.map(Channel::as_str), words);
    assert_eq!(words.map(Channel::of_word), Channel::ALL.map(Some));
    assert_eq!(Channel::of_word("nobody"), None);
    let (owner, contacts) = (Channel::Owner, Channel::Contacts);
    let policy = check(|f| f.reminder_channels = vec![contacts, owner, contacts]).unwrap();
    assert_eq!(policy.channels(Stage::ReviewDue), [owner, contacts]);
}

#[test]
fn mails_are_the_usual_ones_only_if_all_about_them_is() {
    assert!(!check(|f| f.digest = false).unwrap().has_usual_mails());
    assert!(!check(|f| f.quiet_hours = "22:00-07:00".parse().ok()).unwrap().has_usual_mails());
    let contacts = check(|f| f.reminder_channels = vec![Channel::Contacts]).unwrap();
    assert!(!contacts.has_usual_mails());
}

#[test]
fn a_deed_is_read_as_it_is_written_and_stands_in_order() {
    let words = ["create", "rotate", "window_rotate", "revoke", "policy"];
    assert_eq!(Deed::ALL.map(Deed::as_str), words);
    assert_eq!(words.map(Deed::of_word), Deed::ALL.map(Some));
    assert_eq!(Deed::of_word("suspend"), None, "that never waits for a code");
    let twice = check(|f| f.mfa_required_for = vec![Deed::Policy, Deed::Create, Deed::Policy]);
    assert_eq!(twice.unwrap().fields().mfa_required_for, [Deed::Create, Deed::Policy]);
}

#[test]
fn each_kind_of_key_has_its_rules() {
    let policies = Policies::default();
    assert_eq!(policies.of(KeyKind::User), &policies.user);
    assert_eq!(policies.of(KeyKind::Application), &policies.application);
    assert_eq!(policies.of(KeyKind::Service), &policies.service);
    let ttl = |policy: &Policy| policy.max_ttl().map(|ttl| ttl.num_days());
    assert_eq!(
        (ttl(&policies.user), ttl(&policies.application), ttl(&policies.service)),
        (Some(365), None, Some(90))
    );
}

use super::*;
use crate::domain::{identity::KeyKind, policy::PolicyFields, unused::Unused, wish::Wish};

mod properties;

const SECOND: TimeDelta = TimeDelta::seconds(1);

fn day(n: i64) -> TimeDelta {
    TimeDelta::days(n)
}

/// The moment around which the tests turn.
fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn policy() -> Policy {
    Policy::new(KeyKind::User, PolicyFields::default()).unwrap()
}

/// A key of 90 days that expires `ahead` from noon.
fn expiring(ahead: TimeDelta, told: Option<u16>) -> Key {
    Key {
        kind: KeyKind::User,
        state: KeyState::Active { expires_at: Some(noon() + ahead) },
        issued_at: noon() + ahead - day(90),
        access_ends_at: None,
        review_at: None,
        last_stage: told.map(|days| Stage::Expiring { days }),
        is_suspended: false,
        is_held: false,
        wish: Wish::All,
        unused: None,
    }
}

/// A key whose window ends `ahead` from noon.
fn in_window(ahead: TimeDelta, last_stage: Stage) -> Key {
    let (expires_at, window_ends_at) = (noon() + ahead - day(7), noon() + ahead);
    let state = KeyState::Window { expires_at, window_ends_at };
    Key { state, last_stage: Some(last_stage), ..expiring(ahead - day(7), None) }
}

/// One decision in a line: the step, what it makes pointless, and the next look.
fn line(key: &Key) -> String {
    line_under(key, &policy())
}

fn line_under(key: &Key, policy: &Policy) -> String {
    let Decision { step, superseded, unused, next } = next_step(key, policy, noon());
    let mut line = match step {
        Step::Keep => "keep".to_owned(),
        Step::Notify { stage } => format!("tell {stage}"),
        Step::Mute { stage } => format!("mute {stage}"),
        Step::Review { .. } => "ask for a review".to_owned(),
        Step::Expire { window_ends_at } => format!("expire, window {}", window_ends_at - noon()),
        Step::End { purge_at } => format!("end, undo {}", purge_at - noon()),
    };
    for stage in superseded {
        line += &format!(", not {stage}");
    }
    match unused {
        None => {}
        Some(Deed::Warn { suspends_at }) => line += &format!(", warn of {}", suspends_at - noon()),
        Some(Deed::Suspend) => line += ", suspend",
    }
    line + &match next {
        None => "; never again".to_owned(),
        Some(Next::Sweep(at)) => format!("; look in {}", at - noon()),
        Some(Next::Purge(at)) => format!("; purge in {}", at - noon()),
    }
}

#[test]
fn every_reminder_falls_on_the_exact_second() {
    let check = |ahead, told, expected: &str| assert_eq!(line(&expiring(ahead, told)), expected);
    check(day(30) + SECOND, None, "keep; look in PT1S");
    check(day(30), None, "tell expiring-30d; look in PT1987200S");
    check(day(30) - SECOND, None, "tell expiring-30d; look in PT1987199S");
    check(day(30), Some(30), "keep; look in PT1987200S");
    check(day(7) + SECOND, Some(30), "keep; look in PT1S");
    check(day(7), Some(30), "tell expiring-7d; look in PT518400S");
    check(day(7), Some(7), "keep; look in PT518400S");
    check(day(1) + SECOND, Some(7), "keep; look in PT1S");
    check(day(1), Some(7), "tell expiring-1d; look in PT86400S");
    check(day(1), Some(1), "keep; look in PT86400S");
    check(SECOND, Some(1), "keep; look in PT1S");
    check(TimeDelta::zero(), Some(1), "expire, window PT604800S; look in PT518400S");
    check(-SECOND, Some(1), "expire, window PT604800S; look in PT518400S");
}

#[test]
fn after_an_outage_only_the_most_urgent_reminder_is_told() {
    assert_eq!(
        line(&expiring(SECOND, None)),
        "tell expiring-1d, not expiring-30d, not expiring-7d; look in PT1S"
    );
    assert_eq!(
        line(&expiring(day(3), Some(30))),
        "tell expiring-7d; look in PT172800S",
        "a reminder that was told is not superseded"
    );
    assert_eq!(
        line(&expiring(-day(3), Some(30))),
        "expire, window PT604800S, not expiring-7d, not expiring-1d; look in PT518400S",
        "the window is whole, however late it opens"
    );
}

#[test]
fn a_reminder_as_long_as_the_life_is_none() {
    let born = |life: i64| Key { issued_at: noon(), ..expiring(day(life), None) };
    assert_eq!(line(&born(7)), "keep; look in PT518400S", "7 days: only the last day's");
    assert_eq!(line(&born(8)), "keep; look in PT86400S", "8 days: the week's after a day");
    assert_eq!(line(&born(1)), "keep; look in PT86400S", "a day: straight to the expiry");
}

#[test]
fn the_window_has_a_last_day_and_an_end() {
    let check = |ahead, told, expected: &str| assert_eq!(line(&in_window(ahead, told)), expected);
    check(day(1) + SECOND, Stage::Expired, "keep; look in PT1S");
    check(day(1), Stage::Expired, "tell closing; purge in PT86400S");
    check(SECOND, Stage::Expired, "tell closing; purge in PT1S");
    check(SECOND, Stage::Closing, "keep; purge in PT1S");
    check(TimeDelta::zero(), Stage::Closing, "keep; purge in PT0.001S");
    check(TimeDelta::zero(), Stage::Expired, "keep, not closing; purge in PT0.001S");
    check(-day(3), Stage::Expired, "keep, not closing; purge in PT0.001S");
}

#[test]
fn a_policy_without_window_leaves_nothing_to_bring_back() {
    let fields = PolicyFields { window_days: 0, ..PolicyFields::default() };
    let policy = Policy::new(KeyKind::User, fields).unwrap();
    let expired = expiring(TimeDelta::zero(), Some(1));
    assert_eq!(line_under(&expired, &policy), "expire, window P0D; purge in PT0.001S");
}

#[test]
fn ended_access_has_no_window() {
    let key = expiring(TimeDelta::zero(), Some(1));
    let contractor = Key { access_ends_at: Some(noon()), ..key };
    assert_eq!(line(&contractor), "end, undo PT259200S; purge in PT259200S");
    let later = Key { access_ends_at: Some(noon() + day(3)), ..key };
    assert_eq!(
        line(&later),
        "expire, window PT259200S; look in PT172800S",
        "the window ends with the access"
    );
    let much_later = Key { access_ends_at: Some(noon() + day(8)), ..key };
    assert_eq!(line(&much_later), "expire, window PT604800S; look in PT518400S");
}

#[test]
fn a_key_that_nothing_uses_is_suspended_beside_all_else() {
    let fields = PolicyFields { unused_days: Some(30), ..PolicyFields::default() };
    let policy = Policy::new(KeyKind::User, fields).unwrap();
    let unused = |key: Key, ago: i64, warned_ago: Option<i64>| {
        let warned_at = warned_ago.map(|ago| noon() - day(ago));
        Key { unused: Some(Unused { since: noon() - day(ago), warned_at }), ..key }
    };
    let key = expiring(day(20), Some(30));
    let check = |key: &Key, expected: &str| assert_eq!(line_under(key, &policy), expected);
    check(&key, "keep; look in PT1123200S");
    check(&unused(key, 0, None), "keep; look in PT1123200S");
    check(&unused(key, 20, None), "keep; look in PT259200S");
    check(&unused(key, 23, None), "keep, warn of PT604800S; look in PT604800S");
    check(&unused(key, 30, Some(7)), "keep, suspend; look in PT1123200S");
    assert_eq!(line(&unused(key, 30, Some(7))), "keep; look in PT1123200S", "nobody asks for it");
    let told = expiring(day(7), Some(30));
    check(&unused(told, 30, Some(7)), "tell expiring-7d, suspend; look in PT518400S");
    // What ends is not suspended as well, and what has ended is not any more.
    let ends = expiring(TimeDelta::zero(), Some(1));
    check(&unused(ends, 90, Some(60)), "expire, window PT604800S; look in PT518400S");
    check(&unused(in_window(day(2), Stage::Expired), 90, Some(60)), "keep; look in PT86400S");
    let never = Key { state: KeyState::Active { expires_at: None }, ..key };
    check(&never, "keep; never again");
    check(&unused(never, 20, None), "keep; look in PT259200S");
    check(&unused(never, 30, Some(7)), "keep, suspend; never again");
    assert_eq!(
        first_look(&unused(never, 23, None), &policy, noon()),
        Some(Next::Sweep(noon())),
        "there is something to do"
    );
}

#[test]
fn a_revoked_key_waits_for_its_purge() {
    let key = |ahead| Key {
        state: KeyState::Revoked { purge_at: noon() + ahead },
        ..expiring(day(5), None)
    };
    assert_eq!(line(&key(day(3))), "keep; purge in PT259200S");
    assert_eq!(line(&key(TimeDelta::zero())), "keep; purge in PT0.001S");
}

#[test]
fn a_held_key_expires_but_is_never_handed_to_the_purge() {
    let held = |key: Key| Key { is_held: true, ..key };
    assert_eq!(
        line(&held(expiring(TimeDelta::zero(), Some(1)))),
        "expire, window PT604800S; look in PT518400S"
    );
    assert_eq!(line(&held(in_window(day(1), Stage::Expired))), "tell closing; never again");
    let revoked = Key { state: KeyState::Revoked { purge_at: noon() }, ..expiring(day(5), None) };
    assert_eq!(line(&held(revoked)), "keep; never again");
}

#[test]
fn a_key_without_expiry_is_only_ever_reviewed() {
    let fields = PolicyFields {
        default_ttl_days: None,
        max_ttl_days: None,
        review_days: Some(180),
        ..PolicyFields::default()
    };
    let policy = Policy::new(KeyKind::Application, fields).unwrap();
    let never = Key {
        kind: KeyKind::Application,
        state: KeyState::Active { expires_at: None },
        ..expiring(day(1), None)
    };
    let review = |at| Key { review_at: Some(at), ..never };
    assert_eq!(line_under(&never, &policy), "keep; never again");
    assert_eq!(line_under(&review(noon() + SECOND), &policy), "keep; look in PT1S");
    assert_eq!(
        line_under(&review(noon()), &policy),
        "ask for a review; look in PT15552000S",
        "and again after 180 days"
    );
}

#[test]
fn a_key_that_is_due_at_once_is_looked_at_now_and_not_before() {
    assert_eq!(first_look(&expiring(-day(3), None), &policy(), noon()), Some(Next::Sweep(noon())));
    assert_eq!(
        first_look(&expiring(day(31), None), &policy(), noon()),
        Some(Next::Sweep(noon() + day(1)))
    );
}

#[test]
fn a_baseline_takes_what_lies_behind_as_told() {
    let check = |ahead, expected: Option<u16>| {
        let key = expiring(ahead, None);
        let told = baseline(&key, &policy(), noon());
        assert_eq!(told, expected.map(|days| Stage::Expiring { days }));
        let known = Key { last_stage: told, ..key };
        assert_eq!(next_step(&known, &policy(), noon()).step, Step::Keep);
    };
    check(day(31), None);
    check(day(30), Some(30));
    check(day(6), Some(7));
    check(SECOND, Some(1));
    for ahead in [TimeDelta::zero(), -SECOND] {
        let expired = expiring(ahead, None);
        assert_eq!(baseline(&expired, &policy(), noon()), None, "an expiry is always told");
    }
}

#[test]
fn an_owner_who_does_not_need_a_key_is_left_alone_until_it_has_expired() {
    let is_quiet = |key: &Key| {
        let told = Key { last_stage: quieted(key), ..*key };
        next_step(&told, &policy(), noon()).step == Step::Keep
    };
    assert!(is_quiet(&expiring(day(7), None)) && is_quiet(&expiring(day(1), Some(7))));
    assert!(is_quiet(&in_window(day(1), Stage::Expired)));
    let told = Key { last_stage: quieted(&expiring(day(7), None)), ..expiring(-SECOND, None) };
    assert!(matches!(next_step(&told, &policy(), noon()).step, Step::Expire { .. }));
    let purged = in_window(day(1), Stage::Purged);
    assert_eq!(quieted(&purged), Some(Stage::Purged), "what is more urgent stays told");
    for state in [KeyState::Active { expires_at: None }, KeyState::Revoked { purge_at: noon() }] {
        assert_eq!(quieted(&Key { state, ..expiring(day(1), None) }), None);
    }
}

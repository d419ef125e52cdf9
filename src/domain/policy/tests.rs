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

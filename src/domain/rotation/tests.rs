use proptest::prelude::*;

use super::*;
use crate::domain::{
    identity::KeyKind,
    policy::{Policies, PolicyFields},
    wish::Wish,
};

const SECOND: TimeDelta = TimeDelta::seconds(1);

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn people() -> Policy {
    Policies::default().user
}

fn key(state: KeyState) -> Key {
    Key {
        kind: KeyKind::User,
        state,
        issued_at: noon() - TimeDelta::days(80),
        access_ends_at: None,
        review_at: None,
        last_stage: None,
        is_suspended: false,
        is_held: false,
        wish: Wish::All,
        unused: None,
    }
}

fn active(ahead: TimeDelta) -> Key {
    key(KeyState::Active { expires_at: Some(noon() + ahead) })
}

fn window(ahead: TimeDelta) -> Key {
    let expires_at = noon() - TimeDelta::days(3);
    key(KeyState::Window { expires_at, window_ends_at: noon() + ahead })
}

const TTL: Option<TimeDelta> = Some(TimeDelta::days(90));

fn rotate(key: &Key, overlap: TimeDelta) -> Result<Rotation, Refusal> {
    plan_rotation(key, TTL, &people(), Some(Overlap::new(overlap).unwrap()), noon())
}

/// How long the old secret goes on.
fn goes_on(key: &Key, overlap: TimeDelta) -> TimeDelta {
    rotate(key, overlap).unwrap().old_valid_until - noon()
}

#[test]
fn an_overlap_is_from_nothing_to_seven_days() {
    let days = TimeDelta::days(7);
    assert_eq!(Overlap::new(days).unwrap().length(), days);
    assert!(Overlap::new(days + TimeDelta::milliseconds(1)).is_err());
    assert!(Overlap::new(TimeDelta::milliseconds(-1)).is_err());
    assert_eq!(Overlap::new(TimeDelta::zero()), Ok(Overlap::NONE));
    let message = Overlap::new(TimeDelta::days(8)).unwrap_err().to_string();
    assert_eq!(message, "an overlap is from 0 to 7 days, and 192 h is not");
}

#[test]
fn an_overlap_is_cut_to_what_is_left_of_the_old_life() {
    let day = TimeDelta::days(1);
    assert_eq!(goes_on(&active(day + SECOND), day), day);
    assert_eq!(goes_on(&active(day), day), day);
    assert_eq!(goes_on(&active(day - SECOND), day), day - SECOND);
    assert_eq!(goes_on(&active(SECOND), day), SECOND);
    assert_eq!(goes_on(&active(day), TimeDelta::zero()), TimeDelta::zero());
    let never = key(KeyState::Active { expires_at: None });
    assert_eq!(goes_on(&never, day), day);
}

#[test]
fn an_overlap_is_cut_to_what_the_policy_allows() {
    for (hours, expected) in [(0, 0), (2, 2), (24, 24), (168, 24)] {
        let default_overlap_hours = hours.min(24);
        let fields = PolicyFields {
            default_overlap_hours,
            max_overlap_hours: hours,
            ..PolicyFields::default()
        };
        let policy = Policy::new(KeyKind::User, fields).unwrap();
        let key = active(TimeDelta::days(9));
        let plan = plan_rotation(&key, TTL, &policy, None, noon()).unwrap();
        assert_eq!(plan.old_valid_until - noon(), TimeDelta::hours(expected), "{hours}");
    }
}

#[test]
fn an_expired_secret_stays_dead() {
    let at_its_expiry = rotate(&active(TimeDelta::zero()), Overlap::MAX).unwrap();
    assert_eq!((at_its_expiry.old_valid_until, at_its_expiry.was_expired), (noon(), true));
    assert!(!rotate(&active(SECOND), Overlap::MAX).unwrap().was_expired);
    let in_window = rotate(&window(TimeDelta::days(4)), Overlap::MAX).unwrap();
    assert_eq!(in_window.old_valid_until, noon() - TimeDelta::days(3));
    assert_eq!(in_window.life.expires_at, Some(noon() + TimeDelta::days(90)));
}

#[test]
fn the_window_closes_on_the_exact_second() {
    assert!(rotate(&window(SECOND), TimeDelta::zero()).is_ok());
    for ahead in [TimeDelta::zero(), -SECOND] {
        let closed = Refusal::WindowClosed { ended_at: noon() + ahead };
        assert_eq!(rotate(&window(ahead), TimeDelta::zero()), Err(closed));
    }
}

#[test]
fn a_window_that_no_sweep_has_opened_is_open_all_the_same() {
    let week = TimeDelta::days(7);
    assert!(rotate(&active(-week + SECOND), TimeDelta::zero()).unwrap().was_expired);
    let closed = Refusal::WindowClosed { ended_at: noon() };
    assert_eq!(rotate(&active(-week), TimeDelta::zero()), Err(closed));
    assert_eq!(
        closed.to_string(),
        "the key could be rotated until 2027-01-15 08:00 UTC, and no longer"
    );
}

#[test]
fn where_there_is_no_window_the_expiry_is_the_end() {
    let policy = Policy::new(
        KeyKind::User,
        PolicyFields { window_days: 0, closing_days: 0, ..PolicyFields::default() },
    )
    .unwrap();
    let rotate = |ahead| plan_rotation(&active(ahead), TTL, &policy, Some(Overlap::NONE), noon());
    assert!(rotate(SECOND).is_ok());
    assert_eq!(rotate(TimeDelta::zero()), Err(Refusal::WindowClosed { ended_at: noon() }));
}

#[test]
fn nothing_brings_back_a_revoked_key_or_one_whose_owner_is_gone() {
    let revoked = key(KeyState::Revoked { purge_at: noon() + TimeDelta::days(3) });
    assert_eq!(rotate(&revoked, TimeDelta::zero()), Err(Refusal::Revoked));
    let with_access = |ahead, state| {
        rotate(&Key { access_ends_at: Some(noon() + ahead), ..key(state) }, TimeDelta::zero())
    };
    let states = [
        KeyState::Active { expires_at: Some(noon() - TimeDelta::days(1)) },
        KeyState::Active { expires_at: Some(noon() + TimeDelta::days(9)) },
        window(TimeDelta::days(4)).state,
    ];
    for state in states {
        let ended = LifeError::AccessEnded { at: noon() };
        assert_eq!(with_access(TimeDelta::zero(), state), Err(Refusal::Life(ended)));
        let last_second = with_access(SECOND, state).unwrap();
        assert_eq!(last_second.life.expires_at, Some(noon() + SECOND));
        assert_eq!(last_second.life.ttl, TTL, "what was meant is not forgotten");
    }
}

#[test]
fn a_suspended_key_waits_for_an_administrator() {
    let suspended = |key: Key| Key { is_suspended: true, ..key };
    for key in [active(TimeDelta::days(9)), window(TimeDelta::days(4))] {
        assert_eq!(rotate(&suspended(key), TimeDelta::zero()), Err(Refusal::Suspended));
    }
    let revoked = key(KeyState::Revoked { purge_at: noon() });
    assert_eq!(rotate(&suspended(revoked), TimeDelta::zero()), Err(Refusal::Revoked));
}

#[test]
fn a_length_the_policy_no_longer_allows_is_cut() {
    let short = |max| {
        let fields = PolicyFields {
            max_ttl_days: Some(max),
            default_ttl_days: Some(max),
            ..PolicyFields::default()
        };
        Policy::new(KeyKind::User, fields).unwrap()
    };
    let new_end = |ttl, policy: &Policy| {
        let key = active(TimeDelta::days(10));
        let rotation = plan_rotation(&key, ttl, policy, Some(Overlap::NONE), noon()).unwrap();
        rotation.life.expires_at.map(|end| end - noon())
    };
    assert_eq!(new_end(TTL, &short(30)), Some(TimeDelta::days(30)));
    assert_eq!(new_end(TTL, &short(90)), TTL);
    assert_eq!(new_end(None, &short(30)), Some(TimeDelta::days(30)), "never is longer than any");
    assert_eq!(new_end(None, &Policies::default().application), None);
}

#[test]
fn only_a_version_that_nobody_used_is_replaced_and_only_for_a_day() {
    let made = |ago| noon() - ago;
    assert!(may_reissue(made(TimeDelta::zero()), None, noon()));
    assert!(may_reissue(made(REISSUE_WITHIN - SECOND), None, noon()));
    assert!(!may_reissue(made(REISSUE_WITHIN), None, noon()));
    assert!(!may_reissue(made(TimeDelta::zero()), Some(noon()), noon()));
}

proptest! {
    /// Whatever is asked for, of whatever key: no dead secret is armed again, and none outlives
    /// the expiry it had.
    #[test]
    fn no_rotation_lengthens_an_old_secret(
        end in -40_000_000_000_i64..40_000_000_000,
        window in 0..9_000_000_000_i64,
        access in prop::option::of(-1_000_000_000..40_000_000_000_i64),
        overlap in 0..=7 * 86_400_000_i64,
        ttl in prop::option::of(1..40_000_000_000_i64),
        is_frozen: bool,
    ) {
        let ms = TimeDelta::milliseconds;
        let expires_at = noon() + ms(end);
        let state = if is_frozen {
            KeyState::Window { expires_at, window_ends_at: expires_at + ms(window) }
        } else {
            KeyState::Active { expires_at: Some(expires_at) }
        };
        let key = Key { access_ends_at: access.map(|ahead| noon() + ms(ahead)), ..key(state) };
        let overlap = Overlap::new(ms(overlap)).unwrap();
        let planned = plan_rotation(&key, ttl.map(ms), &people(), Some(overlap), noon());
        if let Ok(rotation) = planned {
            prop_assert!(rotation.old_valid_until <= expires_at);
            prop_assert!(rotation.old_valid_until <= noon() + overlap.length());
            prop_assert_eq!(rotation.was_expired, expires_at <= noon());
            let new_end = rotation.life.expires_at.unwrap();
            prop_assert!(noon() < new_end, "a rotated key lives");
            prop_assert!(new_end <= noon() + TimeDelta::days(365));
            prop_assert!(key.access_ends_at.is_none_or(|access| new_end <= access));
        }
    }
}

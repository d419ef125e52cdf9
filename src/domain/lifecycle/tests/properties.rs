//! What holds of every key under every policy.

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn any_policy()(
        reminder_days in prop::collection::vec(1_u16..400, 1..6),
        window_days in 0_u16..=90,
        closing in 0_u16..90,
        review_days in prop::option::of(1_u16..400),
        undo_hours in 0_u16..200,
        unused_days in prop::option::of(1_u16..200),
    ) -> Policy {
        let closing_days = if closing < window_days { closing } else { 0 };
        let fields = PolicyFields {
            reminder_days, window_days, closing_days, review_days, undo_hours, unused_days,
            default_ttl_days: None, max_ttl_days: None, ..PolicyFields::default()
        };
        Policy::new(KeyKind::Application, fields).unwrap()
    }
}

/// An instant within `span` days of noon, to the millisecond.
fn near(span: i64) -> impl Strategy<Value = DateTime<Utc>> {
    let span = span * 86_400_000;
    (-span..span).prop_map(|ms| noon() + TimeDelta::milliseconds(ms))
}

fn any_state() -> impl Strategy<Value = KeyState> {
    prop_oneof![
        4 => near(120).prop_map(|at| KeyState::Active { expires_at: Some(at) }),
        1 => Just(KeyState::Active { expires_at: None }),
        3 => (near(30), 0_i64..91).prop_map(|(expires_at, days)| KeyState::Window {
            expires_at, window_ends_at: expires_at + day(days),
        }),
        1 => near(30).prop_map(|purge_at| KeyState::Revoked { purge_at }),
    ]
}

prop_compose! {
    fn any_key()(
        state in any_state(),
        life_ms in 1_i64..400 * 86_400_000,
        told in prop::option::of(prop::sample::select(vec![400_i16, 30, 7, 1, 0, -1])),
        access_ends_at in prop::option::of(near(120)),
        review_at in prop::option::of(near(120)),
        is_held in any::<bool>(),
        wish in prop::sample::select(vec![Wish::All, Wish::Last, Wish::Within { days: 7 }]),
        unused in prop::option::of((near(120), prop::option::of(near(120)))),
    ) -> Key {
        let unused = unused.map(|(since, warned_at)| Unused { since, warned_at });
        let mut key = Key {
            kind: KeyKind::Application, state, issued_at: noon(), access_ends_at, review_at,
            last_stage: told.and_then(Stage::from_code), is_suspended: false, is_held, wish, unused,
        };
        key.issued_at = key.expires_at().unwrap_or(noon()) - TimeDelta::milliseconds(life_ms);
        key
    }
}

/// Carries out a decision, as the sweep does.
fn after(key: &Key, decision: &Decision) -> Key {
    let mut key = Key { last_stage: decision.last_stage(key), ..*key };
    match decision.step {
        Step::Keep | Step::Notify { .. } | Step::Mute { .. } => {}
        Step::Review { next_review_at } => key.review_at = next_review_at,
        Step::Expire { window_ends_at } => {
            let expires_at = key.expires_at().unwrap();
            key.state = KeyState::Window { expires_at, window_ends_at };
        }
        Step::End { purge_at } => key.state = KeyState::Revoked { purge_at },
    }
    key.unused = match (decision.unused, key.unused) {
        (Some(Deed::Suspend), _) => None,
        (Some(Deed::Warn { .. }), Some(unused)) => {
            Some(Unused { warned_at: Some(noon()), ..unused })
        }
        (_, unused) => unused,
    };
    key
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_next_look_is_always_ahead(key in any_key(), policy in any_policy()) {
        let next = next_step(&key, &policy, noon()).next;
        prop_assert!(next.is_none_or(|next| noon() < next.at()));
    }

    #[test]
    fn nothing_is_handed_to_the_purge_before_its_time(key in any_key(), policy in any_policy()) {
        let decision = next_step(&key, &policy, noon());
        if let Some(Next::Purge(at)) = decision.next {
            match after(&key, &decision).state {
                KeyState::Active { .. } => prop_assert!(false, "an active key"),
                KeyState::Window { window_ends_at, .. } => prop_assert!(window_ends_at <= at),
                KeyState::Revoked { purge_at } => prop_assert!(purge_at <= at),
            }
            prop_assert!(!key.is_held);
        }
    }

    #[test]
    fn a_key_without_expiry_never_ends(mut key in any_key(), policy in any_policy()) {
        key.state = KeyState::Active { expires_at: None };
        let Decision { step, next, .. } = next_step(&key, &policy, noon());
        prop_assert!(matches!(step, Step::Keep | Step::Review { .. }), "{step:?}");
        prop_assert!(!matches!(next, Some(Next::Purge(_))));
    }

    #[test]
    fn a_second_look_at_the_same_instant_does_nothing(key in any_key(), policy in any_policy()) {
        let first = next_step(&key, &policy, noon());
        let again = next_step(&after(&key, &first), &policy, noon());
        prop_assert_eq!(again.step, Step::Keep);
        prop_assert_eq!(again.superseded, vec![]);
        prop_assert_eq!(again.unused, None);
        prop_assert_eq!(again.next, first.next);
    }

    #[test]
    fn no_reminder_is_told_at_birth(policy in any_policy(), life_ms in 1_i64..400 * 86_400_000) {
        let life = TimeDelta::milliseconds(life_ms);
        let key = Key { issued_at: noon(), ..expiring(life, None) };
        let Decision { step, superseded, next, .. } = next_step(&key, &policy, noon());
        prop_assert_eq!(step, Step::Keep);
        prop_assert!(superseded.is_empty());
        prop_assert!(next.unwrap().at() <= noon() + life);
    }

    #[test]
    fn what_is_told_is_more_urgent_than_all_before(key in any_key(), policy in any_policy()) {
        let Decision { step, superseded, .. } = next_step(&key, &policy, noon());
        let told = key.last_stage.map_or(i16::MAX, Stage::code);
        prop_assert!(superseded.iter().all(|stage| stage.code() < told));
        if let Step::Notify { stage } = step {
            prop_assert!(stage.code() < told);
            prop_assert!(superseded.iter().all(|wider| stage.code() < wider.code()));
        }
    }

    #[test]
    fn a_whole_life_tells_each_stage_once_and_ends(
        policy in any_policy(), life_days in 1_i64..400, late_ms in 0_i64..40 * 86_400_000,
    ) {
        let mut key = Key { issued_at: noon(), ..expiring(day(life_days), None) };
        let (mut now, mut told, mut window) = (noon(), Vec::new(), None);
        loop {
            let decision = next_step(&key, &policy, now);
            if let Step::Notify { stage } = decision.step { told.push(stage.code()); }
            if let Step::Expire { window_ends_at } = decision.step {
                told.push(0);
                window = Some(window_ends_at);
            }
            key = after(&key, &decision);
            match decision.next.unwrap() {
                Next::Sweep(at) => now = at + TimeDelta::milliseconds(late_ms),
                Next::Purge(at) => { prop_assert!(window.unwrap() <= at); break }
            }
        }
        prop_assert!(told.is_sorted_by(|a, b| a > b), "{told:?}");
        prop_assert!(told.contains(&0));
    }
}

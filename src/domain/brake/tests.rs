//! Where the brake takes hold, to the key.

use super::*;

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn expire(n_due: u64, n_keys: u64) -> Result<(), Braked> {
    Limits::default().expire.check(&Counts { n_due, n_keys, ..Counts::default() })
}

#[test]
fn the_limit_itself_is_allowed() {
    assert_eq!(expire(500, 10_000), Ok(()));
    assert_eq!(expire(501, 10_000), Err(Braked::TooMany { n: 501, limit: 500 }));
    assert_eq!(expire(40, 200), Ok(()), "20 %");
    let braked = Braked::TooLarge { n: 41, n_keys: 200, percent: 20 };
    assert_eq!(expire(41, 200), Err(braked));
    assert_eq!(braked.to_string(), "41 keys within half an hour are more than 20 % of 200");
    let purge = |n_due, n_keys| {
        Limits::default().purge.check(&Counts { n_due, n_keys, ..Counts::default() }).is_ok()
    };
    assert!(purge(100, 2_000) && !purge(101, 10_000) && !purge(100, 1_999));
}

#[test]
fn a_handful_and_a_small_installation_are_left_alone() {
    assert_eq!(expire(10, 10), Ok(()), "all there are");
    assert_eq!(expire(99, 99), Ok(()), "a percentage of few says nothing");
    assert!(expire(100, 100).is_err());
    let busy = Counts { n_due: 10, n_lately: 100_000, n_keys: 100_000, whole_tenant: None };
    assert_eq!(Limits::default().expire.check(&busy), Ok(()));
}

#[test]
fn what_went_within_half_an_hour_adds_up() {
    let counts = Counts { n_due: 11, n_lately: 490, n_keys: 100_000, whole_tenant: None };
    let limit = Limits::default().expire;
    assert_eq!(limit.check(&counts), Err(Braked::TooMany { n: 501, limit: 500 }));
    assert_eq!(limit.check(&Counts { n_lately: 489, ..counts }), Ok(()));
    // The keys that went were 19 of 100 that were there.
    let counts = Counts { n_due: 11, n_lately: 10, n_keys: 90, whole_tenant: None };
    assert!(matches!(limit.check(&counts), Err(Braked::TooLarge { n_keys: 100, .. })));
}

#[test]
fn a_tenant_is_never_emptied_unasked() {
    let counts = Counts { n_due: 5, n_lately: 0, n_keys: 100_000, whole_tenant: Some(3) };
    let limit = Limits::default().expire;
    assert_eq!(limit.check(&counts), Err(Braked::WholeTenant { tenant_id: 3 }));
    assert_eq!(limit.check(&Counts { n_due: 4, ..counts }), Ok(()));
}

#[test]
fn counting_may_stop_where_it_makes_no_difference() {
    let limit = Limits::default().expire;
    for n in [11, 20, 21, 137, 500] {
        let enough = limit.enough(n);
        for n_keys in [enough, enough + 1, enough * 10] {
            let counts = Counts { n_due: n, n_keys, ..Counts::default() };
            assert_eq!(limit.check(&counts), Ok(()), "{n} of {n_keys}");
        }
    }
    // And no sooner.
    assert_eq!([11, 20, 21, 500].map(|n| limit.enough(n)), [100, 100, 105, 2_500]);
    let counts = Counts { n_due: 21, n_keys: 104, ..Counts::default() };
    assert!(limit.check(&counts).is_err());
}

#[test]
fn there_is_a_brake_unless_somebody_took_it_off() {
    assert!(Limits::default().is_enabled && !Limits::OFF.is_enabled);
    assert_eq!(Destruction::ALL.map(Destruction::as_str), ["expire", "purge"]);
}

fn doomed(id: i64, version: i64, action: Action) -> Doomed {
    let since = noon() + TimeDelta::seconds(id);
    Doomed { id: KeyId(id), version, tenant_id: id % 2, action, since }
}

fn toll(keys: impl IntoIterator<Item = Doomed>) -> Toll {
    let mut toll = Toll::default();
    toll.extend(keys);
    toll
}

#[test]
fn a_hash_stands_for_one_plan() {
    let all = |action| (1..=20).map(move |id| doomed(id, 1, action));
    let plan = toll(all(Action::Expire));
    assert_eq!(plan.hash(), toll(all(Action::Expire).rev()).hash(), "whatever the order");
    let others = [
        toll(all(Action::End)),
        toll(all(Action::Expire).skip(1)),
        toll(all(Action::Expire).chain([doomed(21, 1, Action::Expire)])),
        toll(all(Action::Expire).chain([doomed(20, 2, Action::Expire)])),
        Toll::default(),
    ];
    for other in others {
        assert_ne!(plan.hash(), other.hash());
    }
    assert_eq!((plan.len(), plan.is_empty()), (20, false));
    assert_eq!((Toll::default().len(), Toll::default().is_empty()), (0, true));
    assert!(plan.keys().map(|key| key.id.0).eq(1..=20));
    assert!(plan.has(KeyId(3), 1) && !plan.has(KeyId(3), 2) && !plan.has(KeyId(30), 1));
}

#[test]
fn a_plan_stays_the_same_while_more_becomes_due() {
    let (early, late) =
        ((1..=20).map(|id| doomed(id, 1, Action::Purge)), doomed(60, 1, Action::Purge));
    let (then, now) = (toll(early.clone()), toll(early.chain([late])));
    assert_ne!(then.hash(), now.hash());
    assert_eq!(now.as_of(noon() + TimeDelta::seconds(20)).hash(), then.hash());
    assert_eq!(now.by_tenant(), BTreeMap::from([(0, 11), (1, 10)]));
}

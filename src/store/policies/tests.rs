//! How levels are laid over each other.

use super::*;
use crate::domain::policy::{Deed, PolicyFields, PurgeMode, WindowProof};

fn base() -> Policies {
    let application = PolicyFields {
        default_ttl_days: None,
        max_ttl_days: None,
        review_days: Some(180),
        ..PolicyFields::default()
    };
    let of = |kind, fields| Policy::new(kind, fields).unwrap();
    Policies {
        user: of(KeyKind::User, PolicyFields::default()),
        application: of(KeyKind::Application, application),
        service: of(KeyKind::Service, PolicyFields::default()),
    }
}

fn window(book: &PolicyBook, tenant: i64, environment: i64) -> i64 {
    book.of(tenant, environment, KeyKind::User).window().num_days()
}

#[test]
fn an_environment_wins_over_its_tenant_and_a_tenant_over_the_installation() {
    let mut book = PolicyBook::new(base());
    book.lay_tenant(1, "acme", r#"{"window_days": 14, "undo_hours": 1}"#);
    book.lay_environment(10, 1, "production", r#"{"window_days": 3}"#);
    assert_eq!((window(&book, 2, 20), window(&book, 1, 11), window(&book, 1, 10)), (7, 14, 3));
    let production = book.of(1, 10, KeyKind::User);
    assert_eq!(production.undo(), TimeDelta::hours(1), "what it does not set is its tenant's");
    assert_eq!(book.problems(), []);
}

#[test]
fn a_level_below_only_tightens() {
    let mut book = PolicyBook::new(base());
    let tenant = r#"{"window_days": 5, "max_ttl_days": 100, "reminder_days": [14, 2],
        "review_days": 90, "undo_hours": 48, "window_proof": ["otp", "mail_link"]}"#;
    let loose = r#"{"window_days": 9, "max_ttl_days": 200, "default_ttl_days": 150,
        "reminder_days": [20], "review_days": 300, "undo_hours": 1, "self_rotate": true,
        "window_proof": ["otp", "secret_and_otp"]}"#;
    let strict = r#"{"window_days": 3, "max_ttl_days": 50, "reminder_days": [20, 14, 2],
        "undo_hours": 96, "window_proof": ["otp"]}"#;
    book.lay_tenant(1, "acme", tenant);
    book.lay_environment(10, 1, "loose", loose);
    book.lay_environment(11, 1, "strict", strict);
    assert_eq!(book.problems(), []);
    let policy = book.of(1, 10, KeyKind::User).fields();
    assert_eq!((policy.window_days, policy.max_ttl_days), (5, Some(100)));
    assert_eq!((policy.default_ttl_days, policy.reminder_days), (Some(90), vec![2, 14, 20]));
    assert_eq!((policy.review_days, policy.undo_hours), (Some(90), 48));
    assert_eq!((policy.self_rotate, policy.window_proof), (false, vec![WindowProof::Otp]));
    let policy = book.of(1, 11, KeyKind::User).fields();
    assert_eq!((policy.window_days, policy.max_ttl_days, policy.undo_hours), (3, Some(50), 96));
    assert_eq!(policy.window_proof, vec![WindowProof::Otp]);

    let delegating =
        tenant.replace("\"undo", "\"delegated\": [\"window_days\", \"self_rotate\"], \"undo");
    book.lay_tenant(1, "acme", &delegating);
    book.lay_environment(10, 1, "loose", loose);
    let policy = book.of(1, 10, KeyKind::User).fields();
    assert_eq!((policy.window_days, policy.self_rotate, policy.undo_hours), (9, true, 48));
}

#[test]
fn limits_of_numbers_only_tighten_too() {
    let mut book = PolicyBook::new(base());
    let tenant = r#"{"min_ttl_days": 10, "max_overlap_hours": 24, "max_keys_per_owner": 5}"#;
    book.lay_tenant(1, "acme", tenant);
    let loose =
        r#"{"min_ttl_days": "never", "max_overlap_hours": 48, "max_keys_per_owner": "never"}"#;
    book.lay_environment(10, 1, "loose", loose);
    let strict = r#"{"min_ttl_days": 20, "max_overlap_hours": 0, "max_keys_per_owner": 1}"#;
    book.lay_environment(11, 1, "strict", strict);
    // A shorter limit leaves no room for the least that is inherited.
    book.lay_environment(12, 1, "short", r#"{"max_ttl_days": 5}"#);
    assert_eq!(book.problems(), []);
    let of = |environment| {
        let fields = book.of(1, environment, KeyKind::User).fields();
        (fields.min_ttl_days, fields.max_overlap_hours, fields.max_keys_per_owner)
    };
    assert_eq!(of(10), (Some(10), 24, Some(5)));
    assert_eq!(of(11), (Some(20), 0, Some(1)));
    assert_eq!(of(12), (Some(5), 24, Some(5)));
}

#[test]
fn what_is_of_mails_only_tells_more() {
    let mut book = PolicyBook::new(base());
    assert!(!book.has_mail_rules());
    book.lay_tenant(1, "acme", r#"{"digest": false, "quiet_hours": "22:00-07:00",
        "purge_mode": "manual", "tombstone_days": 500, "unused_days": 60, "reminder_channels": ["contacts"]}"#);
    assert!(book.has_mail_rules());
    book.lay_environment(10, 1, "loose", r#"{"digest": true, "quiet_hours": "20:00-08:00",
        "purge_mode": "auto", "tombstone_days": 100, "unused_days": "never", "reminder_channels": ["owner"]}"#);
    book.lay_environment(
        11,
        1,
        "strict",
        r#"{"quiet_hours": "23:00-06:00", "unused_days": 30,
        "tombstone_days": 600, "risk_analysis_ref": "TRA-1"}"#,
    );
    book.lay_environment(12, 1, "loud", r#"{"quiet_hours": "none"}"#);
    assert_eq!(book.problems(), []);
    let of = |environment| {
        let fields = book.of(1, environment, KeyKind::User).fields();
        let quiet = fields.quiet_hours.map_or("none".to_owned(), |hours| hours.to_string());
        let n_channels = fields.reminder_channels.len();
        (fields.digest, quiet, n_channels, fields.tombstone_days, fields.unused_days)
    };
    assert_eq!(of(10), (false, "22:00-07:00".to_owned(), 2, 500, Some(60)));
    assert_eq!(of(11), (false, "23:00-06:00".to_owned(), 1, 600, Some(30)));
    assert_eq!(of(12), (false, "none".to_owned(), 1, 500, Some(60)));
    let fields = book.of(1, 10, KeyKind::User).fields();
    assert_eq!(fields.purge_mode, PurgeMode::Manual);
    assert_eq!(fields.risk_analysis_ref, None);
    assert_eq!(book.longest_tombstone(), TimeDelta::days(600));
    book.lay_environment(13, 1, "bad", r#"{"quiet_hours": "22-7"}"#);
    let problem = book.problems()[0].to_string();
    assert!(problem.contains("`22-7` is neither `none` nor two times of the day"), "{problem}");
}

#[test]
fn a_demand_for_an_otp_cannot_be_waived_below() {
    let mut book = PolicyBook::new(base());
    book.lay_tenant(1, "acme", r#"{"mfa_required_for": ["rotate"]}"#);
    book.lay_environment(10, 1, "test", r#"{"mfa_required_for": [], "window_days": 3}"#);
    book.lay_tenant(2, "other", r#"{"window_days": 3}"#);
    book.lay_environment(20, 2, "production", r#"{"user": {"mfa_required_for": ["rotate"]}}"#);

    let asks =
        |tenant, environment, kind| book.of(tenant, environment, kind).needs_otp(Deed::Rotate);
    assert!(asks(1, 10, KeyKind::User) && asks(1, 11, KeyKind::Application));
    assert!(asks(2, 20, KeyKind::User) && !asks(2, 20, KeyKind::Application));
    assert!(!asks(2, 21, KeyKind::User) && !asks(3, 30, KeyKind::User));
}

#[test]
fn a_level_below_only_adds_to_what_needs_an_otp() {
    let mut book = PolicyBook::new(base());
    book.lay_tenant(1, "acme", r#"{"mfa_required_for": ["policy", "window_rotate"]}"#);
    book.lay_environment(10, 1, "test", r#"{"mfa_required_for": ["create"]}"#);
    let of = |book: &PolicyBook, environment| {
        book.of(1, environment, KeyKind::User).fields().mfa_required_for
    };
    assert_eq!(of(&book, 11), [Deed::WindowRotate, Deed::Policy]);
    assert_eq!(of(&book, 10), [Deed::Create, Deed::WindowRotate, Deed::Policy]);
    let free = r#"{"mfa_required_for": ["policy"], "delegated": ["mfa_required_for"]}"#;
    book.lay_tenant(1, "acme", free);
    book.lay_environment(10, 1, "test", r#"{"mfa_required_for": ["create"]}"#);
    assert_eq!(of(&book, 10), [Deed::Create], "where the tenant has let go of it");
    assert_eq!(book.problems(), []);
    book.lay_environment(12, 1, "odd", r#"{"mfa_required_for": ["suspend"]}"#);
    let problem = book.problems()[0].to_string();
    assert!(problem.contains("`suspend` is not one of `create`, `rotate`"), "{problem}");
}

#[test]
fn a_kind_wins_over_all_kinds() {
    let mut book = PolicyBook::new(base());
    let json =
        r#"{"reminder_days": [5], "application": {"reminder_days": [60], "max_ttl_days": 180}}"#;
    book.lay_tenant(1, "acme", json);
    assert_eq!(book.of(1, 10, KeyKind::User).reminder_days(), [5]);
    let application = book.of(1, 10, KeyKind::Application);
    assert_eq!(application.reminder_days(), [60]);
    assert_eq!(application.default_ttl(), Some(TimeDelta::days(180)), "never gives way");
    let json = r#"{"window_days": 3, "application": {"window_days": 5}}"#;
    book.lay_tenant(1, "acme", json);
    let window = |kind| book.of(1, 10, kind).window().num_days();
    assert_eq!([KeyKind::User, KeyKind::Application].map(window), [3, 5]);
}

#[test]
fn what_is_inherited_gives_way_to_what_is_set() {
    let mut book = PolicyBook::new(base());
    book.lay_tenant(1, "acme", r#"{"max_ttl_days": 30, "window_days": 1}"#);
    assert_eq!(book.problems(), []);
    let user = book.of(1, 10, KeyKind::User);
    assert_eq!((user.default_ttl(), user.closing()), (Some(TimeDelta::days(30)), None));
}

#[test]
fn a_layer_that_makes_no_sense_is_passed_over_and_reported() {
    let mut book = PolicyBook::new(base());
    book.lay_tenant(1, "acme", r#"{"window_days": 14}"#);
    for (id, json) in [
        (10, r#"{"window_day": 3}"#),
        (12, r#"{"max_ttl_days": "nevr"}"#),
        (13, "not json"),
        (14, r#"{"user": {"reminder_days": []}}"#),
    ] {
        book.lay_environment(id, 1, "production", json);
        assert_eq!(window(&book, 1, id), 14, "the tenant's rules stand");
    }
    let problems: Vec<_> = book.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 4);
    assert!(problems[0].contains("unknown field `window_day`"), "{}", problems[0]);
    assert_eq!(
        problems[3],
        "the policy of environment `production` (tenant 1): for user keys, reminder_days is \
         empty, so no owner would ever be told; name at least one day"
    );
}

#[test]
fn a_layer_is_written_as_it_is_read() {
    let json = r#"{"window_days":3,"max_ttl_days":"never","user":{"max_ttl_days":90}}"#;
    let layer = PolicyLayer::parse(json).unwrap();
    assert_eq!(serde_json::to_string(&layer).unwrap(), json);
}

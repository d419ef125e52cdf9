//! Changing the rules: checked as a whole, looked at before, carried out after.

use lapsed::{
    domain::{identity::KeyKind, plan, policy::Deed, spread::Spread},
    store::{
        environments,
        policies::{
            PolicyBook,
            change::{ChangeError, Edit, Scope, preview, set},
            shorten,
            simulate::{reschedule, simulate},
        },
        tenants::{self, Tenant},
    },
};

use crate::{
    on_each_engine,
    support::app::{OPERATOR, TestApp, days},
};

fn edits(texts: &[&str]) -> Vec<Edit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

async fn acme(app: &TestApp) -> Tenant {
    tenants::find(app.db.conn(), "acme").await.unwrap().unwrap()
}

async fn book(app: &TestApp) -> PolicyBook {
    PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap()
}

async fn window(app: &TestApp) -> i64 {
    book(app).await.of(1, 1, KeyKind::User).window().num_days()
}

on_each_engine! {
    async fn a_change_is_written_with_its_line_in_the_trail(app: TestApp) {
        app.people().await;
        let tenant = acme(&app).await;
        let scope = Scope { tenant: &tenant, environment: None, kind: None, key: None };
        let base = &app.deps.policies;
        let new = set(&app.db, OPERATOR, base, &scope, &edits(&["window_days=14"])).await.unwrap();
        assert_eq!(new.of(1, 1, KeyKind::User).window(), days(14));
        assert_eq!(window(&app).await, 14);
        let prod = environments::find(app.db.conn(), 1, "prod").await.unwrap().unwrap();
        let narrow = Scope { environment: Some(&prod), kind: Some(KeyKind::User), ..scope };
        set(&app.db, OPERATOR, base, &narrow, &edits(&["window_days=3"])).await.unwrap();
        assert_eq!(window(&app).await, 3);
        assert_eq!(book(&app).await.of(1, 1, KeyKind::Application).window(), days(14));
        set(&app.db, OPERATOR, base, &narrow, &edits(&["window_days=inherit"])).await.unwrap();
        set(&app.db, OPERATOR, base, &scope, &edits(&["window_days=inherit"])).await.unwrap();
        assert_eq!(window(&app).await, 7);
        assert_eq!(app.count("tenants WHERE policy IS NULL").await, 1);
        let trail: Vec<String> = app.column("SELECT detail FROM audit_events ORDER BY id").await;
        let row = r#"{"after":{"window_days":14},"before":null,"environment":null,"mfa":{"method":"none"}}"#;
        assert_eq!(trail[0], row);
        assert_eq!(trail.len(), 4);
    }
}

on_each_engine! {
    async fn what_makes_no_sense_changes_nothing(app: TestApp) {
        app.people().await;
        app.execute(r#"UPDATE environments SET policy = '{"closing_days": 5}'"#).await;
        let tenant = acme(&app).await;
        let scope = Scope { tenant: &tenant, environment: None, kind: None, key: None };
        let base = &app.deps.policies;
        for (texts, message) in [
            (vec!["window_days=91"], "for user keys, window_days is 91, but must be from 0 to 90"),
            (vec!["max_ttl_days=never"], "for user keys, max_ttl_days is missing, but keys of people must expire"),
            // It is right by itself, but not below the environment that lies over it.
            (vec!["window_days=4"], "the policy of environment `prod` (tenant 1): for user keys, closing_days is 5, but must be less than window_days (4), once this is set"),
        ] {
            let error = set(&app.db, OPERATOR, base, &scope, &edits(&texts)).await.unwrap_err();
            assert!(!matches!(error, ChangeError::Store(_)));
            assert_eq!(error.to_string(), message);
        }
        assert_eq!((window(&app).await, app.count("audit_events").await), (7, 0));
    }
}

on_each_engine! {
    async fn a_change_is_looked_at_before_and_carried_out_after(app: TestApp) {
        app.people().await;
        for id in 1..=40 {
            app.key(id, days(50)).await;
        }
        app.key(41, days(-1)).await;
        app.execute("UPDATE api_keys SET kind = 9 WHERE id = 40").await;
        app.sweep().await;
        assert_eq!(app.describe(1).await, "active, next sweep in PT1728000S");
        let tenant = acme(&app).await;
        let scope = Scope { tenant: &tenant, environment: None, kind: None, key: None };
        let base = &app.deps.policies;
        let change = edits(&["reminder_days=60,7", "window_days=3", "max_ttl_days=80"]);
        let old = book(&app).await;
        let (new, _) = preview(app.db.conn(), base, &scope, &change).await.unwrap();
        let until = plan::until(app.now(), days(60));
        let simulation = simulate(&app.db, (&old, &new), &scope, until, None).await.unwrap();
        assert_eq!((simulation.n_keys, simulation.n_corrupt), (41, 1));
        assert_eq!((simulation.n_other_next, simulation.n_other_window, simulation.n_too_long), (39, 39, 39));
        let (before, after) = (simulation.before.total(), simulation.after.total());
        assert_eq!((before.n_expired, after.n_expired), (39, 39));
        assert_eq!((before.n_purged, after.n_purged), (40, 40));
        assert_eq!(simulation.after.days[&app.now().date_naive()].n_notices, 39, "the 60-day rung");
        assert_eq!((window(&app).await, app.describe(1).await.as_str()), (7, "active, next sweep in PT1728000S"));

        let book = set(&app.db, OPERATOR, base, &scope, &change).await.unwrap();
        assert_eq!(reschedule(&app.db, &book, &scope).await.unwrap(), 39);
        assert_eq!(reschedule(&app.db, &book, &scope).await.unwrap(), 0, "once");
        assert_eq!(app.sweep().await.n_changed, 39);
        assert_eq!(app.notices(1).await, ["expiring-60d pending"]);
        assert_eq!(app.describe(41).await, "window, next sweep in PT518400S", "an open window stays");
    }
}

on_each_engine! {
    async fn a_stricter_policy_reaches_the_keys_that_exist_with_notice_and_not_all_at_once(app: TestApp) {
        app.people().await;
        app.owner(2, "bob@acme.example").await;
        for id in 1..=30 {
            app.key(id, days(80)).await;
        }
        // One ends within the notice, one is short enough, one is another kind, one was revoked.
        app.key_of(2, 31, days(20)).await;
        app.key_of(2, 32, days(80)).await;
        let issued = (app.now() - days(5)).timestamp_millis();
        app.execute(&format!("UPDATE api_keys SET issued_at = {issued}, expires_at = {issued} + 2592000000 WHERE id = 32")).await;
        app.key_of(2, 33, days(80)).await;
        app.key_of(2, 34, days(80)).await;
        app.execute("UPDATE api_keys SET kind = 2 WHERE id = 33").await;
        app.execute("UPDATE api_keys SET state = 3, window_ends_at = 1 WHERE id = 34").await;
        app.sweep().await;
        let tenant = acme(&app).await;
        let scope = Scope { tenant: &tenant, environment: None, kind: Some(KeyKind::User), key: None };
        let (base, change) = (&app.deps.policies, edits(&["max_ttl_days=30"]));
        let (old, spread) = (book(&app).await, Spread::new(21, 10).unwrap());
        let (new, _) = preview(app.db.conn(), base, &scope, &change).await.unwrap();
        let until = plan::until(app.now(), days(40));
        let tried = simulate(&app.db, (&old, &new), &scope, until, Some(&spread)).await.unwrap();
        assert_eq!((tried.n_shortened, tried.before.total().n_expired), (30, 2));
        assert_eq!(tried.after.total().n_expired, 32);
        let ends = async || app.column::<i64>("SELECT expires_at FROM api_keys ORDER BY id").await;
        let before = ends().await;

        let new = set(&app.db, OPERATOR, base, &scope, &change).await.unwrap();
        assert_eq!(ends().await, before, "a policy by itself ends no key");
        assert_eq!(shorten(&app.db, "operator", &new, &scope, &spread).await.unwrap(), 30);
        let after = ends().await;
        assert_eq!(after[30..], before[30..]);
        let (first, last) = (after[..30].iter().min().unwrap(), after[..30].iter().max().unwrap());
        assert_eq!(Some(*first), tried.first_end.map(|at| at.timestamp_millis()), "as was tried out");
        assert!((app.now() + days(21)).timestamp_millis() <= *first);
        assert!(*last < (app.now() + days(31)).timestamp_millis());
        let mut on_days: Vec<i64> = after[..30].iter().map(|at| at / 86_400_000).collect();
        on_days.dedup();
        on_days.sort_unstable();
        on_days.dedup();
        assert!(on_days.len() >= 7, "{on_days:?}");
        assert_eq!(shorten(&app.db, "operator", &new, &scope, &spread).await.unwrap(), 0, "once");
        assert_eq!(app.count("audit_events WHERE action = 'key.shortened'").await, 30);

        app.pass().await;
        assert!(app.notices(1).await.contains(&"shortened told".to_owned()), "{:?}", app.notices(1).await);
        assert!(!app.notices(31).await.contains(&"shortened told".to_owned()));
        assert!(app.subjects().iter().any(|line| line.contains("30 API keys now expire sooner, the first in 2")), "{:?}", app.subjects());
        // To the second: the key works until its new date, and not a millisecond longer.
        app.clock.advance(chrono::TimeDelta::milliseconds(first - app.now().timestamp_millis() - 1));
        app.pass().await;
        assert_eq!(app.count("api_keys WHERE state = 2").await, 1, "31 alone has expired");
        app.pass().await;
        assert_eq!(app.count("api_keys WHERE state = 2").await, 2);
    }
}

on_each_engine! {
    async fn an_environment_only_tightens_unless_the_field_is_delegated(app: TestApp) {
        app.people().await;
        let tenant = acme(&app).await;
        let prod = environments::find(app.db.conn(), 1, "prod").await.unwrap().unwrap();
        let base = &app.deps.policies;
        let whole = Scope { tenant: &tenant, environment: None, kind: None, key: None };
        let narrow = Scope { environment: Some(&prod), ..whole };
        let change = async |scope: &Scope<'_>, texts: &[&str]| {
            set(&app.db, OPERATOR, base, scope, &edits(texts)).await.map(drop)
        };
        change(&whole, &["window_days=5", "mfa_required_for=rotate"]).await.unwrap();
        for (texts, field) in [
            (["window_days=6"], "window_days"),
            (["mfa_required_for=revoke"], "mfa_required_for"),
            (["reminder_days=7"], "reminder_days"),
            (["window_proof=otp"], ""),
            (["delegated=window_days"], "its tenant has not delegated it"),
        ] {
            match change(&narrow, &texts).await {
                Ok(()) => assert_eq!(field, "", "{texts:?} was set"),
                Err(error) => assert!(!field.is_empty() && error.to_string().contains(field), "{error}"),
            }
        }
        assert!(change(&whole, &["delegated=window_day"]).await.is_err());
        change(&whole, &["delegated=window_days,mfa_required_for"]).await.unwrap();
        change(&narrow, &["window_days=6", "mfa_required_for=revoke"]).await.unwrap();
        assert_eq!(window(&app).await, 6);
        change(&whole, &["delegated=inherit"]).await.unwrap();
        assert_eq!(window(&app).await, 5, "the tenant's word holds again, at once");
        assert!(book(&app).await.of(1, 1, KeyKind::User).needs_otp(Deed::Rotate));
    }
}

//! Changing the rules: checked as a whole, looked at before, carried out after.

use lapsed::{
    domain::{identity::KeyKind, plan},
    store::{
        environments,
        policies::{
            PolicyBook,
            change::{ChangeError, Edit, Scope, preview, set},
            simulate::{reschedule, simulate},
        },
        tenants::{self, Tenant},
    },
};

use crate::{
    on_each_engine,
    support::app::{TestApp, days},
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
        let scope = Scope { tenant: &tenant, environment: None, kind: None };
        let base = &app.deps.policies;
        let new = set(&app.db, "operator", base, &scope, &edits(&["window_days=14"])).await.unwrap();
        assert_eq!(new.of(1, 1, KeyKind::User).window(), days(14));
        assert_eq!(window(&app).await, 14);
        let prod = environments::find(app.db.conn(), 1, "prod").await.unwrap().unwrap();
        let narrow = Scope { environment: Some(&prod), kind: Some(KeyKind::User), ..scope };
        set(&app.db, "operator", base, &narrow, &edits(&["window_days=3"])).await.unwrap();
        assert_eq!(window(&app).await, 3);
        assert_eq!(book(&app).await.of(1, 1, KeyKind::Application).window(), days(14));
        set(&app.db, "operator", base, &narrow, &edits(&["window_days=inherit"])).await.unwrap();
        set(&app.db, "operator", base, &scope, &edits(&["window_days=inherit"])).await.unwrap();
        assert_eq!(window(&app).await, 7);
        assert_eq!(app.count("tenants WHERE policy IS NULL").await, 1);
        let trail: Vec<String> = app.column("SELECT detail FROM audit_events ORDER BY id").await;
        assert_eq!(trail[0], r#"{"after":{"window_days":14},"before":null,"environment":null}"#);
        assert_eq!(trail.len(), 4);
    }
}

on_each_engine! {
    async fn what_makes_no_sense_changes_nothing(app: TestApp) {
        app.people().await;
        app.execute(r#"UPDATE environments SET policy = '{"closing_days": 5}'"#).await;
        let tenant = acme(&app).await;
        let scope = Scope { tenant: &tenant, environment: None, kind: None };
        let base = &app.deps.policies;
        for (texts, message) in [
            (vec!["window_days=91"], "for user keys, window_days is 91, but must be from 0 to 90"),
            (vec!["max_ttl_days=never"], "for user keys, max_ttl_days is missing, but keys of people must expire"),
            // It is right by itself, but not below the environment that lies over it.
            (vec!["window_days=4"], "the policy of environment `prod` (tenant 1): for user keys, closing_days is 5, but must be less than window_days (4), once this is set"),
        ] {
            let error = set(&app.db, "operator", base, &scope, &edits(&texts)).await.unwrap_err();
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
        let scope = Scope { tenant: &tenant, environment: None, kind: None };
        let base = &app.deps.policies;
        let change = edits(&["reminder_days=60,7", "window_days=3", "max_ttl_days=80"]);
        let old = book(&app).await;
        let (new, _) = preview(app.db.conn(), base, &scope, &change).await.unwrap();
        let until = plan::until(app.now(), days(60));
        let simulation = simulate(&app.db, (&old, &new), &scope, until).await.unwrap();
        assert_eq!((simulation.n_keys, simulation.n_corrupt), (41, 1));
        assert_eq!((simulation.n_other_next, simulation.n_other_window, simulation.n_too_long), (39, 39, 39));
        let (before, after) = (simulation.before.total(), simulation.after.total());
        assert_eq!((before.n_expired, after.n_expired), (39, 39));
        assert_eq!((before.n_purged, after.n_purged), (40, 40));
        assert_eq!(simulation.after.days[&app.now().date_naive()].n_notices, 39, "the 60-day rung");
        assert_eq!((window(&app).await, app.describe(1).await.as_str()), (7, "active, next sweep in PT1728000S"));

        let book = set(&app.db, "operator", base, &scope, &change).await.unwrap();
        assert_eq!(reschedule(&app.db, &book, &scope).await.unwrap(), 39);
        assert_eq!(reschedule(&app.db, &book, &scope).await.unwrap(), 0, "once");
        assert_eq!(app.sweep().await.n_changed, 39);
        assert_eq!(app.notices(1).await, ["expiring-60d pending"]);
        assert_eq!(app.describe(41).await, "window, next sweep in PT518400S", "an open window stays");
    }
}

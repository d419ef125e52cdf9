//! Taking over keys: everything once, nothing twice, and no mail about the past.

use chrono::{DateTime, Utc};
use lapsed::{
    domain::identity::{KeyKind, OwnerKind},
    random,
    store::{
        import::{ImportRow, Importer, Options, Tally},
        policies::PolicyBook,
    },
};

use crate::{
    on_each_engine,
    support::app::{TestApp, days, noon},
};

fn options() -> Options {
    Options {
        source: "vault".to_owned(),
        actor: "operator".to_owned(),
        may_create: true,
        has_baseline: true,
        may_update: false,
        is_dry_run: false,
    }
}

fn row(n: usize, expires_at: Option<DateTime<Utc>>) -> ImportRow {
    ImportRow {
        public_id: random::public_id().unwrap(),
        owner_id: random::public_id().unwrap(),
        tenant: "acme".parse().unwrap(),
        environment: "production".parse().unwrap(),
        owner: format!("owner{}@acme.example", n % 3),
        owner_kind: OwnerKind::Employee,
        owner_name: "Jürgen 🔑".parse().unwrap(),
        access_ends_at: None,
        name: format!("key \"{n}\"").parse().unwrap(),
        kind: KeyKind::User,
        created_at: Some(noon() - days(80)),
        expires_at,
        secret: Some([7; 32]),
        external_id: format!("ext-{n}"),
        is_derived: false,
    }
}

async fn import(app: &TestApp, options: Options, rows: &[ImportRow]) -> (Tally, Vec<String>) {
    let policies = PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap();
    let mut importer = Importer::new(&app.db, &policies, options);
    let refused = importer.write(rows).await.unwrap();
    let refused = refused.iter().map(|(index, why)| format!("{index}: {why}")).collect();
    (importer.tally(), refused)
}

on_each_engine! {
    async fn the_same_rows_twice_change_nothing(app: TestApp) {
        let rows: Vec<_> = (0..10).map(|n| row(n, Some(noon() + days(10)))).collect();
        let (tally, refused) = import(&app, options(), &rows).await;
        let first =
            Tally { n_created: 10, n_tenants: 1, n_environments: 1, n_owners: 3, ..Tally::default() };
        assert_eq!((tally, refused.len()), (first, 0));

        let again: Vec<_> = (0..10).map(|n| row(n, Some(noon() + days(10)))).collect();
        let (tally, _) = import(&app, options(), &again).await;
        assert_eq!(tally, Tally { n_unchanged: 10, ..Tally::default() });
        assert_eq!((app.count("api_keys").await, app.count("key_secrets").await), (10, 10));
        let macs: Vec<Vec<u8>> = app.column("SELECT mac FROM key_secrets").await;
        assert!(macs.iter().all(|mac| *mac == [7; 32]));
        // A line in the trail for each key, owner, environment and tenant.
        assert_eq!(app.count("audit_events").await, 15);
        let names: Vec<String> = app.column("SELECT name FROM owners").await;
        assert_eq!(names, ["Jürgen 🔑"; 3]);
    }
}

on_each_engine! {
    async fn nobody_is_mailed_about_the_past(app: TestApp) {
        import(&app, options(), &[row(1, Some(noon() + days(5)))]).await;
        let id: i64 = app.column("SELECT id FROM api_keys").await[0];
        let mut notices = app.notices(id).await;
        notices.sort();
        assert_eq!(notices, ["expiring-30d baseline", "expiring-7d baseline"]);
        app.pass().await;
        assert_eq!(app.subjects().len(), 0);
        app.clock.advance(days(4));
        app.pass().await;
        assert_eq!(app.subjects().len(), 1, "but of the last day the owner is told");
    }
}

on_each_engine! {
    async fn the_window_of_a_key_long_expired_opens_now(app: TestApp) {
        let (tally, _) = import(&app, options(), &[row(1, Some(noon() - days(5)))]).await;
        assert_eq!((tally.n_created, tally.n_expired), (1, 1));
        app.sweep().await;
        let id: i64 = app.column("SELECT id FROM api_keys").await[0];
        assert_eq!(app.describe(id).await, "window, next sweep in PT518400S");
    }
}

on_each_engine! {
    async fn a_bad_row_stops_only_itself(app: TestApp) {
        let endless = ImportRow {
            owner: "carl@acme.example".to_owned(),
            owner_kind: OwnerKind::Contractor,
            ..row(1, None)
        };
        let rows = [row(0, Some(noon() + days(10))), endless, row(2, None)];
        let (tally, refused) = import(&app, options(), &rows).await;
        assert_eq!(tally.n_created, 1);
        assert_eq!(
            refused,
            [
                "1: access_ends is empty, but the access of a contractor ends some day",
                "2: expires is `never`, but user keys live at most 365 days here",
            ]
        );
    }
}

on_each_engine! {
    async fn nothing_is_added_where_that_is_not_wanted(app: TestApp) {
        let strict = Options { may_create: false, ..options() };
        let expires_at = Some(noon() + days(10));
        let (_, refused) = import(&app, strict.clone(), &[row(1, expires_at)]).await;
        assert_eq!(refused, ["0: there is no tenant `acme`"]);
        app.people().await;
        let (_, refused) = import(&app, strict.clone(), &[row(1, expires_at)]).await;
        assert_eq!(refused, ["0: there is no environment `production`"]);
        let here = ImportRow { environment: "prod".parse().unwrap(), ..row(1, expires_at) };
        let (_, refused) = import(&app, strict.clone(), std::slice::from_ref(&here)).await;
        assert_eq!(refused, ["0: there is no owner `owner1@acme.example`"]);
        let ada = ImportRow { owner: "ada@acme.example".to_owned(), ..here };
        let (tally, _) = import(&app, strict, &[ada]).await;
        assert_eq!(tally, Tally { n_created: 1, ..Tally::default() });
    }
}

on_each_engine! {
    async fn a_dry_run_leaves_nothing(app: TestApp) {
        let dry = Options { is_dry_run: true, ..options() };
        let (tally, _) = import(&app, dry, &[row(1, Some(noon() + days(10)))]).await;
        assert_eq!(tally.n_created, 1);
        for table in ["tenants", "environments", "owners", "api_keys", "audit_events", "notices"] {
            assert_eq!(app.count(table).await, 0, "{table}");
        }
    }
}

on_each_engine! {
    async fn a_key_that_is_here_keeps_its_expiry_unless_asked(app: TestApp) {
        import(&app, options(), &[row(1, Some(noon() + days(5)))]).await;
        let later = row(1, Some(noon() + days(50)));
        let (tally, _) = import(&app, options(), std::slice::from_ref(&later)).await;
        assert_eq!(tally, Tally { n_differs: 1, ..Tally::default() });
        let id: i64 = app.column("SELECT id FROM api_keys").await[0];
        assert_eq!(app.describe(id).await, "active, next sweep in PT345600S");

        let update = Options { may_update: true, ..options() };
        let (tally, _) = import(&app, update, &[later]).await;
        assert_eq!(tally, Tally { n_updated: 1, ..Tally::default() });
        assert_eq!(app.describe(id).await, "active, next sweep in PT1728000S");
        let actions: Vec<String> =
            app.column("SELECT action FROM audit_events WHERE key_id IS NOT NULL ORDER BY id").await;
        assert_eq!(actions, ["key.imported", "key.changed"]);
    }
}

on_each_engine! {
    async fn the_trail_says_that_whoever_imports_went_without_a_code(app: TestApp) {
        import(&app, options(), &[row(1, Some(noon() + days(5)))]).await;
        app.execute("UPDATE tenants SET policy = '{\"mfa_required_for\": [\"create\"]}'").await;
        import(&app, options(), &[row(2, Some(noon() + days(5)))]).await;
        let details: Vec<String> = app.column("SELECT detail FROM audit_events WHERE action = 'key.imported' ORDER BY id").await;
        let mfa = |detail: &String| serde_json::from_str::<serde_json::Value>(detail).unwrap()["mfa"]["method"].clone();
        assert_eq!(details.iter().map(mfa).collect::<Vec<_>>(), ["none", "local"]);
    }
}

on_each_engine! {
    async fn a_contractors_keys_end_with_the_contract(app: TestApp) {
        let contractor = |n, expires| ImportRow {
            owner: "carl@acme.example".to_owned(),
            owner_kind: OwnerKind::Contractor,
            access_ends_at: Some(noon() + days(20)),
            ..row(n, expires)
        };
        let rows = [
            contractor(1, Some(noon() + days(60))),
            contractor(2, None),
            contractor(3, Some(noon() + days(10))),
        ];
        let (tally, refused) = import(&app, options(), &rows).await;
        assert_eq!((tally.n_created, refused.len()), (3, 0));
        let ends: Vec<i64> = app.column("SELECT expires_at FROM api_keys ORDER BY external_id").await;
        let at = |n| (noon() + days(n)).timestamp_millis();
        assert_eq!(ends, [at(20), at(20), at(10)]);
        let (tally, _) = import(&app, options(), &rows).await;
        assert_eq!(tally, Tally { n_unchanged: 3, ..Tally::default() });
    }
}

on_each_engine! {
    async fn two_keys_of_one_name_are_not_taken_for_one(app: TestApp) {
        let derived = ImportRow { is_derived: true, ..row(1, Some(noon() + days(10))) };
        let older = ImportRow {
            public_id: random::public_id().unwrap(),
            created_at: Some(noon() - days(81)),
            ..derived.clone()
        };
        let (tally, refused) = import(&app, options(), &[derived.clone(), older, derived]).await;
        assert_eq!((tally.n_created, tally.n_unchanged), (1, 1));
        assert_eq!(
            refused,
            ["1: external_id is empty, and the same owner has another user key of this name"]
        );
    }
}

on_each_engine! {
    async fn a_key_that_moves_is_looked_at_by_rules_of_its_own(app: TestApp) {
        import(&app, options(), &[row(1, Some(noon() + days(50)))]).await;
        app.execute("UPDATE api_keys SET policy = '{\"reminder_days\": [60]}'").await;
        let moved = [row(1, Some(noon() + days(55)))];
        let (tally, _) = import(&app, Options { may_update: true, ..options() }, &moved).await;
        assert_eq!(tally.n_updated, 1);
        app.sweep().await;
        let ids: Vec<i64> = app.column("SELECT id FROM api_keys").await;
        assert_eq!(app.notices(ids[0]).await, ["expiring-60d pending"]);
    }
}

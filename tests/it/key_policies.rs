//! Rules of single keys: only stricter, unless both levels above let a field go; obeyed by every job
//! and every door; shown with who says so.

use lapsed::{
    domain::plan,
    store::{
        environments::{self, Environment},
        key_list::{self, KeyView},
        otp::OtpError,
        policies::{
            PolicyBook,
            change::{ChangeError, Edit, Scope, preview, set},
            first_fault,
            simulate::{reschedule, simulate},
        },
        rotation::{Proof, RotationError},
        tenants::{self, Tenant},
    },
};
use serde_json::json;

use crate::{
    admin_pages::Desk,
    api::{Face, text},
    cli::Lapsed,
    links::enable,
    on_each_engine,
    pages::{Site, newest_link},
    support::{
        app::{OPERATOR, TestApp, days},
        secrets::{Secrets, request},
    },
};

/// Where the keys of a test are.
struct Place {
    tenant: Tenant,
    prod: Environment,
}

impl Place {
    async fn of(app: &TestApp) -> Self {
        let conn = app.db.conn();
        let tenant = tenants::find(conn, "acme").await.unwrap().unwrap();
        let prod = environments::find(conn, 1, "prod").await.unwrap().unwrap();
        Self { tenant, prod }
    }

    fn whole(&self) -> Scope<'_> {
        Scope::of(&self.tenant)
    }

    fn narrow(&self) -> Scope<'_> {
        Scope { environment: Some(&self.prod), ..self.whole() }
    }

    fn key<'a>(&'a self, view: &'a KeyView) -> Scope<'a> {
        Scope::of_key(&self.tenant, &self.prod, view)
    }
}

fn edits(texts: &[&str]) -> Vec<Edit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

async fn change(
    app: &TestApp,
    scope: &Scope<'_>,
    texts: &[&str],
) -> Result<PolicyBook, ChangeError> {
    set(&app.db, OPERATOR, &app.deps.policies, scope, &edits(texts)).await
}

async fn book(app: &TestApp) -> PolicyBook {
    PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap()
}

async fn view(app: &TestApp, id: i64) -> KeyView {
    key_list::find(app.db.conn(), &format!("key{id:09}")).await.unwrap().unwrap()
}

/// A field in effect for a key: its value, and who says so.
async fn field(app: &TestApp, id: i64, name: &str) -> (serde_json::Value, &'static str) {
    let (book, view) = (book(app).await, view(app, id).await);
    let all = book.effective_of_key(&view.governed().unwrap());
    let field = all.into_iter().find(|field| field.field == name).unwrap();
    (field.value, field.origin)
}

on_each_engine! {
    async fn a_key_only_tightens_unless_both_levels_above_let_a_field_go(app: TestApp) {
        app.people().await;
        app.key(1, days(50)).await;
        app.key(2, days(50)).await;
        let place = Place::of(&app).await;
        change(&app, &place.whole(), &["window_days=5"]).await.unwrap();
        let key = view(&app, 1).await;
        let own = place.key(&key);
        for (texts, said) in [
            (&["window_days=6"][..], "window_days would be less strict than the environment has it"),
            (&["default_ttl_days=5"], "`default_ttl_days` is of keys that are yet to be made"),
            (&["max_keys_per_owner=1"], "`max_keys_per_owner` is of keys that are yet to be made"),
            (&["delegated=window_days"], "a key has no level below it"),
            (&["window_day=3"], "unknown field `window_day`"),
            (&["max_ttl_days=never"], "max_ttl_days is missing, but keys of people must expire"),
        ] {
            let error = change(&app, &own, texts).await.unwrap_err();
            assert!(error.to_string().contains(said), "{texts:?}: {error}");
        }
        assert_eq!(app.count("api_keys WHERE policy IS NOT NULL").await, 0);
        change(&app, &own, &["window_days=3"]).await.unwrap();
        assert_eq!(field(&app, 1, "window_days").await, (json!(3), "key"));
        assert_eq!(field(&app, 1, "undo_hours").await, (json!(72), "installation"));
        assert_eq!(field(&app, 2, "window_days").await, (json!(5), "tenant"));

        // One level that lets go is not enough, and an environment lets nothing go that it has not got.
        let refused = change(&app, &place.narrow(), &["delegated=window_days"]).await.unwrap_err();
        assert!(refused.to_string().contains("its tenant has not delegated it"), "{refused}");
        change(&app, &place.whole(), &["delegated=window_days"]).await.unwrap();
        assert!(change(&app, &own, &["window_days=6"]).await.is_err());
        change(&app, &place.narrow(), &["delegated=window_days"]).await.unwrap();
        change(&app, &own, &["window_days=6"]).await.unwrap();
        assert_eq!(field(&app, 1, "window_days").await, (json!(6), "key"));
        change(&app, &place.whole(), &["delegated=inherit"]).await.unwrap();
        assert_eq!(field(&app, 1, "window_days").await, (json!(5), "tenant"), "the tenant's word, at once");

        change(&app, &own, &["window_days=inherit"]).await.unwrap();
        assert_eq!(app.count("api_keys WHERE policy IS NOT NULL").await, 0);
        let trail: Vec<Option<i64>> =
            app.column("SELECT key_id FROM audit_events WHERE action = 'policy.changed' AND key_id IS NOT NULL").await;
        assert_eq!(trail, [Some(1); 3]);
    }
}

on_each_engine! {
    async fn a_change_for_one_key_is_looked_at_before_and_every_job_goes_by_it(app: TestApp) {
        app.people().await;
        app.key(1, days(50)).await;
        app.key(2, days(50)).await;
        app.sweep().await;
        let (place, key) = (Place::of(&app).await, view(&app, 1).await);
        let (own, old) = (place.key(&key), book(&app).await);
        let texts = edits(&["reminder_days=40,30,7,1", "window_days=2", "max_ttl_days=80"]);
        let (new, _) = preview(app.db.conn(), &app.deps.policies, &own, &texts).await.unwrap();
        let until = plan::until(app.now(), days(60));
        let tried = simulate(&app.db, (&old, &new), &own, until, None).await.unwrap();
        let counts = (tried.n_keys, tried.n_other_next, tried.n_other_window, tried.n_too_long);
        assert_eq!(counts, (1, 1, 1, 1));
        assert_eq!(app.describe(1).await, "active, next sweep in PT1728000S", "looking changes nothing");

        let new = set(&app.db, OPERATOR, &app.deps.policies, &own, &texts).await.unwrap();
        assert_eq!(reschedule(&app.db, &new, &own).await.unwrap(), 1);
        assert_eq!(app.describe(1).await, "active, next sweep in PT864000S");
        assert_eq!(app.describe(2).await, "active, next sweep in PT1728000S");
        app.clock.advance(days(10));
        app.sweep().await;
        assert_eq!((app.notices(1).await, app.notices(2).await), (vec!["expiring-40d pending".to_owned()], vec![]));
        app.clock.advance(days(40));
        app.pass().await;
        let ends: Vec<i64> = app.column("SELECT window_ends_at FROM api_keys ORDER BY id").await;
        let opened = (app.now() - chrono::TimeDelta::milliseconds(1)).timestamp_millis();
        assert_eq!(ends, [2, 7].map(|n| opened + days(n).num_milliseconds()));
    }
}

on_each_engine! {
    async fn a_second_factor_can_be_required_for_one_key_alone(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let (one, other) = (secrets.create().await, secrets.create().await);
        let place = Place::of(&app).await;
        let key = key_list::find(app.db.conn(), one.id.as_str()).await.unwrap().unwrap();
        change(&app, &place.key(&key), &["mfa_required_for=rotate,window_rotate", "max_overlap_hours=0"]).await.unwrap();
        let refused = secrets.rotate(&one).await.unwrap_err();
        assert!(matches!(refused, RotationError::Otp(OtpError::NotEnrolled)), "{refused}");
        let seed = secrets.enrol(&[]).await;
        let code = secrets.next_code(&seed);
        secrets.rotate_with(&one, Proof::Otp(&code)).await.unwrap();
        assert_eq!(secrets.finding(&one).await, "replaced", "its own overlap, which is none");
        secrets.rotate(&other).await.unwrap();
        assert_eq!(secrets.finding(&other).await, "valid");
    }
}

on_each_engine! {
    async fn a_change_above_breaks_no_keys_rules_and_nonsense_is_passed_over(app: TestApp) {
        app.people().await;
        app.key(1, days(50)).await;
        let (place, key) = (Place::of(&app).await, view(&app, 1).await);
        change(&app, &place.key(&key), &["closing_days=5"]).await.unwrap();
        for above in [place.whole(), place.narrow()] {
            let error = change(&app, &above, &["window_days=4"]).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "the policy of key `key000000001`: closing_days is 5, but must be less than \
                 window_days (4), once this is set"
            );
        }
        assert_eq!(first_fault(app.db.conn(), &book(&app).await).await.unwrap(), None);
        app.execute("UPDATE api_keys SET policy = 'nonsense'").await;
        let fault = first_fault(app.db.conn(), &book(&app).await).await.unwrap().unwrap();
        assert!(fault.to_string().starts_with("the policy of key `key000000001`: "), "{fault}");
        app.clock.advance(days(50));
        app.pass().await;
        assert_eq!(app.describe(1).await, "window, next sweep in PT518399.999S", "by its environment's rules");
        assert_eq!(app.count("api_keys WHERE parked IS NOT NULL").await, 0);
    }
}

on_each_engine! {
    async fn the_api_and_the_page_say_who_says_so(app: TestApp) {
        let desk = Desk::new(&app).await;
        let face: &Face<'_> = &desk.face;
        let (id, _) = face.key().await;
        let path = format!("/v1/keys/{id}/policy");
        let shown = face.call(&face.root, "GET", &path, None).await;
        let tag = shown.header("etag").to_owned();
        let edits = json!({ "set": { "window_days": 2, "max_ttl_days": 30 }, "existing": { "notice_days": 10 } });
        let tried = face.root("POST", &format!("{path}/simulate"), edits.clone()).await;
        assert_eq!((&tried["n_keys"], &tried["n_shortened"]), (&json!(1), &json!(1)));
        let bearer = format!("Bearer {}", face.root);
        let headers = [("authorization", bearer.as_str()), ("if-match", tag.as_str())];
        let set = face.send("PATCH", &path, &headers, Some(&edits)).await;
        assert_eq!(set.status, 200, "{set:?}");
        let stale = face.send("PATCH", &path, &headers, Some(&edits)).await;
        assert_eq!(stale.status, 412, "{stale:?}");
        let all = face.root("GET", &path, None).await;
        let of = |name: &str| {
            let items = all["items"].as_array().unwrap().clone();
            let field = items.into_iter().find(|field| field["field"] == name).unwrap();
            (field["value"].clone(), text(&field["origin"]))
        };
        assert_eq!(of("window_days"), (json!(2), "key".to_owned()));
        assert_eq!(of("undo_hours"), (json!(72), "installation".to_owned()));
        let key = face.root("GET", &format!("/v1/keys/{id}"), None).await;
        let end = (app.now() + days(30)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        assert!(text(&key["expires_at"]).starts_with(&end[..19]), "{key}");
        let page = desk.get(&desk.root().await, &format!("/admin/keys/{id}")).await;
        assert_eq!(page.text.matches("from the key itself").count(), 2, "{}", page.text);
        let refused = face.call(&face.root, "PATCH", &path, json!({ "set": { "window_days": 9 } })).await;
        assert_eq!((refused.status, refused.code()), (422, "policy-violation".to_owned()));
    }
}

#[test]
fn the_rules_of_a_key_are_set_tried_out_and_shown_by_its_id() {
    let lapsed = Lapsed::with_ada();
    let create = "keys create --tenant acme --env production --owner ada@acme.example --name x";
    let secret = lapsed.ok(create).stdout;
    let id = secret.split('_').nth(2).unwrap();
    let tried = lapsed.json(&format!("policy simulate --key {id} window_days=2"));
    assert_eq!((&tried["keys"], &tried["other_window"]), (&json!(1), &json!(1)));
    lapsed.ok(&format!("policy set --key {id} window_days=2"));
    let shown = lapsed.json(&format!("policy effective --key {id}"));
    let fields = shown.as_array().unwrap();
    let of = |name: &str| fields.iter().find(|field| field["field"] == name).unwrap().clone();
    assert_eq!(
        (&of("window_days")["value"], &of("window_days")["origin"]),
        (&json!(2), &json!("key"))
    );
    assert_eq!(of("undo_hours")["origin"], "installation");
    let refused = lapsed.run(&format!("policy set --key {id} window_days=9"));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("less strict than the environment has it"),
        "{}",
        refused.stderr
    );
    assert_eq!(lapsed.run(&format!("policy set --key {id} --tenant acme window_days=1")).code, 2);
    assert_eq!(lapsed.run("policy set window_days=1").code, 2, "whose?");
}

on_each_engine! {
    async fn an_old_secret_goes_on_as_long_as_the_policy_says_at_every_door(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let place = Place::of(&app).await;
        let refused = change(&app, &place.whole(), &["default_overlap_hours=48", "max_overlap_hours=24"]).await;
        assert!(refused.unwrap_err().to_string().contains("default_overlap_hours is 48, which is more than"));
        let face = Face::with(&app, secrets.keyring.clone()).await;
        face.policy(json!({ "default_overlap_hours": 2, "self_rotate": true })).await;
        let hours = |n: i64| chrono::TimeDelta::hours(n).num_milliseconds();
        let tried = face.root("POST", "/v1/tenants/acme/policy/simulate", json!({ "set": { "default_overlap_hours": 3 } })).await;
        assert_eq!(tried["n_other_next"], 0, "no key's turn is another by it");
        let (one, other, third, fourth) =
            (secrets.create().await, secrets.create().await, secrets.create().await, secrets.create().await);
        app.clock.advance(days(83));
        face.api.flush().await;
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let page = site.get(&format!("/k/{}/{}", link.expose(), third.id)).await;
        assert!(page.body.contains("value=\"2\" checked> 2 hours") || page.body.contains("value=\"2\" checked>2 hours"), "{}", page.body);
        site.post(&format!("/k/{}/{}/rotate", link.expose(), third.id), "overlap=2").await;
        site.close().await;

        let root = face.token(lapsed::domain::identity::Role::Admin, None).await.1;
        let path = format!("/v1/keys/{}/rotate", one.id);
        assert_eq!(face.call(&root, "POST", &path, json!({})).await.status, 200);
        let own = crate::api::own::rotate(&face, other.expose(), None).await;
        assert_eq!(own.status, 200, "{own:?}");
        secrets.rotate(&fourth).await.unwrap();
        let query = "SELECT valid_until FROM key_secrets WHERE valid_until IS NOT NULL";
        let ends: Vec<i64> = app.column(query).await;
        assert_eq!(ends, [app.now().timestamp_millis() + hours(2); 4]);
        // A key's own word, and one for this time.
        let key = key_list::find(app.db.conn(), fourth.id.as_str()).await.unwrap().unwrap();
        change(&app, &place.key(&key), &["default_overlap_hours=1"]).await.unwrap();
        let done = secrets.rotate(&fourth).await.unwrap().done;
        assert_eq!((done.old_valid_until - app.now()).num_hours(), 1);
        let asked = Some(lapsed::domain::rotation::Overlap::new(chrono::TimeDelta::hours(5)).unwrap());
        let asked = lapsed::store::rotation::Request { overlap: asked, ..request(&fourth, Proof::Nothing) };
        let done = secrets.ask(&asked).await.unwrap().done;
        assert_eq!((done.old_valid_until - app.now()).num_hours(), 5);
        // A limit set later shortens what is inherited.
        face.call(&root, "PATCH", "/v1/tenants/acme/policy", json!({ "set": { "default_overlap_hours": null, "max_overlap_hours": 0 } })).await;
        let done = secrets.rotate(&one).await.unwrap().done;
        assert_eq!(done.old_valid_until, app.now());
    }
}

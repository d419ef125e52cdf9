//! Who may open what: every page is tried as nobody, as each role, and with a session of another
//! tenant. A page that is new has to be told here what to be tried with, or the test fails.

use lapsed::{domain::identity::Role, http::admin};

use crate::{admin_pages::Desk, on_each_engine};

/// What a form is tried with. It would do something of acme's, if it were allowed.
fn form(path: &str) -> &'static str {
    match path {
        "/admin/keys/{id}/revoke" => "name=deploy",
        "/admin/keys/{id}/extend" => "days=300",
        "/admin/keys/{id}/approve-purge" => "name=deploy&reason=test",
        "/admin/keys/{id}/hold" | "/admin/keys/{id}/suspend" | "/admin/keys/{id}/unsuspend" => {
            "reason=test"
        }
        "/admin/owners/{id}/offboard" => "name=ada@acme.example",
        "/admin/policies/{tenant}" => "field=window_days&value=9&seen=0",
        "/admin/guards/brake" => {
            "hash=0000000000000000000000000000000000000000000000000000000000000000&n=1"
        }
        "/admin/guards/resume" => "flag=pause.purge",
        "/admin/approvals/{id}/approve" | "/admin/approvals/{id}/reject" => "reason=test",
        "/admin/guards/clock" | "/admin/notices/{id}/retry" | "/admin/sign-out" => "",
        _ => panic!("say what {path} is to be tried with"),
    }
}

/// What there is of acme's.
struct Targets {
    key: String,
    owner: String,
}

impl Targets {
    fn at(&self, path: &str) -> String {
        let id = match path.split('/').nth(2).unwrap_or_default() {
            "keys" => &self.key,
            "owners" => &self.owner,
            _ => "1",
        };
        let path = path.replace("{id}", id).replace("{tenant}", "acme");
        assert!(!path.contains('{'), "say what {path} is to be tried on");
        path
    }
}

async fn targets(desk: &Desk<'_>) -> Targets {
    let (key, _) = desk.face.key().await;
    desk.face.app.sweep().await;
    Targets { key, owner: desk.face.ada().await }
}

on_each_engine! {
    async fn nobody_gets_further_than_the_sign_in(app: TestApp) {
        let desk = Desk::new(&app).await;
        let targets = targets(&desk).await;
        for route in admin::routes() {
            let body = if route.method == "POST" { form(route.path) } else { "" };
            let headers = [("sec-fetch-site", "same-origin"), ("cookie", "__Host-lapsed=0")];
            let reply = desk.send(route.method, &targets.at(route.path), &headers, body).await;
            assert_eq!((reply.status, reply.header("location")), (303, "/admin/sign-in"), "{}", route.path);
        }
    }
}

on_each_engine! {
    async fn a_role_opens_what_its_routes_say_and_no_more(app: TestApp) {
        let desk = Desk::new(&app).await;
        let targets = targets(&desk).await;
        for role in Role::ALL {
            // Signing out is the last of the routes.
            let browser = desk.holder(*role, None).await;
            for route in admin::routes() {
                let path = targets.at(route.path);
                let reply = match route.method {
                    "POST" => desk.post(&browser, &path, form(route.path)).await,
                    _ => desk.get(&browser, &path).await,
                };
                assert_eq!(reply.status == 403, !route.roles.contains(role), "{role}: {path}: {reply:?}");
                assert!(reply.status < 500, "{role}: {path}: {reply:?}");
            }
        }
    }
}

#[test]
fn seeing_is_for_all_and_changing_is_for_few() {
    for route in admin::routes() {
        let roles = route.roles;
        assert_eq!(roles.contains(&Role::Viewer), roles.len() == 4, "{}", route.path);
        if route.method == "POST" && route.path != "/admin/sign-out" {
            assert!(!roles.contains(&Role::Auditor), "{} changes something", route.path);
        }
    }
}

on_each_engine! {
    async fn a_session_of_one_tenant_neither_sees_nor_changes_another(app: TestApp) {
        let desk = Desk::new(&app).await;
        let targets = targets(&desk).await;
        app.execute(
            "INSERT INTO tenants (id, slug, name, contacts, created_at) VALUES (50, 'other', 'Other', '[]', 0)",
        )
        .await;
        let trail = "SELECT COUNT(*) FROM audit_events WHERE tenant_id = 1";
        let before: i64 = app.column(trail).await[0];
        let browser = desk.holder(Role::Admin, Some(50)).await;
        for route in admin::routes().into_iter().filter(|route| route.path != "/admin/sign-out") {
            let path = targets.at(route.path);
            let reply = match route.method {
                "POST" => desk.post(&browser, &path, form(route.path)).await,
                _ => desk.get(&browser, &path).await,
            };
            // What holds the daemon up is the installation's.
            let status = match route.path {
                path if path.starts_with("/admin/guards") => 403,
                path if path.contains('{') => 404,
                _ => 200,
            };
            assert_eq!(reply.status, status, "{path}");
            for of_acme in ["acme", &targets.key, &targets.owner] {
                assert!(!reply.text.contains(of_acme), "{path}: {}", reply.text);
            }
        }
        for path in ["/admin/keys?tenant=acme", "/admin/owners?tenant=acme"] {
            assert_eq!(desk.get(&browser, path).await.status, 404, "{path}");
        }
        let after: i64 = app.column(trail).await[0];
        assert_eq!(before, after, "nothing of acme's was changed");
    }
}

//! What the pages show and do.

use chrono::TimeDelta;
use lapsed::{
    domain::{brake, identity::Role},
    store::flags::{self, PAUSE_PURGE},
};

use crate::{admin_pages::Desk, on_each_engine, support::app::days};

on_each_engine! {
    async fn the_overview_counts_and_its_chart_and_table_say_the_same(app: TestApp) {
        let desk = Desk::new(&app).await;
        for (id, ahead) in [(101, 3), (102, 3), (103, 40), (104, 89), (105, 91), (106, -1)] {
            app.key(id, days(ahead)).await;
        }
        app.execute("UPDATE owners SET mail_status = 2 WHERE id = 1").await;
        app.execute("UPDATE api_keys SET parked = 'nonsense' WHERE id = 103").await;
        let page = desk.get(&desk.root().await, "/admin").await;
        let text = &page.text;
        // With the token of root itself, which has 90 days too: it ends on the 90th day from now.
        assert!(text.contains("3 keys expire in the next 90 days"), "{text}");
        assert_eq!(text.matches("<rect").count(), 2);
        assert_eq!(text.matches("/admin/keys?day=").count(), 2);
        assert!(text.contains("<td class=\"n\">2</td>"), "{text}");
        assert!(text.contains("One owner cannot be reached by mail"), "{text}");
        assert!(text.contains("One key is put aside"), "{text}");
        assert!(!text.contains("<script") && !text.contains(" style="), "no script, no inline style");
        for path in ["/admin/keys?state=parked", "/admin/owners?mail=refused"] {
            assert!(text.contains(path), "{path}");
        }
        // A tenant's own numbers, and nothing of the installation.
        let of_acme = desk.get(&desk.holder(Role::Viewer, Some(1)).await, "/admin").await;
        assert!(of_acme.text.contains("3 keys expire") && !of_acme.text.contains("Recent runs"));
    }
}

on_each_engine! {
    async fn keys_are_found_by_what_is_in_the_address(app: TestApp) {
        let desk = Desk::new(&app).await;
        for id in 101..=160 {
            app.key(id, days(id - 90)).await;
        }
        app.execute("UPDATE api_keys SET name = '100%_sure' WHERE id = 150").await;
        let browser = desk.root().await;
        let first = desk.get(&browser, "/admin/keys?tenant=acme&state=active").await;
        assert_eq!(first.text.matches("href=\"/admin/keys/key").count(), 50);
        let (_, rest) = first.text.split_once("href=\"/admin/keys?").unwrap();
        let next = rest.split('"').next().unwrap().replace("&amp;", "&");
        let second = desk.get(&browser, &format!("/admin/keys?{next}")).await;
        assert_eq!(second.text.matches("href=\"/admin/keys/key").count(), 10, "{next}");
        for (query, n) in [
            ("q=SURE", 1),
            ("q=0%25_s", 1),
            ("q=%25", 1),
            ("q=key000000101", 1),
            ("q=ada@acme&state=revoked", 0),
            ("within=12", 2),
            ("q=%27+OR+1=1", 0),
        ] {
            let page = desk.get(&browser, &format!("/admin/keys?{query}")).await;
            assert_eq!(page.text.matches("href=\"/admin/keys/key").count(), n, "{query}");
        }
        for query in ["state=nonsense", "cursor=x", "unknown=1", "kind=robot"] {
            assert_eq!(desk.get(&browser, &format!("/admin/keys?{query}")).await.status, 400, "{query}");
        }
    }
}

on_each_engine! {
    async fn a_key_tells_its_story_and_is_revoked_only_by_its_name(app: TestApp) {
        let desk = Desk::new(&app).await;
        let (id, text) = desk.face.key().await;
        let browser = desk.root().await;
        let path = format!("/admin/keys/{id}");
        let page = desk.get(&browser, &path).await;
        for words in ["key.created", "What comes next", "the owner is told that it expires within 30 days"] {
            assert!(page.text.contains(words), "{words}: {}", page.text);
        }
        let wrong = desk.post(&browser, &format!("{path}/revoke"), "name=Deploy").await;
        assert!(wrong.status == 422 && wrong.text.contains("That is not the name"), "{wrong:?}");
        assert_eq!(desk.face.verify(&text).await, "valid");
        let done = desk.post(&browser, &format!("{path}/revoke"), "name=deploy&reason=leaked").await;
        assert_eq!((done.status, done.header("location")), (303, path.as_str()));
        assert_eq!(desk.face.verify(&text).await, "revoked");
        let page = desk.get(&browser, &path).await;
        assert!(page.text.contains("key.revoked") && page.text.contains("leaked"));
        assert!(!page.text.contains("/revoke\""), "it is revoked already");
    }
}

on_each_engine! {
    async fn an_owner_leaves_after_a_preview_and_by_their_address(app: TestApp) {
        let desk = Desk::new(&app).await;
        let (_, text) = desk.face.key().await;
        let (browser, ada) = (desk.root().await, desk.face.ada().await);
        let path = format!("/admin/owners/{ada}");
        let preview = desk.get(&browser, &format!("{path}?end=")).await;
        assert!(preview.text.contains("One key would end earlier"), "{}", preview.text);
        assert_eq!(desk.face.verify(&text).await, "valid", "looking changes nothing");
        let offboard = format!("{path}/offboard");
        assert_eq!(desk.post(&browser, &offboard, "end=&name=Ada").await.status, 422);
        assert_eq!(desk.face.verify(&text).await, "valid");
        assert_eq!(desk.post(&browser, &offboard, "end=&name=ada@acme.example").await.status, 303);
        assert_ne!(desk.face.verify(&text).await, "valid");
    }
}

on_each_engine! {
    async fn a_policy_is_tried_out_before_it_is_changed(app: TestApp) {
        let desk = Desk::new(&app).await;
        desk.face.key().await;
        let browser = desk.root().await;
        let asked = "/admin/policies/acme?field=window_days&value=3&kind=user";
        let tried = desk.get(&browser, asked).await;
        assert!(tried.text.contains("1 would have a window of another length"), "{}", tried.text);
        assert!(!tried.text.contains("from the tenant"), "nothing was set");
        let viewer = desk.holder(Role::Viewer, None).await;
        assert!(!desk.get(&viewer, asked).await.text.contains("Apply this change"));
        let (change, path) = ("field=window_days&value=3&kind=user", "/admin/policies/acme");
        assert_eq!(desk.post(&browser, path, change).await.status, 400, "nobody has tried it out");
        let set = desk.post(&browser, path, &format!("{change}&seen={}", seen_in(&tried.text))).await;
        assert_eq!(set.status, 303, "{}", set.text);
        let late = desk.post(&browser, path, &format!("{change}&seen={}", seen_in(&tried.text))).await;
        assert!(late.status == 412 && late.text.contains("Somebody else changed this"), "{}", late.text);
        let after = desk.get(&browser, "/admin/policies/acme").await;
        assert_eq!(after.text.matches("from the tenant").count(), 1, "{}", after.text);
        let wrong = desk.get(&browser, "/admin/policies/acme?field=window_day&value=3").await;
        assert!(wrong.status == 422 && wrong.text.contains("unknown field"), "{}", wrong.text);
    }
}

/// What a page says the rules were when a change was tried out.
pub fn seen_in(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"seen\" value=\"").expect("a change was tried out");
    rest.split('"').next().unwrap()
}

on_each_engine! {
    async fn a_stricter_policy_reaches_the_keys_that_exist_as_it_was_tried_out(app: TestApp) {
        let desk = Desk::new(&app).await;
        for id in 101..=103 {
            app.key(id, days(80)).await;
        }
        let browser = desk.root().await;
        let change = "field=max_ttl_days&value=20&kind=user&notice=10&spread=5";
        let tried = desk.get(&browser, &format!("/admin/policies/acme?{change}")).await;
        assert!(tried.text.contains("3 would end sooner"), "{}", tried.text);
        let ends = "SELECT expires_at FROM api_keys WHERE id BETWEEN 101 AND 103";
        let before: Vec<i64> = app.column(ends).await;
        let form = format!("{change}&seen={}", seen_in(&tried.text));
        assert_eq!(desk.post(&browser, "/admin/policies/acme", &form).await.status, 303);
        let after: Vec<i64> = app.column(ends).await;
        let first = (app.now() + days(10)).timestamp_millis();
        let last = (app.now() + days(20)).timestamp_millis();
        assert!(before.iter().all(|at| last < *at));
        assert!(after.iter().all(|at| (first..=last).contains(at)), "{after:?}");
        for wrong in ["notice=0", "notice=x", "spread=5", "notice=10&spread=900"] {
            let asked = format!("/admin/policies/acme?field=max_ttl_days&value=20&{wrong}");
            assert_eq!(desk.get(&browser, &asked).await.status, 400, "{wrong}");
        }
    }
}

on_each_engine! {
    async fn the_preview_of_a_leave_counts_every_key(app: TestApp) {
        let desk = Desk::new(&app).await;
        for id in 101..=350 {
            app.key(id, days(40)).await;
        }
        let path = format!("/admin/owners/{}?end=", desk.face.ada().await);
        let preview = desk.get(&desk.root().await, &path).await;
        assert!(preview.text.contains("250 keys would end earlier"), "{}", preview.text);
        assert!(preview.text.contains("And 50 more."), "{}", preview.text);
        assert!(preview.text.contains("/admin/keys?q=ada%40acme.example"), "{}", preview.text);
    }
}

on_each_engine! {
    async fn mails_that_are_stuck_are_the_ones_that_are_listed(app: TestApp) {
        let desk = Desk::new(&app).await;
        app.key(101, days(7)).await;
        app.key(102, days(7)).await;
        app.pass().await;
        app.owner(60, "bob@acme.example").await;
        app.key_of(60, 103, days(7)).await;
        app.pass().await;
        app.execute("UPDATE messages SET status = 6 WHERE owner_id = 60").await;
        app.execute("UPDATE notices SET status = 2 WHERE owner_id = 60").await;
        let browser = desk.root().await;
        let page = desk.get(&browser, "/admin").await;
        let (_, rest) = page.text.split_once("<a href=\"/admin/notices?mail=stuck\">").expect(&page.text);
        assert!(rest.starts_with("One mail failed or is put aside"), "{rest}");
        let listed = desk.get(&browser, "/admin/notices?mail=stuck").await;
        assert_eq!(listed.text.matches("href=\"/admin/notices/").count(), 1, "{}", listed.text);
        assert!(listed.text.contains("bob@acme.example"));
        assert_eq!(desk.get(&browser, "/admin/notices?mail=lost").await.status, 400);
    }
}

on_each_engine! {
    async fn a_new_installation_needs_no_attention(app: TestApp) {
        let desk = Desk::new(&app).await;
        app.pass().await;
        let page = desk.get(&desk.root().await, "/admin").await;
        // Nobody is told of a token, and nobody is missed.
        assert!(page.text.contains("Nothing needs attention"), "{}", page.text);
    }
}

on_each_engine! {
    async fn a_plan_is_released_where_the_overview_leads_and_only_by_its_size(app: TestApp) {
        let limits = brake::Limits::default();
        let app = app.with(|deps| deps.limits.brake = limits);
        let desk = Desk::new(&app).await;
        for id in 101..=120 {
            app.key(id, days(1)).await;
        }
        app.sweep().await;
        app.clock.advance(days(1));
        app.sweep().await;
        let browser = desk.root().await;
        let overview = desk.get(&browser, "/admin").await;
        assert!(overview.text.contains("<a href=\"/admin/guards\">The brake holds back the expiry of 20 keys"), "{}", overview.text);
        let page = desk.get(&browser, "/admin/guards").await;
        let (_, rest) = page.text.split_once("name=\"hash\" value=\"").expect(&page.text);
        let hash = rest.split('"').next().unwrap();
        let operator = desk.get(&desk.holder(Role::Operator, None).await, "/admin/guards").await;
        assert!(operator.text.contains(hash) && !operator.text.contains("name=\"hash\""), "{}", operator.text);
        for wrong in [format!("hash={hash}&n=19"), format!("hash={hash}"), format!("hash={}&n=20", "0".repeat(64))] {
            let refused = desk.post(&browser, "/admin/guards/brake", &wrong).await;
            assert!(refused.status == 422 && refused.text.contains("Nothing was released"), "{refused:?}");
        }
        app.sweep().await;
        let active = "SELECT COUNT(*) FROM api_keys WHERE state = 1 AND kind = 1";
        assert_eq!(app.column::<i64>(active).await[0], 20, "it is held back still");
        let released = desk.post(&browser, "/admin/guards/brake", &format!("hash={hash}&n=20")).await;
        assert_eq!((released.status, released.header("location")), (303, "/admin/guards"));
        let page = desk.get(&browser, "/admin/guards").await;
        assert!(page.text.contains("Released: the next run carries it out."), "{}", page.text);
        // What is held back is looked at every five minutes.
        app.clock.advance(TimeDelta::minutes(5));
        app.sweep().await;
        assert_eq!(app.column::<i64>(active).await[0], 0);
        let page = desk.get(&browser, "/admin/guards").await;
        assert!(page.text.contains("Nothing holds it up."), "{}", page.text);
    }
}

on_each_engine! {
    async fn a_pause_and_a_doubt_end_where_the_overview_leads(app: TestApp) {
        let app = app.with(|deps| deps.limits.settle = Some(days(1)));
        let desk = Desk::new(&app).await;
        app.key(101, days(31)).await;
        app.sweep().await;
        flags::set(&app.db, "test", PAUSE_PURGE, "the audit").await.unwrap();
        app.clock.set(app.now() + days(2));
        app.sweep().await;
        let browser = desk.root().await;
        let overview = desk.get(&browser, "/admin").await;
        assert_eq!(overview.text.matches("href=\"/admin/guards\"").count(), 2, "{}", overview.text);
        let page = desk.get(&browser, "/admin/guards").await;
        assert!(page.text.contains("The clock is not believed") && page.text.contains("the audit"), "{}", page.text);
        assert_eq!(desk.post(&browser, "/admin/guards/clock", "").await.status, 303);
        assert_eq!(desk.post(&browser, "/admin/guards/resume", "flag=pause.nothing").await.status, 400);
        let resume = format!("flag={PAUSE_PURGE}");
        assert_eq!(desk.post(&browser, "/admin/guards/resume", &resume).await.status, 303);
        app.sweep().await;
        let page = desk.get(&browser, "/admin/guards").await;
        assert!(page.text.contains("Nothing holds it up."), "{}", page.text);
        let overview = desk.get(&browser, "/admin").await;
        assert!(!overview.text.contains("/admin/guards"), "{}", overview.text);
    }
}

on_each_engine! {
    async fn a_notice_shows_its_mail_without_the_link(app: TestApp) {
        let app = app.with(|deps| crate::links::enable(deps, "https://keys.example"));
        let desk = Desk::new(&app).await;
        let (id, _) = desk.face.key().await;
        app.clock.advance(days(83));
        app.sweep().await;
        app.job("deliver").await;
        let browser = desk.sign_in(&desk.face.token(Role::Viewer, Some(1)).await.1).await;
        let list = desk.get(&browser, "/admin/notices?status=told").await;
        let (_, rest) = list.text.split_once("href=\"/admin/notices/").unwrap();
        let page = desk.get(&browser, &format!("/admin/notices/{}", rest.split('"').next().unwrap())).await;
        assert!(page.text.contains("deploy") && page.text.contains(&id), "{}", page.text);
        assert!(page.text.contains("<pre") && !page.text.contains("/k/"), "{}", page.text);
    }
}

on_each_engine! {
    async fn the_trail_is_read_newest_first(app: TestApp) {
        let desk = Desk::new(&app).await;
        let (id, _) = desk.face.key().await;
        let page = desk.get(&desk.holder(Role::Auditor, None).await, "/admin/audit?action=KEY.").await;
        assert!(page.text.contains("key.created") && page.text.contains(&id), "{}", page.text);
        assert!(!page.text.contains("admin.signed-in"));
    }
}

on_each_engine! {
    async fn every_page_has_its_headers_and_speaks_german(app: TestApp) {
        let desk = Desk::new(&app).await;
        let browser = desk.root().await;
        for path in ["/admin", "/admin/sign-in", "/admin/keys", "/admin/nothing", "/admin/keys/000000000000"] {
            let headers = [("cookie", browser.cookie.as_str()), ("accept-language", "de")];
            let page = desk.send("GET", path, &headers, "").await;
            assert!(page.text.contains("<html lang=\"de\">"), "{path}: {page:?}");
            for (name, value) in [
                ("content-security-policy", "default-src 'none'; style-src 'self'; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'"),
                ("strict-transport-security", "max-age=31536000"),
                ("referrer-policy", "no-referrer"),
                ("x-content-type-options", "nosniff"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(page.header(name), value, "{path}");
            }
        }
    }
}

on_each_engine! {
    async fn an_overview_of_many_days_is_small(app: TestApp) {
        let desk = Desk::new(&app).await;
        for day in 0..90 {
            app.key(200 + day, days(day)).await;
        }
        let page = desk.get(&desk.root().await, "/admin").await;
        assert!(page.text.len() < 50_000, "{}", page.text.len());
    }
}

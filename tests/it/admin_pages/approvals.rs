//! What waits for a second administrator, on the pages.

use std::sync::Arc;

use chrono::TimeDelta;
use lapsed::{
    domain::{brake, identity::Role},
    store::admin_tokens::Holder,
};

use crate::{
    admin_pages::Desk,
    api::approvals::{Board, strict},
    on_each_engine,
    support::app::days,
};

on_each_engine! {
    async fn one_asks_by_a_form_and_another_approves_by_one(app: TestApp) {
        let board = Board::new(&app).await;
        let (key, secret) = board.face.key().await;
        let (grace, heidi) = (board.grace.clone(), board.heidi.clone());
        let desk = Desk::of(board.face);
        let (grace, heidi) = (desk.sign_in(&grace).await, desk.sign_in(&heidi).await);
        assert!(!desk.get(&heidi, "/admin").await.text.contains("/admin/approvals?"));
        let asked = desk.post(&grace, &format!("/admin/keys/{key}/revoke"), "name=deploy&reason=leaked").await;
        let path = asked.header("location").to_owned();
        assert!(asked.status == 303 && path.starts_with("/admin/approvals/"), "{asked:?}");
        assert_eq!(desk.face.verify(&secret).await, "valid");

        let overview = desk.get(&heidi, "/admin").await;
        assert!(overview.text.contains("<a href=\"/admin/approvals\">One request waits for a second administrator"), "{}", overview.text);
        let list = desk.get(&heidi, "/admin/approvals").await;
        assert!(list.text.contains(&path) && list.text.contains("grace@acme.example"), "{}", list.text);
        let own = desk.get(&grace, &path).await;
        assert!(own.text.contains("Another administrator") && !own.text.contains("/approve\""), "{}", own.text);
        let refused = desk.post(&grace, &format!("{path}/approve"), "name=deploy").await;
        assert!(refused.status == 403 && refused.text.contains("Another administrator"), "{refused:?}");
        let viewer = desk.get(&desk.holder(Role::Viewer, Some(1)).await, &path).await;
        assert!(viewer.text.contains("leaked") && !viewer.text.contains("<button class=\"bad\""), "{}", viewer.text);

        let page = desk.get(&heidi, &path).await;
        assert!(page.text.contains("is ended for good") && page.text.contains("leaked"), "{}", page.text);
        let refused = desk.post(&heidi, &format!("{path}/approve"), "name=another").await;
        assert!(refused.status == 422 && refused.text.contains("That is not the name"), "{refused:?}");
        assert!(refused.text.contains(&format!("<a href=\"{path}\">Back")), "{}", refused.text);
        assert_eq!(desk.face.verify(&secret).await, "valid");
        let done = desk.post(&heidi, &format!("{path}/approve"), "name=deploy").await;
        assert_eq!((done.status, done.header("location")), (303, path.as_str()), "{}", done.text);
        assert_eq!(desk.face.verify(&secret).await, "revoked");
        let page = desk.get(&heidi, &path).await;
        assert!(page.text.contains("approved") && !page.text.contains("/approve\""), "{}", page.text);
        assert!(!desk.get(&heidi, "/admin").await.text.contains("waits for a second"));
    }
}

on_each_engine! {
    async fn a_policy_and_an_access_wait_as_they_were_tried_out(app: TestApp) {
        let board = Board::new(&app).await;
        let (_, secret) = board.face.key().await;
        let ada = board.face.ada().await;
        let (grace, heidi) = (board.grace.clone(), board.heidi.clone());
        let desk = Desk::of(board.face);
        let (grace, heidi) = (desk.sign_in(&grace).await, desk.sign_in(&heidi).await);
        let change = "field=window_days&value=3&kind=user";
        let tried = desk.get(&grace, &format!("/admin/policies/acme?{change}")).await;
        let form = format!("{change}&seen={}", crate::admin_pages::pages::seen_in(&tried.text));
        let asked = desk.post(&grace, "/admin/policies/acme", &form).await;
        let policy = asked.header("location").to_owned();
        assert!(policy.starts_with("/admin/approvals/"), "{asked:?}");
        let page = desk.get(&heidi, &policy).await;
        assert!(page.text.contains("window_days is 3"), "{}", page.text);
        let asked = desk.post(&grace, &format!("/admin/owners/{ada}/offboard"), "end=&name=ada@acme.example").await;
        let access = asked.header("location").to_owned();
        assert!(access.starts_with("/admin/approvals/"), "{asked:?}");
        assert_eq!(desk.post(&heidi, &format!("{policy}/approve"), "").await.status, 303);
        let effective = desk.get(&heidi, "/admin/policies/acme").await;
        assert!(effective.text.contains("from the tenant"), "{}", effective.text);
        let unnamed = desk.post(&heidi, &format!("{access}/approve"), "name=ada").await;
        assert_eq!(unnamed.status, 422, "it ends keys: {}", unnamed.text);
        let rejected = desk.post(&heidi, &format!("{access}/reject"), "reason=she+stays").await;
        assert_eq!(rejected.status, 303, "{}", rejected.text);
        assert_eq!(desk.face.verify(&secret).await, "valid");
        assert!(desk.get(&grace, &access).await.text.contains("she stays"));
        assert_eq!(desk.get(&grace, "/admin/approvals?state=nonsense").await.status, 400);
        assert!(desk.get(&grace, "/admin/approvals?state=").await.text.contains(&access));
    }
}

on_each_engine! {
    async fn where_the_installation_asks_for_two_a_brake_is_released_by_two(app: TestApp) {
        let app = app.with(|deps| {
            deps.policies = Arc::new(strict(&deps.policies));
            deps.limits.brake = brake::Limits::default();
        });
        let desk = Desk::new(&app).await;
        for id in 101..=120 {
            app.key(id, days(1)).await;
        }
        app.sweep().await;
        app.clock.advance(days(1));
        app.sweep().await;
        let token = async |mail| desk.face.token_of(Holder::Mail(mail), Role::Admin, None).await.1;
        let grace = desk.sign_in(&token("grace@acme.example").await).await;
        let heidi = desk.sign_in(&token("heidi@acme.example").await).await;
        let page = desk.get(&grace, "/admin/guards").await;
        let (_, rest) = page.text.split_once("name=\"hash\" value=\"").expect(&page.text);
        let form = format!("hash={}&n=20", rest.split('"').next().unwrap());
        let asked = desk.post(&grace, "/admin/guards/brake", &form).await;
        let path = asked.header("location").to_owned();
        assert!(path.starts_with("/admin/approvals/"), "{asked:?}");
        app.clock.advance(TimeDelta::minutes(5));
        app.sweep().await;
        let active = "SELECT COUNT(*) FROM api_keys WHERE state = 1 AND kind = 1";
        assert_eq!(app.column::<i64>(active).await[0], 20, "it is held back still");
        for (name, status) in [("", 422), ("2", 422), ("20", 303)] {
            let done = desk.post(&heidi, &format!("{path}/approve"), &format!("name={name}")).await;
            assert_eq!(done.status, status, "{name}: {}", done.text);
        }
        app.clock.advance(TimeDelta::minutes(5));
        app.sweep().await;
        assert_eq!(app.column::<i64>(active).await[0], 0);
    }
}

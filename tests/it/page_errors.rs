//! What the pages of owners say to whoever does not come as expected.

use chrono::TimeDelta;

use crate::{
    links::enable,
    on_each_engine,
    pages::{Site, newest_link, secret_in},
    support::{app::days, secrets::Secrets},
};

on_each_engine! {
    async fn an_answer_that_is_loaded_anew_leads_back_and_does_nothing(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let path = format!("/k/{}/{}", link.expose(), key.id);
        for deed in ["rotate", "stop", "lapse", "resume", "otp", "otp/confirm"] {
            let answer = site.get(&format!("{path}/{deed}")).await;
            assert_eq!((answer.status, answer.header("location").unwrap()), (303, path.as_str()), "{deed}");
        }
        let again = site.get(&format!("/k/{}/again", link.expose())).await;
        assert_eq!((again.status, again.header("location").unwrap()), (303, &path[..path.len() - key.id.to_string().len() - 1]));
        for (form, page) in [("/mine/sign-out", "/mine"), ("/mine/7Hk2pQ9rT4aB/rotate", "/mine/7Hk2pQ9rT4aB")] {
            let again = site.get(form).await;
            assert_eq!((again.status, again.header("location").unwrap()), (303, page));
        }
        let n_mails = app.subjects().len();
        app.job("deliver").await;
        assert_eq!(app.subjects().len(), n_mails, "no other link was asked for");
        assert_eq!(secrets.finding(&key).await, "valid");
        assert!(secret_in(&site.post(&format!("{path}/rotate"), "overlap=1").await.body).is_some());
        site.close().await;
    }
}

on_each_engine! {
    async fn an_address_that_was_cut_off_is_said_to_be(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let site = Site::open(&secrets).await;
        for path in ["/k", "/k/", "/k/x/y/z", "/k/x/y/otp/z", "/reminders", "/reminders/", "/reminders/x"] {
            let answer = site.get(path).await;
            assert!(answer.status == 404 && answer.body.contains("it may have been cut off"), "{path}: {}", answer.body);
            assert!(answer.head.contains("default-src 'none'"), "{path}: {}", answer.head);
        }
        for path in ["/k/x", "/k/x/y", "/reminders/x/y"] {
            assert_eq!(site.get(path).await.status, 410, "{path}");
        }
        site.close().await;
    }
}

on_each_engine! {
    async fn whoever_guesses_codes_is_told_until_when_by_their_own_clock(app: TestApp) {
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let secrets = Secrets::new(&app).await;
        secrets.require_mfa().await;
        let key = secrets.create().await;
        secrets.enrol(&[]).await;
        app.clock.advance(days(83));
        let link = newest_link(&app).await;
        let site = Site::open(&secrets).await;
        let rotate = format!("/k/{}/{}/rotate", link.expose(), key.id);
        let mut page = site.post(&rotate, "overlap=0&otp=000000").await.body;
        for _ in 0..20 {
            if page.contains("Too many wrong codes. Try again after") {
                break;
            }
            app.clock.advance(TimeDelta::seconds(1));
            page = site.post(&rotate, "overlap=0&otp=000000").await.body;
        }
        let (_, until) = page.split_once("Try again after ").expect(&page);
        // Ada is in Berlin, and it is summer time by now.
        assert!(until.starts_with("2027-04-08 10:") && until[19..].starts_with(" CEST."), "{until}");
        site.close().await;
    }
}

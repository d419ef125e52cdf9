//! Guesses of a code that come all at once.

use futures_util::future::join_all;

use crate::{
    api::{
        own::{next_code, rotate, with_otp},
        text,
    },
    on_each_engine,
    support::app::days,
};

/// Wrong codes before the first wait.
const FREE: usize = 5;

on_each_engine! {
    async fn of_fifty_posts_of_one_good_code_one_wins(app: TestApp) {
        let (face, seed) = with_otp(&app).await;
        let (_, key) = face.key().await;
        app.clock.advance(days(90));
        app.sweep().await;
        let code = next_code(&face, &seed);
        let replies = join_all((0..50).map(|_| rotate(&face, &key, Some(&code)))).await;
        let won: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
        assert_eq!(won.len(), 1, "{:?}", replies.iter().map(|reply| reply.code()).collect::<Vec<_>>());
        assert_eq!(face.verify(&text(&won[0].json()["secret"])).await, "valid");
        assert!(replies.iter().all(|reply| reply.status < 500), "{replies:?}");
        let versions: Vec<i64> = app.column("SELECT MAX(s.version) FROM key_secrets s JOIN api_keys k ON k.id = s.key_id WHERE k.kind = 1").await;
        assert_eq!(versions, [2]);
    }
}

on_each_engine! {
    async fn guesses_at_the_same_moment_never_exceed_the_budget(app: TestApp) {
        let (face, _) = with_otp(&app).await;
        let (_, key) = face.key().await;
        app.clock.advance(days(90));
        app.sweep().await;
        let replies = join_all((0..40).map(|_| rotate(&face, &key, Some("000000")))).await;
        let looked_at = replies.iter().filter(|reply| reply.code() == "otp-invalid").count();
        assert!((1..=FREE).contains(&looked_at), "{looked_at}");
        assert!(replies.iter().all(|reply| [403, 409, 429, 503].contains(&reply.status)), "{replies:?}");
    }
}

//! Guesses: of a code, all at once, and of keys, one after the other.

use futures_util::future::join_all;
use lapsed::{
    domain::{
        identity::{KeyKind, PublicId},
        token::{Brand, Class, Token},
    },
    http::{Proxies, v1::Guesses},
};
use serde_json::json;

use crate::{
    api::{
        Face, Reply,
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

/// A key in the right form that nobody has.
fn made_up() -> String {
    let (brand, id) = (Brand::new("lp").unwrap(), PublicId::from_random(rand::random()));
    let token = Token::new(brand, KeyKind::User, Class::Live, id, &rand::random());
    token.expose().to_owned()
}

async fn verify(face: &Face<'_>, key: &str, from: &str) -> Reply {
    let body = json!({ "key": key });
    face.send("POST", "/v1/keys/verify", &[("x-forwarded-for", from)], Some(&body)).await
}

on_each_engine! {
    async fn whoever_makes_keys_up_is_slowed_and_good_ones_are_not(app: TestApp) {
        // Without a socket no peer is known: it stands for the proxy.
        let proxies = Proxies::new(&["::".parse().unwrap()]);
        let face = Face::against(&app, Guesses::new(proxies, 1)).await;
        let ((_, good), (_, unseen)) = (face.key().await, face.key().await);
        let (one, other) = ("198.51.100.7", "198.51.100.8");
        assert_eq!(verify(&face, &good, one).await.json()["code"], "valid");
        // Ten at once, and one more in each second that this takes.
        let mut n_refused = 0;
        for _ in 0..60 {
            let reply = verify(&face, &made_up(), one).await;
            match reply.status {
                200 => assert_eq!(reply.json()["code"], "invalid"),
                _ => {
                    assert_eq!((reply.status, reply.code()), (429, "too-many-guesses".to_owned()));
                    assert_eq!(reply.header("retry-after"), "1");
                    n_refused += 1;
                }
            }
        }
        assert!((30..=50).contains(&n_refused), "{n_refused}");
        let mut bearer = format!("Bearer {}", made_up());
        // As long as somebody floods, there is nothing left for others at this address.
        let flood = async || {
            for _ in 0..4 {
                verify(&face, &made_up(), one).await;
            }
        };
        for path in ["/v1/keys", "/v1/self", "/v1/forward-auth"] {
            flood().await;
            let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", one)];
            assert_eq!(face.send("GET", path, &headers, None).await.status, 429, "{path}");
        }
        flood().await;
        assert_eq!(verify(&face, &unseen, one).await.status, 429, "it may be good, or not");
        for _ in 0..100 {
            assert_eq!(verify(&face, &good, one).await.json()["code"], "valid");
        }
        for (path, token, status) in [
            ("/v1/keys", &face.root, 200),
            ("/v1/self", &good, 200),
            ("/v1/forward-auth", &good, 204),
            ("/v1/keys", &"nonsense".to_owned(), 401),
            ("/v1/forward-auth", &"nonsense".to_owned(), 401),
        ] {
            bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", one)];
            assert_eq!(face.send("GET", path, &headers, None).await.status, status, "{path}");
        }
        assert_eq!(verify(&face, &unseen, other).await.json()["code"], "valid", "another client");
        flood().await;
        assert_eq!(verify(&face, &unseen, one).await.json()["code"], "valid", "and known by now");
    }
}

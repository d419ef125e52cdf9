//! What an operator sees of the past, and what they can set going again.

use lapsed::store::{
    health,
    history::{self, NoticeFilter},
    retry::{self, Retried, Which},
};

use crate::{
    on_each_engine,
    support::app::{TestApp, days},
};

/// Two notices in a message that failed, and one that never got into any.
async fn failures(app: &TestApp) {
    app.people().await;
    for id in 1..=3 {
        app.key(id, days(5)).await;
    }
    app.execute(
        "INSERT INTO messages (id, header_id, tenant_id, owner_id, audience, recipients, status, \
         created_at, attempts, crashes, ambiguous, last_reply) \
         VALUES (9, 'x@y', 1, 1, 1, '[\"ada@acme.example\"]', 4, 0, 12, 0, 0, '550 no such user')",
    )
    .await;
    for (id, message) in [(1, "9"), (2, "9"), (3, "NULL")] {
        app.execute(&format!(
            "INSERT INTO notices (id, key_id, tenant_id, owner_id, stage, expires_at, status, \
             created_at, due_at, message_id) VALUES ({id}, {id}, 1, 1, 7, 0, 7, 0, 0, {message})"
        ))
        .await;
    }
}

on_each_engine! {
    async fn a_failed_notice_is_tried_again_with_its_message(app: TestApp) {
        failures(&app).await;
        let retried = retry::retry(&app.db, "operator", Which::One(1)).await.unwrap();
        assert_eq!(retried, Retried { n_messages: 1, n_notices: 2 });
        let status: Vec<i16> = app.column("SELECT status FROM notices ORDER BY id").await;
        assert_eq!(status, [2, 2, 7]);
        let header: Vec<String> = app.column("SELECT header_id FROM messages WHERE status = 1").await;
        assert_eq!(header, ["x@y"], "it is the same mail");

        let retried = retry::retry(&app.db, "operator", Which::All).await.unwrap();
        assert_eq!(retried, Retried { n_messages: 0, n_notices: 1 });
        let retried = retry::retry(&app.db, "operator", Which::All).await.unwrap();
        assert_eq!(retried, Retried::default());
        assert_eq!(app.count("audit_events").await, 2, "and what did nothing leaves no line");
    }
}

on_each_engine! {
    async fn a_notice_is_shown_with_the_servers_last_words(app: TestApp) {
        failures(&app).await;
        let notices = history::notices(&app.db, NoticeFilter::default(), 10).await.unwrap();
        let ids: Vec<i64> = notices.iter().map(|notice| notice.id).collect();
        assert_eq!(ids, [3, 2, 1], "newest first");
        assert_eq!(notices[2].email.as_deref(), Some("ada@acme.example"));
        let message = notices[2].message.as_ref().unwrap();
        assert_eq!(message.last_reply.as_deref(), Some("550 no such user"));
        assert_eq!(notices[0].message, None);
    }
}

on_each_engine! {
    async fn health_counts_what_there_is_and_what_waits(app: TestApp) {
        failures(&app).await;
        app.execute("UPDATE owners SET mail_status = 2").await;
        app.execute("UPDATE api_keys SET parked = 'state is 9', next_action_at = NULL WHERE id = 3").await;
        let health = health::health(&app.db, app.now()).await.unwrap();
        assert_eq!((health.n_active, health.n_parked, health.n_failed_messages), (3, 1, 1));
        assert_eq!((health.due.n, health.due.oldest_at), (2, Some(app.now())));
        assert_eq!(health.n_unreachable, 1);
        health::probe_write(&app.db).await.unwrap();
        assert_eq!(app.count("audit_events").await, 0, "a probe leaves nothing");
    }
}

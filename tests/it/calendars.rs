//! The attachment for calendars, as it arrives.

use chrono::TimeDelta;
use lapsed::mail::transport::Outgoing;
use mail_parser::{MessageParser, MimeHeaders as _};

use crate::{
    on_each_engine,
    support::{app::days, secrets::Secrets},
};

/// The values called `name` in the calendar of a mail.
fn values(mail: &Outgoing, name: &str) -> Vec<String> {
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    let calendars: Vec<String> = parsed
        .attachments()
        .filter(|part| {
            part.content_type()
                .is_some_and(|kind| kind.ctype() == "text" && kind.subtype() == Some("calendar"))
        })
        .map(|part| String::from_utf8(part.contents().to_vec()).unwrap())
        .collect();
    assert_eq!(calendars.len(), 1, "one calendar");
    let lines = calendars[0].lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    lines.map(str::to_owned).collect()
}

on_each_engine! {
    async fn the_entry_of_a_reminder_is_moved_by_the_mail_of_a_rotation(app: TestApp) {
        let secrets = Secrets::new(&app).await;
        let key = secrets.create().await;
        app.pass().await;
        app.clock.advance(days(83));
        app.pass().await;
        secrets.rotate(&key).await.unwrap();
        app.clock.advance(TimeDelta::minutes(1));
        app.pass().await;
        let mails = app.outbox.sent();
        let [created, reminder, rotated] = mails.as_slice() else { panic!("{:?}", app.subjects()) };
        let uid = values(created, "UID");
        assert!(uid.len() == 1 && uid[0].starts_with(&format!("key.{}@", key.id)), "{uid:?}");
        for (mail, end) in [(created, "20270415T080000Z"), (reminder, "20270415T080000Z"), (rotated, "20270707T080000Z")] {
            assert_eq!(values(mail, "UID"), uid);
            assert_eq!(values(mail, "DTSTART").len(), 1);
            assert!(values(mail, "DTSTART")[0].starts_with(&end[..13]), "{:?}", values(mail, "DTSTART"));
        }
        let order: Vec<i64> = mails.iter().map(|mail| values(mail, "SEQUENCE")[0].parse().unwrap()).collect();
        assert!(order.is_sorted() && order[0] < order[1] && order[1] < order[2], "{order:?}");
    }
}

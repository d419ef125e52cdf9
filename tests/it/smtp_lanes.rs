//! Lanes and their connections: time limits, limits of use, a relay that is away, a stop.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lapsed::mail::{
    outcome::{Class, Outcome, SmtpStage},
    smtp::{Credentials, Security, SmtpSettings, Timeouts},
    transport::{Outgoing, STOPPING, Transport},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{
    proxy::{Fault, Proxy},
    smtp::{
        Action, PASSWORD, Plan, Step, TestCert, USER,
        sending::{PATIENCE, classes, impatient, mail, send_all, send_until, settings},
    },
};

fn with_sign_in(settings: SmtpSettings) -> SmtpSettings {
    let credentials = Credentials { username: USER.to_owned(), password: PASSWORD.into() };
    SmtpSettings { credentials: Some(credentials), ..settings }
}

#[tokio::test]
async fn a_relay_that_goes_quiet_costs_one_time_limit_at_every_stage() {
    let cert = TestCert::for_name("localhost");
    let stages = [
        (Step::Connect, SmtpStage::Connect),
        (Step::Ehlo, SmtpStage::Hello),
        (Step::StartTls, SmtpStage::Tls),
        (Step::Auth, SmtpStage::Auth),
        (Step::Mail, SmtpStage::Mail),
        (Step::Rcpt, SmtpStage::Rcpt),
        (Step::Data, SmtpStage::Data),
        (Step::Body, SmtpStage::Body),
    ];
    join_all(stages.map(|(step, stage)| stall(step, stage, &cert))).await;
}

/// The first connection goes quiet at `step`.
async fn stall(step: Step, stage: SmtpStage, cert: &TestCert) {
    let plan =
        Plan::scripted(
            move |connection, at, _| {
                if connection == 0 && at == step { Action::Stall } else { Action::Default }
            },
        );
    let server = plan.auth("PLAIN").starttls(cert).start().await;
    let settings = SmtpSettings {
        host: "localhost".to_owned(),
        security: Security::StartTls,
        ca_file: Some(cert.file.path().to_owned()),
        ..impatient(with_sign_in(settings(&server)))
    };
    let begun = Instant::now();
    let outcomes = send_all(&settings, (1..=3).map(mail)).await;
    // Generous: the machine may be busy, and reading the system's certificates takes its time. A
    // step without a limit would take minutes.
    assert!(begun.elapsed() < 60 * PATIENCE, "{stage}: {:?}", begun.elapsed());
    match &outcomes[0] {
        Outcome::NotSent { stage: at, .. } if stage != SmtpStage::Body => assert_eq!(*at, stage),
        outcome => assert!(matches!(outcome, Outcome::Unknown { .. }), "{stage}: {outcome:?}"),
    }
    let third = if stage.is_before_any_mail() { Some(Class::Channel) } else { None };
    assert_eq!(outcomes[2].class(), third, "{stage}: {:?}", outcomes[2]);
    assert!(send_all(&settings, [mail(4)]).await[0].is_accepted(), "it was the first time only");
}

#[tokio::test]
async fn bad_and_good_recipients_share_one_connection() {
    for has_pipelining in [true, false] {
        let plan = Plan::scripted(|_, step, line| match step {
            Step::Rcpt if line.contains("bad") => Action::reply("550 5.1.1 no such user"),
            _ => Action::Default,
        });
        let plan = if has_pipelining { plan } else { plan.without_pipelining() };
        let server = plan.start().await;
        let mails = (0..20).map(|id| {
            let to = if id % 2 == 0 { format!("bad{id}@x.org") } else { format!("good{id}@x.org") };
            Outgoing { to: vec![to], ..mail(id) }
        });
        let outcomes = send_all(&settings(&server), mails).await;
        let expected: Vec<_> =
            (0..20).map(|id| (id % 2 == 0).then_some(Class::Recipient)).collect();
        assert_eq!(classes(&outcomes), expected);
        let seen = server.seen();
        assert_eq!((seen.n_connections, seen.mails.len()), (1, 10), "pipelining {has_pipelining}");
    }
}

#[tokio::test]
async fn a_mail_goes_to_those_recipients_who_are_not_refused() {
    for has_pipelining in [true, false] {
        let plan = Plan::scripted(|_, step, line| match step {
            Step::Rcpt if line.contains("gone") => Action::reply("550 5.1.1 no such user"),
            Step::Rcpt if line.contains("full") => Action::reply("552 5.2.2 full"),
            _ => Action::Default,
        });
        let plan = if has_pipelining { plan } else { plan.without_pipelining() };
        let server = plan.start().await;
        let to = |names: &[&str]| names.iter().map(|name| format!("{name}@x.org")).collect();
        let some = Outgoing { to: to(&["gone", "here", "full"]), ..mail(1) };
        let none = Outgoing { to: to(&["gone", "full"]), ..mail(2) };
        let outcomes = send_all(&settings(&server), [some, none, mail(3)]).await;

        let Outcome::Accepted { refused, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
        let refused: Vec<_> = refused.iter().map(|r| (r.address.as_str(), r.class)).collect();
        let expected = [("gone@x.org", Class::Recipient), ("full@x.org", Class::MailboxFull)];
        assert_eq!(refused, expected);
        assert_eq!(classes(&outcomes[1..]), [Some(Class::Recipient), None]);
        let received: Vec<_> = server.seen().mails.into_iter().map(|mail| mail.to).collect();
        assert_eq!(received, [to(&["here"]), mail(3).to]);
    }
}

#[tokio::test]
async fn a_connection_is_used_for_so_many_mails_and_ends_politely() {
    let server = Plan::new().start().await;
    let settings = SmtpSettings { mails_per_connection: 10, ..settings(&server) };
    let outcomes = send_all(&settings, (0..25).map(mail)).await;
    assert!(outcomes.iter().all(Outcome::is_accepted));
    let seen = server.seen();
    let n_mails = |number| seen.mails.iter().filter(|mail| mail.connection == number).count();
    assert_eq!([0, 1, 2].map(n_mails), [10, 10, 5]);
    let quits = seen.commands.iter().filter(|(_, command)| command == "QUIT");
    assert_eq!(quits.map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test]
async fn after_a_rest_the_relay_is_asked_whether_it_is_still_there() {
    // It goes away right after the second mail, which only the NOOP before the third can tell.
    let plan = Plan::scripted(|connection, step, line| match step {
        Step::Body if connection == 0 && line.contains("owner2@") => {
            Action::ReplyThenClose("250 2.0.0 queued".to_owned())
        }
        _ => Action::Default,
    });
    let server = plan.start().await;
    let settings = SmtpSettings { idle_timeout: Duration::ZERO, ..settings(&server) };
    let (give, take) = mpsc::channel(1);
    let (report, mut reports) = mpsc::channel::<(i64, Outcome)>(1);
    let talk = async move {
        for id in 1..=3 {
            give.send(mail(id)).await.unwrap();
            let (reported, outcome) = reports.recv().await.unwrap();
            assert!(reported == id && outcome.is_accepted(), "mail {id}: {outcome:?}");
        }
    };
    let (transport, cancel) = (Transport::Smtp(settings), CancellationToken::new());
    tokio::join!(talk, transport.run(take, report, &cancel));
    let seen = server.seen();
    let noops = seen.commands.iter().filter(|(_, command)| command == "NOOP").count();
    assert_eq!((seen.n_connections, seen.mails.len(), noops), (2, 3, 1));
}

#[tokio::test]
async fn while_the_relay_is_away_mails_come_back_at_once() {
    let stalled = Plan::scripted(|_, _, _| Action::Stall).start().await;
    let settings = SmtpSettings { lanes: 4, ..impatient(settings(&stalled)) };
    let begun = Instant::now();
    let outcomes = send_all(&settings, (0..500).map(mail)).await;
    assert!(begun.elapsed() < 60 * PATIENCE, "{:?}", begun.elapsed());
    assert!(outcomes.iter().all(|outcome| outcome.class() == Some(Class::Channel)));
    assert!(stalled.seen().n_connections <= 4, "one attempt a lane");
    let told = outcomes[499].to_string();
    assert!(told.starts_with("connect: the channel is down: connect: no answer within"), "{told}");

    let settings = SmtpSettings { port: 1, ..settings };
    let outcomes = send_all(&settings, (0..500).map(mail)).await;
    assert!(outcomes.iter().all(|outcome| outcome.class() == Some(Class::Channel)));
    assert!(Transport::Smtp(settings).check().await.is_err());
}

#[tokio::test]
async fn a_stop_ends_soon_and_leaves_no_mail_without_an_outcome() {
    // As many as a lane takes at once, and more.
    join_all([2, 50].map(stop_while_sending)).await;
}

/// The relay goes quiet after the second message, and then a stop comes.
async fn stop_while_sending(n_mails: i64) {
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let plan = Plan::scripted(move |_, step, line| match step {
        Step::Body if line.contains("owner2@") => {
            stop.cancel();
            Action::Stall
        }
        _ => Action::Default,
    });
    let server = plan.start().await;
    let hour = Duration::from_secs(3600);
    let timeouts = Timeouts { connect: hour, reply: hour, data: hour, stop: PATIENCE };
    let settings = SmtpSettings { timeouts, ..settings(&server) };
    let begun = Instant::now();
    let outcomes = send_until(&settings, (1..=n_mails).map(mail), &cancel).await;
    assert!(begun.elapsed() < 60 * PATIENCE, "{:?}", begun.elapsed());
    assert!(outcomes[0].is_accepted());
    assert!(matches!(outcomes[1], Outcome::Unknown { .. }), "{:?}", outcomes[1]);
    let is_handed_back =
        |outcome: &Outcome| matches!(outcome, Outcome::NotSent { why, .. } if why == STOPPING);
    assert!(outcomes[2..].iter().all(is_handed_back), "{outcomes:?}");
}

#[tokio::test]
async fn a_cut_cable_loses_no_mail_and_sends_none_twice_unknowingly() {
    let server = Plan::new().start().await;
    let proxy = Proxy::start(([127, 0, 0, 1], server.port).into()).await;
    proxy.delay(Duration::from_millis(1));
    let settings = SmtpSettings { port: proxy.address.port(), lanes: 3, ..settings(&server) };
    let cut_half_way = async {
        while server.n_mails() < 20 {
            tokio::task::yield_now().await;
        }
        proxy.fault(Fault::Cut);
    };
    let (outcomes, ()) = tokio::join!(send_all(&settings, (0..60).map(mail)), cut_half_way);
    let seen = server.seen();
    for (id, outcome) in (0..).zip(&outcomes) {
        let n_seen = seen.mails.iter().filter(|taken| taken.bytes == mail(id).bytes).count();
        match outcome {
            Outcome::Accepted { .. } => assert_eq!(n_seen, 1, "mail {id}"),
            Outcome::Unknown { .. } => assert!(n_seen <= 1, "mail {id}"),
            Outcome::NotSent { .. } | Outcome::Refused { .. } => assert_eq!(n_seen, 0, "mail {id}"),
        }
    }
    assert!(outcomes.iter().any(|outcome| !outcome.is_accepted()));
    proxy.fault(Fault::None);
    assert!(send_all(&settings, [mail(99)]).await[0].is_accepted());
}

#[tokio::test]
async fn every_message_arrives_byte_for_byte() {
    // What is sent, and what is to arrive.
    let table: [(&[u8], &[u8]); 7] = [
        (b"a\r\n.\r\n..b\r\n.c\r\n", b"a\r\n.\r\n..b\r\n.c\r\n"),
        (b".\r\n", b".\r\n"),
        (b"no end", b"no end\r\n"),
        (b"", b"\r\n"),
        (b"a\n.\nMAIL FROM:<x@evil>\r\n", b"a\n..\nMAIL FROM:<x@evil>\r\n"),
        ("J\u{f6}rg\r\n".as_bytes(), "J\u{f6}rg\r\n".as_bytes()),
        (b"\xff\xfe\r\n.\r\n", b"\xff\xfe\r\n.\r\n\r\n"),
    ];
    for has_pipelining in [true, false] {
        let plan = if has_pipelining { Plan::new() } else { Plan::new().without_pipelining() };
        let server = plan.start().await;
        let mails =
            (0..).zip(table).map(|(id, (sent, _))| Outgoing { bytes: sent.to_vec(), ..mail(id) });
        let outcomes = send_all(&settings(&server), mails).await;
        assert!(outcomes.iter().all(Outcome::is_accepted), "{outcomes:?}");
        let seen = server.seen();
        for (mail, (_, expected)) in seen.mails.iter().zip(table) {
            assert_eq!(mail.bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
        let eight_bit = seen.commands.iter().filter(|(_, line)| line.ends_with("BODY=8BITMIME"));
        assert_eq!((seen.mails.len(), seen.n_connections, eight_bit.count()), (7, 1, 2));
    }
}

#[tokio::test]
async fn an_address_that_would_be_a_command_never_reaches_the_relay() {
    let server = Plan::new().start().await;
    let to = |address: &str| Outgoing { to: vec![address.to_owned()], ..mail(1) };
    let hostile = [
        to("a@x.org>\r\nRCPT TO:<b@x.org"),
        to("a@x.org\nDATA"),
        to("a b@x.org"),
        to(""),
        to("j\u{f6}rg@x.org"),
        Outgoing { to: vec![], ..mail(1) },
        Outgoing { from: "k@x.org> AUTH=<".to_owned(), ..mail(1) },
    ];
    for (id, hostile) in (10..).zip(hostile) {
        let mails = [mail(2), Outgoing { id, ..hostile }, mail(3)];
        let outcomes = send_all(&settings(&server), mails).await;
        let is_ours = matches!(outcomes[1], Outcome::Refused { code: 0, .. });
        assert!(outcomes[0].is_accepted() && is_ours && outcomes[2].is_accepted(), "{outcomes:?}");
    }
    assert_eq!(server.seen().mails.len(), 14);
}

#[tokio::test]
async fn a_check_goes_as_far_as_a_mail_would_and_sends_none() {
    for mechanisms in ["PLAIN LOGIN", "LOGIN"] {
        let server = Plan::new().auth(mechanisms).start().await;
        let transport = Transport::Smtp(with_sign_in(settings(&server)));
        let found = transport.check().await.unwrap();
        let port = server.port;
        assert_eq!(found, format!("127.0.0.1:{port} in the clear, signed in, pipelining"));
        let seen = server.seen();
        assert!(seen.mails.is_empty());
        assert_eq!(seen.commands.last().unwrap().1, "QUIT");
    }
    let server = Plan::new().start().await;
    let refused = Transport::Smtp(with_sign_in(settings(&server))).check().await.unwrap_err();
    assert_eq!(refused.class(), Some(Class::Channel), "no AUTH offered: {refused}");
}

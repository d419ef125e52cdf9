//! TLS: no sign-in and no mail over a connection that is not private, or not with the relay.

use lapsed::mail::{
    outcome::{Class, Outcome, SmtpStage},
    smtp::{Credentials, Security, SmtpSettings},
    transport::Transport,
};

use crate::support::smtp::{
    Action, PASSWORD, Plan, SmtpServer, Step, TestCert, USER,
    sending::{mail, send_all, settings},
};

fn private(server: &SmtpServer, security: Security, trusted: &TestCert) -> SmtpSettings {
    SmtpSettings {
        host: "localhost".to_owned(),
        security,
        ca_file: Some(trusted.file.path().to_owned()),
        credentials: Some(Credentials { username: USER.to_owned(), password: PASSWORD.into() }),
        ..settings(server)
    }
}

/// Sends two mails that must not go out, and gives the reason of the first.
async fn refused(server: &SmtpServer, settings: &SmtpSettings) -> String {
    let outcomes = send_all(settings, [mail(1), mail(2)]).await;
    for outcome in &outcomes {
        assert_eq!(outcome.class(), Some(Class::Channel), "{outcome:?}");
    }
    let seen = server.seen();
    let harmless = |line: &str| line.starts_with("EHLO") || line == "STARTTLS" || line == "QUIT";
    assert!(seen.commands.iter().all(|(_, line)| harmless(line)), "{:?}", seen.commands);
    assert!(seen.mails.is_empty());
    match &outcomes[0] {
        Outcome::NotSent { stage: SmtpStage::Tls, why } => why.clone(),
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn mail_goes_out_over_both_kinds_of_tls() {
    let cert = TestCert::for_name("localhost");
    let implicit = Plan::new().auth("PLAIN").implicit_tls(&cert).start().await;
    let starttls = Plan::new().auth("LOGIN").starttls(&cert).start().await;
    for (server, security, words) in [
        (&implicit, Security::ImplicitTls, "over TLS"),
        (&starttls, Security::StartTls, "over TLS (STARTTLS)"),
    ] {
        let settings = private(server, security, &cert);
        let outcomes = send_all(&settings, (0..50).map(mail)).await;
        assert!(outcomes.iter().all(Outcome::is_accepted), "{outcomes:?}");
        assert_eq!((server.seen().mails.len(), server.seen().n_connections), (50, 1));
        let found = Transport::Smtp(settings).check().await.unwrap();
        let port = server.port;
        assert_eq!(found, format!("localhost:{port} {words}, signed in, pipelining"));
    }
}

#[tokio::test]
async fn a_relay_that_cannot_prove_its_name_gets_nothing() {
    let localhost = TestCert::for_name("localhost");
    let other_name = TestCert::for_name("other.example");
    let expired = TestCert::expired();
    let table = [
        // The relay's certificate, what we trust, and the reason.
        (&other_name, &other_name, "not valid for name"),
        (&localhost, &other_name, "invalid peer certificate"),
        (&expired, &expired, "expired"),
    ];
    for (cert, trusted, reason) in table {
        let implicit = Plan::new().auth("PLAIN").implicit_tls(cert).start().await;
        let why = refused(&implicit, &private(&implicit, Security::ImplicitTls, trusted)).await;
        assert!(why.contains(reason), "{why}");
        let starttls = Plan::new().auth("PLAIN").starttls(cert).start().await;
        let why = refused(&starttls, &private(&starttls, Security::StartTls, trusted)).await;
        assert!(why.contains(reason), "{why}");
    }
}

#[tokio::test]
async fn a_relay_that_offers_no_tls_gets_nothing() {
    let cert = TestCert::for_name("localhost");
    let plain = Plan::new().auth("PLAIN").start().await;
    let why = refused(&plain, &private(&plain, Security::StartTls, &cert)).await;
    assert!(why.contains("does not offer STARTTLS"), "{why}");
    let why = refused(&plain, &private(&plain, Security::ImplicitTls, &cert)).await;
    assert!(why.contains("begin TLS"), "{why}");
}

#[tokio::test]
async fn what_is_said_in_the_clear_does_not_count_under_tls() {
    let cert = TestCert::for_name("localhost");
    let injected = [
        "220 2.0.0 go\r\n250-evil.example\r\n250 AUTH LOGIN",
        "220 2.0.0 go\r\n220 evil.example",
        "220 2.0.0 go\r\nx",
    ];
    for reply in injected {
        let plan = Plan::scripted(move |_, step, _| match step {
            Step::StartTls => Action::reply(reply),
            _ => Action::Default,
        });
        let server = plan.auth("PLAIN").starttls(&cert).start().await;
        let why = refused(&server, &private(&server, Security::StartTls, &cert)).await;
        assert!(why.contains("more than it was asked"), "{why}");
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_named() {
    let cert = TestCert::for_name("localhost");
    let server = Plan::new().implicit_tls(&cert).start().await;
    let mut settings = private(&server, Security::ImplicitTls, &cert);
    settings.ca_file = Some("/nowhere/ca.pem".into());
    let why = refused(&server, &settings).await;
    assert!(why.starts_with("read certificates from `/nowhere/ca.pem`: "), "{why}");

    let empty = tempfile::NamedTempFile::new().unwrap();
    settings.ca_file = Some(empty.path().to_owned());
    let why = refused(&server, &settings).await;
    assert!(why.ends_with("there are none in it"), "{why}");
}

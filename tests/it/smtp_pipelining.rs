//! Pipelining from message to message: what goes out together, and that every answer finds its
//! mail, whatever the answers are.

use std::collections::BTreeMap;

use lapsed::mail::{outcome::Outcome, smtp::SmtpSettings};
use proptest::{collection::vec, prelude::*};

use crate::support::smtp::{
    Action, Plan, Step,
    sending::{mail, send_all, settings},
};

/// What the relay does about one mail, and what is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Accepted,
    RefusedAtMail,
    RefusedAtRcpt,
    /// The recipient is refused, and yet `DATA` is answered with 354.
    RefusedAtRcptWaits,
    RefusedAtData,
    DeferredAtBody,
    RefusedAtBody,
    /// The relay goes away with a word ...
    GoodbyeAtRcpt,
    GoodbyeAtBody,
    /// ... or without.
    LostAtMail,
    LostAtData,
    LostAtBody,
    TakenAndLost,
    NonsenseAtRcpt,
    NonsenseAtBody,
}

use Fate::*;

const FATES: [Fate; 15] = [
    Accepted,
    RefusedAtMail,
    RefusedAtRcpt,
    RefusedAtRcptWaits,
    RefusedAtData,
    DeferredAtBody,
    RefusedAtBody,
    GoodbyeAtRcpt,
    GoodbyeAtBody,
    LostAtMail,
    LostAtData,
    LostAtBody,
    TakenAndLost,
    NonsenseAtRcpt,
    NonsenseAtBody,
];

impl Fate {
    /// What a relay does to a mail of this fate.
    fn action(self, step: Step) -> Action {
        match (self, step) {
            (RefusedAtMail, Step::Mail) => Action::reply("452 4.3.1 not now"),
            (RefusedAtRcpt | RefusedAtRcptWaits, Step::Rcpt) => Action::reply("550 5.1.1 who?"),
            (RefusedAtRcptWaits, Step::Data) => Action::reply("354 go ahead"),
            (RefusedAtData, Step::Data) => Action::reply("554 5.6.0 no"),
            (DeferredAtBody, Step::Body) => Action::reply("451 4.3.0 later"),
            (RefusedAtBody, Step::Body) => Action::reply("554 5.7.1 spam"),
            (GoodbyeAtRcpt, Step::Rcpt) | (GoodbyeAtBody, Step::Body) => {
                Action::ReplyThenClose("421 4.3.2 bye".to_owned())
            }
            (LostAtMail, Step::Mail) | (LostAtData, Step::Data) | (LostAtBody, Step::Body) => {
                Action::Close
            }
            (TakenAndLost, Step::Body) => Action::AcceptThenClose,
            (NonsenseAtRcpt, Step::Rcpt) | (NonsenseAtBody, Step::Body) => Action::Garbage,
            _ => Action::Default,
        }
    }

    /// What the outcome must say.
    fn told(self) -> &'static str {
        match self {
            Accepted => "accepted",
            RefusedAtMail => "MAIL 452",
            RefusedAtRcpt | RefusedAtRcptWaits => "RCPT 550",
            RefusedAtData => "DATA 554",
            DeferredAtBody => "end of data 451",
            RefusedAtBody => "end of data 554",
            GoodbyeAtRcpt => "RCPT 421",
            GoodbyeAtBody => "end of data 421",
            LostAtMail | LostAtData | NonsenseAtRcpt => "not sent",
            LostAtBody | TakenAndLost | NonsenseAtBody => "unknown",
        }
    }

    fn reaches_the_body(self) -> bool {
        matches!(
            self,
            Accepted
                | DeferredAtBody
                | RefusedAtBody
                | GoodbyeAtBody
                | LostAtBody
                | TakenAndLost
                | NonsenseAtBody
        )
    }

    fn ends_the_connection(self) -> bool {
        let told = self.told();
        told.ends_with("421") || told == "not sent" || told == "unknown"
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { refused, .. } if refused.is_empty() => "accepted".to_owned(),
        Outcome::Accepted { .. } => "accepted in part".to_owned(),
        Outcome::Refused { stage, code, .. } => format!("{stage} {code}"),
        Outcome::NotSent { .. } => "not sent".to_owned(),
        Outcome::Unknown { .. } => "unknown".to_owned(),
    }
}

/// What is to become of each mail, counting those that go down with the mail before them.
fn expected(fates: &[Fate], has_pipelining: bool, max_mails: u32) -> Vec<&'static str> {
    let mut expected = Vec::new();
    let mut n_mails = 0;
    let mut goes_down = false;
    for fate in fates {
        if std::mem::take(&mut goes_down) {
            expected.push("not sent");
            n_mails = 0;
            continue;
        }
        n_mails = if n_mails == max_mails { 1 } else { n_mails + 1 };
        expected.push(fate.told());
        if fate.ends_the_connection() {
            goes_down = has_pipelining && fate.reaches_the_body() && n_mails < max_mails;
            n_mails = 0;
        }
    }
    expected
}

/// Sends one mail per fate, all waiting from the beginning, and compares.
async fn play(fates: Vec<Fate>, has_pipelining: bool, max_mails: u32) {
    let by_id: BTreeMap<i64, Fate> = (0..).zip(fates.iter().copied()).collect();
    let plan = Plan::scripted(move |_, step, line| {
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        let fate = digits.parse().ok().and_then(|id: i64| by_id.get(&id));
        fate.map_or(Action::Default, |fate| fate.action(step))
    });
    let plan = if has_pipelining { plan } else { plan.without_pipelining() };
    let server = plan.start().await;
    let settings = SmtpSettings { mails_per_connection: max_mails, ..settings(&server) };
    let outcomes = send_all(&settings, (0..).zip(&fates).map(|(id, _)| mail(id))).await;

    let found: Vec<_> = outcomes.iter().map(told).collect();
    assert_eq!(found, expected(&fates, has_pipelining, max_mails), "{fates:?}");
    let received: Vec<_> = server.seen().mails.into_iter().map(|mail| mail.bytes).collect();
    let is_there = |id: &i64| {
        matches!(found[*id as usize].as_str(), "accepted")
            || (fates[*id as usize] == TakenAndLost && found[*id as usize] == "unknown")
    };
    let sent: Vec<_> = (0..fates.len() as i64).filter(is_there).map(|id| mail(id).bytes).collect();
    assert_eq!(received, sent, "what was accepted is there, in order, and nothing else");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_mail_gets_the_answer_that_was_meant_for_it(
        fates in vec(proptest::sample::select(&FATES[..]), 1..24),
        has_pipelining in proptest::bool::weighted(0.8),
        max_mails in 1_u32..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(fates, has_pipelining, max_mails));
    }
}

#[tokio::test]
async fn every_fate_stands_beside_every_other() {
    for first in FATES {
        for second in FATES {
            play(vec![first, second, Accepted, first, second], true, 100).await;
        }
    }
}

#[tokio::test]
async fn a_message_and_the_next_envelope_go_out_in_one_write() {
    let server = Plan::new().start().await;
    let outcomes = send_all(&settings(&server), (1..=3).map(mail)).await;
    assert!(outcomes.iter().all(Outcome::is_accepted));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let chunks: Vec<_> = server.seen().chunks.into_iter().map(|(_, chunk)| text(chunk)).collect();
    let group = |id: i64| {
        format!("MAIL FROM:<keys+{id}@example.com>\r\nRCPT TO:<owner{id}@example.org>\r\nDATA\r\n")
    };
    let message = |id| text(mail(id).bytes) + ".\r\n";
    let expected = [
        "EHLO lapsed.example\r\n".to_owned(),
        "EHLO lapsed.example\r\n".to_owned(),
        group(1),
        message(1) + &group(2),
        message(2) + &group(3),
        message(3),
        "QUIT\r\n".to_owned(),
    ];
    assert_eq!(chunks, expected);
}

#[tokio::test]
async fn a_relay_without_pipelining_gets_one_command_at_a_time() {
    let server = Plan::new().without_pipelining().start().await;
    let outcomes = send_all(&settings(&server), (1..=5).map(mail)).await;
    assert!(outcomes.iter().all(Outcome::is_accepted));
    for (_, chunk) in server.seen().chunks {
        let is_message = chunk.ends_with(b"\r\n.\r\n");
        let n_lines = chunk.split(|&byte| byte == b'\n').count() - 1;
        assert!(is_message || n_lines == 1, "{}", chunk.escape_ascii());
        assert!(!is_message || chunk.starts_with(b"Message-ID"), "{}", chunk.escape_ascii());
    }
}

#[tokio::test]
async fn a_connection_lost_after_a_message_leaves_that_mail_unknown_and_the_next_unsent() {
    play(vec![Accepted, TakenAndLost, Accepted, Accepted], true, 100).await;
    let fates = [Accepted, TakenAndLost, Accepted, Accepted];
    assert_eq!(expected(&fates, true, 100), ["accepted", "unknown", "not sent", "accepted"]);
}

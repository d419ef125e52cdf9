//! The 27 cases of the fault matrix: whatever a relay says or does, the right one is blamed, the
//! other mails arrive, and no mail counts as sent that is not.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::join_all;
use lapsed::mail::{
    outcome::{Class, Outcome},
    smtp::{Credentials, Security, SmtpSettings},
};

use crate::support::smtp::{
    Action, PASSWORD, Plan, SmtpServer, Step, TestCert, USER,
    sending::{impatient, mail, send_all, settings},
};

/// One case: what the relay does at a step, and who is to blame. From `Mail` on it does it to the
/// second of three mails.
#[derive(Clone)]
pub struct Case {
    pub step: Step,
    pub action: Action,
    pub class: Class,
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    use Class::{Channel, MailboxFull, Message, Policy, Recipient, Transient};
    use Step::{Auth, Body, Connect, Data, Ehlo, Mail, Rcpt, StartTls};
    let reply = Action::reply;
    let table = [
        (Connect, reply("421 4.3.2 busy"), Channel),
        (Connect, reply("554 5.7.1 go away"), Channel),
        (Connect, Action::Stall, Channel),
        (Connect, Action::Close, Channel),
        (Ehlo, reply("502 5.5.1 what?"), Channel),
        (StartTls, reply("454 4.7.0 no TLS today"), Channel),
        (Auth, reply("454 4.7.0 cannot look you up"), Channel),
        (Auth, reply("535 5.7.8 wrong password"), Channel),
        (Mail, reply("452 4.3.1 disk full"), Transient),
        (Mail, reply("530 5.7.0 sign in first"), Channel),
        (Mail, reply("550 5.7.1 not as this sender"), Channel),
        (Rcpt, Action::ReplyThenClose("421 4.3.2 closing".to_owned()), Transient),
        (Rcpt, reply("450 4.2.0 later"), Transient),
        (Rcpt, reply("451 4.7.1 greylisted"), Transient),
        (Rcpt, reply("452 4.2.2 full"), Transient),
        (Rcpt, reply("550 5.1.1 no such user"), Recipient),
        (Rcpt, reply("551 moved away"), Recipient),
        (Rcpt, reply("553 5.1.3 odd address"), Recipient),
        (Rcpt, reply("552 5.2.2 full"), MailboxFull),
        (Rcpt, reply("550 5.7.1 not to them"), Policy),
        (Data, reply("554 5.6.0 no"), Message),
        (Data, Action::Close, Transient),
        (Body, reply("451 4.3.0 try again"), Transient),
        (Body, reply("552 5.3.4 too big"), Message),
        (Body, reply("554 5.7.1 spam"), Policy),
        (Body, Action::AcceptThenClose, Transient),
        (Rcpt, Action::Garbage, Transient),
        // Beyond the matrix.
        (Body, Action::Garbage, Transient),
        (Body, Action::ReplyThenClose("421 4.3.2 closing".to_owned()), Transient),
        (Mail, Action::ReplyThenClose("421 4.3.2 closing".to_owned()), Transient),
        (Data, reply("250 2.0.0 queued, says the confused relay"), Transient),
        (Rcpt, reply("354 go ahead, says the confused relay"), Transient),
        (Body, reply("354 go ahead, says the confused relay"), Transient),
        (Rcpt, reply("550 5.1.1 gibt's nicht: J\u{f6}rg"), Recipient),
    ];
    table.map(|(step, action, class)| Case { step, action, class }).into()
}

impl Case {
    pub fn concerns_all(&self) -> bool {
        matches!(self.step, Step::Connect | Step::Ehlo | Step::StartTls | Step::Auth)
    }

    /// A server that makes this mistake `n_times`.
    pub async fn server(&self, n_times: usize, cert: &TestCert) -> (SmtpServer, Arc<AtomicUsize>) {
        let (case, n_left) = (self.clone(), Arc::new(AtomicUsize::new(n_times)));
        let counter = Arc::clone(&n_left);
        let plan = Plan::scripted(move |_, step, line| {
            // Where all mails have one sender, MAIL does not tell which it is.
            let is_one_sender = step == Step::Mail && !line.contains("keys+");
            let is_second = line.contains("keys+2@") || line.contains("owner2@") || is_one_sender;
            let is_its_turn = step == case.step && (case.concerns_all() || is_second);
            let take_one = |left: usize| left.checked_sub(1);
            match is_its_turn && counter.fetch_update(SeqCst, SeqCst, take_one).is_ok() {
                true => case.action.clone(),
                false => Action::Default,
            }
        });
        let plan = plan.auth("PLAIN LOGIN");
        let plan = if self.step == Step::StartTls { plan.starttls(cert) } else { plan };
        (plan.start().await, n_left)
    }

    pub fn settings(&self, server: &SmtpServer, cert: &TestCert) -> SmtpSettings {
        let mut settings = settings(server);
        let password = PASSWORD.into();
        settings.credentials = Some(Credentials { username: USER.to_owned(), password });
        if self.step == Step::StartTls {
            settings.host = "localhost".to_owned();
            settings.security = Security::StartTls;
            settings.ca_file = Some(cert.file.path().to_owned());
        }
        if matches!(self.action, Action::Stall) { impatient(settings) } else { settings }
    }

    /// Sends three mails, again and again until all are accepted or `n_rounds` are over, and looks
    /// at every outcome on the way.
    async fn play(&self, n_times: usize, n_rounds: usize, cert: &TestCert) {
        let told = format!("{:?} at {:?}, {n_times} times", self.action, self.step);
        let (server, n_left) = self.server(n_times, cert).await;
        let settings = self.settings(&server, cert);
        let mut waiting = vec![1, 2, 3];
        let mut n_accepted = 0;
        for round in 0..n_rounds {
            let outcomes = send_all(&settings, waiting.iter().map(|&id| mail(id))).await;
            for (id, outcome) in waiting.iter().zip(&outcomes) {
                let told = format!("{told}, round {round}, mail {id}: {outcome:?}");
                self.look_at(*id, outcome, &told);
            }
            let mut accepted = outcomes.iter().map(Outcome::is_accepted);
            waiting.retain(|_| !accepted.next().unwrap());
            n_accepted = 3 - waiting.len();
            // Who follows the second mail may lose its connection. Next time it goes first.
            waiting.sort_by_key(|&id| id == 2);
        }
        let seen = server.seen();
        let n_seen = |id| seen.mails.iter().filter(|taken| taken.bytes == mail(id).bytes).count();
        for id in (1..=3).filter(|id| !waiting.contains(id)) {
            let is_ambiguous = id == 2 && matches!(self.action, Action::AcceptThenClose);
            let n_expected = if is_ambiguous { 1 + n_times } else { 1 };
            assert_eq!(n_seen(id), n_expected, "{told}: mail {id} was accepted");
        }
        if n_times < n_rounds {
            assert_eq!((n_accepted, n_left.load(SeqCst)), (3, 0), "{told}");
        } else if self.class != Class::Channel {
            assert_eq!(waiting, [2], "{told}: only the mail at fault waits");
        }
    }

    fn look_at(&self, id: i64, outcome: &Outcome, told: &str) {
        let Some(class) = outcome.class() else { return };
        if id == 2 || self.concerns_all() {
            assert_eq!(class, self.class, "{told}");
        } else {
            // The connection is gone, or the channel is closed for a moment.
            assert!(matches!(class, Class::Transient | Class::Channel), "{told}");
            assert!(matches!(outcome, Outcome::NotSent { .. }), "{told}");
        }
    }
}

#[tokio::test]
async fn every_fault_is_blamed_on_the_right_one_and_stops_only_what_it_must() {
    let cert = TestCert::for_name("localhost");
    let cases = cases();
    let plays = cases.iter().flat_map(|case| {
        [(1, 4), (3, 6), (usize::MAX, 3)]
            .map(|(n_times, n_rounds)| case.play(n_times, n_rounds, &cert))
    });
    join_all(plays).await;
}

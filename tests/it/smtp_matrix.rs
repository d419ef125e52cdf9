//! The fault matrix once more, through the whole of a delivery: what is in the database in the
//! end is what became of each mail, and no notice counts as told that was not, or is lost.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use lapsed::{
    jobs::{
        self, Deps,
        runner::{Cause, Runner},
    },
    mail::{outcome::Class, transport::Transport},
    shutdown::Shutdown,
    store::channel,
};

use crate::{
    on_each_engine,
    smtp_faults::{Case, cases},
    support::{
        app::{TestApp, days, mailer},
        smtp::{Action, SmtpServer, Step, TestCert},
    },
};

/// The cases of the matrix; those that follow them are further ones.
const N_CASES: usize = 27;
/// Deliveries until a fault that is always there has shown what comes of it.
const ROUNDS: usize = 8;
/// Owners, with a key each that is due for a reminder. The second meets the faults of one mail.
const OWNERS: [i64; 3] = [1, 2, 3];

/// What became of an owner's mail: its status, how often it counts as tried and as delivered
/// without an answer; the status of its notice, and of its owner's address.
type End = (i16, i64, i64, i16, i16);

const SENT: i16 = 3;
const FAILED: i16 = 4;
const PARKED: i16 = 6;
const WAITING: i16 = 1;
const QUEUED: i16 = 2;
const TOLD: i16 = 3;
const ESCALATED: i16 = 6;
const GOOD: i16 = 1;
const REFUSED: i16 = 2;

/// How the mail of an owner who meets the fault ends, if the relay makes it `n_times`.
fn expected(case: &Case, n_times: usize) -> End {
    let n = i64::try_from(n_times).unwrap_or(i64::MAX);
    let is_text = case.step == Step::Body;
    match case.class {
        Class::Channel if n == i64::MAX => (WAITING, 0, 0, QUEUED, GOOD),
        Class::Channel => (SENT, 1, 0, TOLD, GOOD),
        Class::Transient if matches!(case.action, Action::AcceptThenClose) => match n {
            1 => (SENT, 2, 1, TOLD, GOOD),
            _ => (PARKED, 2, 2, QUEUED, GOOD),
        },
        // The contacts' mail, days later, has the same sender.
        Class::Transient if n == i64::MAX && case.step == Step::Mail => {
            (FAILED, -1, 0, QUEUED, REFUSED)
        }
        // The contacts are told after days, and the address counts as one that does not answer.
        Class::Transient | Class::MailboxFull if n == i64::MAX => {
            (FAILED, -1, 0, ESCALATED, REFUSED)
        }
        Class::Transient | Class::MailboxFull => (SENT, n + 1, 0, TOLD, GOOD),
        Class::Recipient => (FAILED, 1, 0, ESCALATED, REFUSED),
        Class::Message => (PARKED, 1, 0, QUEUED, GOOD),
        Class::Policy if is_text => (PARKED, 1, 0, QUEUED, GOOD),
        Class::Policy if n == 1 => (SENT, 2, 0, TOLD, GOOD),
        Class::Policy => (FAILED, 3, 0, ESCALATED, REFUSED),
    }
}

struct Play<'a> {
    app: &'a TestApp,
    case: &'a Case,
    n_times: usize,
}

impl Play<'_> {
    fn told(&self) -> String {
        format!("{:?} at {:?}, {} times", self.case.action, self.case.step, self.n_times)
    }

    /// Whether an owner's mail meets the fault. All have the same sender.
    fn meets(&self, owner: i64) -> bool {
        owner == 2 || self.case.step == Step::Mail || self.case.concerns_all()
    }

    async fn play(&self, cert: &TestCert) -> Vec<String> {
        let app = self.app;
        for table in ["notices", "messages", "api_keys", "flags"] {
            app.execute(&format!("DELETE FROM {table}")).await;
        }
        app.execute("UPDATE owners SET mail_status = 1, mail_status_reason = NULL").await;
        for owner in OWNERS {
            app.key_of(owner, owner, days(7)).await;
        }
        let (server, _) = self.case.server(self.n_times, cert).await;
        let transport = Transport::Smtp(self.case.settings(&server, cert));
        let mailer = Arc::new(mailer(transport));
        let deps = Deps { mailer, swept: Arc::default(), ..app.deps.clone() };
        let runner = Runner::new(deps, Duration::from_secs(60), Shutdown::new());
        let run = async |job| runner.run(jobs::find(job).unwrap(), Cause::Manual).await.unwrap();
        run("sweep").await;
        let mut n_rounds = 0;
        while self.go_on().await {
            run("deliver").await;
            n_rounds += 1;
            match n_rounds {
                // Days without an end to it.
                ROUNDS => {
                    app.execute("UPDATE messages SET created_at = created_at - 518400000").await;
                }
                n if n == ROUNDS + 4 => break,
                _ => {}
            }
        }
        self.look(&server).await
    }

    /// Waits until all that waits is due; whether anything does.
    async fn go_on(&self) -> bool {
        let app = self.app;
        if app.count("notices WHERE status = 1").await > 0 {
            return true;
        }
        let due = "SELECT MAX(next_attempt_at) FROM messages WHERE status = 1";
        let Some(due) = app.column::<Option<i64>>(due).await[0] else { return false };
        let now = app.now().timestamp_millis();
        let rests_until = channel::get(app.db.conn()).await.unwrap().map(|down| down.rests_until);
        let due = due.max(rests_until.map_or(0, |at| at.timestamp_millis()));
        app.clock.advance(TimeDelta::milliseconds((due - now).max(0)));
        true
    }

    /// Compares what is in the database, and what the relay took, with what should be.
    async fn look(&self, server: &SmtpServer) -> Vec<String> {
        let mut wrong = Vec::new();
        let seen = server.seen();
        for owner in OWNERS {
            let end = self.end(owner).await;
            let meant = match self.meets(owner) {
                true => expected(self.case, self.n_times),
                false => (SENT, -1, 0, TOLD, GOOD),
            };
            // Who shares a connection or a sender with the fault may be tried more often.
            let is_counted = meant.1 >= 0 && self.case.step != Step::Mail;
            let end = if is_counted { end } else { (end.0, meant.1, end.2, end.3, end.4) };
            if end != meant {
                wrong.push(format!("owner {owner} ended as {end:?}, and should as {meant:?}"));
            }
            let address = format!("owner{owner}@acme.example");
            let mails: Vec<_> =
                seen.mails.iter().filter(|mail| mail.to == [address.clone()]).collect();
            // One that was lost after it had been taken was taken all the same.
            let n_taken = i64::from(meant.0 == SENT) + meant.2;
            if i64::try_from(mails.len()) != Ok(n_taken) {
                wrong
                    .push(format!("owner {owner} has {} mails, and should {n_taken}", mails.len()));
            }
            let ids: std::collections::HashSet<_> =
                mails.iter().map(|mail| header_id(&mail.bytes)).collect();
            if ids.len() > 1 {
                wrong.push(format!("owner {owner} has mails of several names: {ids:?}"));
            }
        }
        let down = channel::get(self.app.db.conn()).await.unwrap();
        let is_down = self.case.class == Class::Channel && self.n_times == usize::MAX;
        if down.is_some() != is_down {
            wrong.push(format!("the channel counts as {down:?}"));
        }
        wrong.iter().map(|wrong| format!("{}: {wrong}", self.told())).collect()
    }

    async fn end(&self, owner: i64) -> End {
        let query = format!(
            "SELECT m.status, m.attempts, m.ambiguous, n.status, o.mail_status FROM messages m \
             JOIN owners o ON o.id = m.owner_id JOIN notices n ON n.key_id = o.id AND n.stage = 7 \
             WHERE m.audience = 1 AND o.id = {owner}"
        );
        let rows = self.app.rows(&query).await;
        assert_eq!(rows.len(), 1, "{}: owner {owner}", self.told());
        let row = &rows[0];
        let code = |index| row.try_get_by_index::<i16>(index).unwrap();
        let number = |index| row.try_get_by_index::<i64>(index).unwrap();
        (code(0), number(1), number(2), code(3), code(4))
    }
}

fn header_id(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().find(|line| line.starts_with("Message-ID")).unwrap().to_owned()
}

on_each_engine! {
    async fn every_fault_ends_as_it_should_in_the_database(app: TestApp) {
        app.people().await;
        app.execute("UPDATE owners SET email = 'owner1@acme.example'").await;
        for owner in [2, 3] {
            app.owner(owner, &format!("owner{owner}@acme.example")).await;
        }
        let cert = TestCert::for_name("localhost");
        let mut wrong = Vec::new();
        for case in cases().iter().take(N_CASES) {
            for n_times in [1, 3, usize::MAX] {
                wrong.extend(Play { app: &app, case, n_times }.play(&cert).await);
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

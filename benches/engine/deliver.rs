//! Sending alone: the lanes of the real transport against `smtp-source`, into the same sink.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use lapsed::mail::{
    outcome::Outcome,
    smtp::{Security, SmtpSettings},
    transport::{Outgoing, Transport},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    args::Args,
    measure::{Goal, Pairs, Table, grouped, rate, timed},
    proxy::Proxy,
    sink::{Sink, smtp_source},
};

/// Bytes of one mail: as large as a reminder with text and HTML.
pub(crate) const MAIL_BYTES: usize = 4_200;
/// There and back again, for a relay in another town.
const ROUND_TRIP: Duration = Duration::from_millis(20);

pub(crate) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let sink = Sink::start().await?;
    for (lanes, goal) in [(1, 3.0), (8, 1.5), (32, 1.3)] {
        let pairs = pairs(args, sink.address, lanes, args.mails()).await?;
        add(table, "loopback", lanes, args.mails(), &pairs, goal);
    }
    let proxy = Proxy::start(sink.address).await;
    proxy.delay(ROUND_TRIP / 2);
    for (lanes, goal) in [(1, Goal::AtLeast(3.5)), (8, Goal::None)] {
        // `smtp-source` sends eleven a second over one connection.
        let n_mails = args.mails() / 50 * lanes as u64;
        let pairs = pairs(args, proxy.address, lanes, n_mails).await?;
        add_with(table, "20 ms round trip", lanes, n_mails, &pairs, goal);
    }
    Ok(())
}

fn add(table: &mut Table, way: &str, lanes: usize, n: u64, pairs: &Pairs, goal: f64) {
    add_with(table, way, lanes, n, pairs, Goal::AtLeast(goal));
}

fn add_with(table: &mut Table, way: &str, lanes: usize, n: u64, pairs: &Pairs, goal: Goal) {
    table.add(
        format!("deliver, {} mails over {lanes} connections, {way}", grouped(n)),
        rate(n, pairs.reference()),
        rate(n, pairs.ours()),
        pairs.speed(),
        goal,
    );
}

async fn pairs(args: &Args, to: SocketAddr, lanes: usize, n: u64) -> anyhow::Result<Pairs> {
    let mut pairs = Pairs::default();
    for _ in 0..args.rounds() {
        let ((), reference) = timed(smtp_source(to, lanes, n, MAIL_BYTES)).await?;
        let ((), ours) = timed(send(to, lanes, n)).await?;
        pairs.add(reference, ours);
    }
    Ok(pairs)
}

/// Sends so many mails as `deliver` does, and waits until each has been taken over.
pub(crate) async fn send(to: SocketAddr, lanes: usize, n_mails: u64) -> anyhow::Result<()> {
    let mut settings = SmtpSettings::new(to.ip().to_string(), to.port(), Security::Insecure);
    settings.lanes = lanes;
    // As many as `smtp-source` sends over one.
    settings.mails_per_connection = 100_000;
    settings.hello = Some("lapsed.example".to_owned());
    let transport = Transport::Smtp(settings);
    let (mails, queue) = mpsc::channel(500);
    let (reports, mut outcomes) = mpsc::channel::<(i64, Outcome)>(500);
    let cancel = CancellationToken::new();
    let mail = Outgoing {
        id: 0,
        from: "keys@acme.example".to_owned(),
        to: vec!["owner@example.org".to_owned()],
        bytes: text(),
        not_after: None,
    };
    let feed = async move {
        for id in 0..n_mails.cast_signed() {
            if mails.send(Outgoing { id, ..mail.clone() }).await.is_err() {
                break;
            }
        }
    };
    let count = async move {
        let mut n_accepted = 0;
        while let Some((_, outcome)) = outcomes.recv().await {
            n_accepted += u64::from(outcome.is_accepted());
        }
        n_accepted
    };
    let ((), (), n_accepted) = tokio::join!(transport.run(queue, reports, &cancel), feed, count);
    ensure!(n_accepted == n_mails, "{n_accepted} of {n_mails} mails were taken over");
    Ok(())
}

/// A mail of the usual size.
fn text() -> Vec<u8> {
    let mut text =
        b"From: keys@acme.example\r\nTo: owner@example.org\r\nSubject: a key\r\n\r\n".to_vec();
    while text.len() < MAIL_BYTES {
        text.extend_from_slice(
            b"Your key ends soon, and this line says so once more in print.\r\n",
        );
    }
    text
}

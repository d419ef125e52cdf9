//! Delivery: notices are gathered into mails ([`gather`]), and mails are sent ([`send`]) while more
//! are gathered, where the engine lets the two work side by side.
//!
//! Claim (commit), send, mark (commit): that order is the guarantee. A mail is sent at least
//! once; a crash between the server's yes and our note of it sends the same Message-ID again, and
//! no crash can lose a notice.

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::link::{LinkKey, LinkToken},
    jobs::{Context, Outcome},
    mail::{
        build::Sender,
        outcome::Outcome as MailOutcome,
        render::Templates,
        transport::{Outgoing, Transport},
    },
};

pub(in crate::jobs) mod alarm;
mod breaker;
mod compose;
mod feed;
mod gather;
mod mark;
mod reset;
mod send;
mod streak;
mod verdict;
mod ways;
mod word;

pub use breaker::Breaker;
pub use word::preview;

/// The way out for mails: words, sender, transport, and how the transport has been doing.
#[derive(Debug)]
pub struct Mailer {
    /// How mails leave.
    pub transport: Transport,
    /// What they say.
    pub templates: Templates,
    /// Who they come from.
    pub sender: Sender,
    /// Who is told where neither owner nor tenant can be.
    pub contacts: Vec<String>,
    /// What the links in mails are made of; without it, mails have none.
    pub links: Option<Links>,
    /// Rests the transport after it failed.
    pub breaker: Breaker,
}

/// What links in mails are made of.
#[derive(Clone, Debug)]
pub struct Links {
    /// What they begin with: where the pages are, without a slash at the end.
    pub public_url: String,
    /// Under which their tokens are made.
    pub key: LinkKey,
}

impl Links {
    /// The whole link. It opens a door: not for logs.
    pub fn url(&self, token: &LinkToken) -> String {
        format!("{}/k/{}", self.public_url.trim_end_matches('/'), token.expose())
    }

    /// Where an owner with this id and address chooses which early reminders they get. Not for logs.
    pub fn wish_url(&self, public_id: &str, email: &str) -> String {
        format!("{}{}", self.public_url.trim_end_matches('/'), self.wish_path(public_id, email))
    }

    /// The same as a path.
    pub fn wish_path(&self, public_id: &str, email: &str) -> String {
        format!("/reminders/{public_id}/{}", self.key.wish_token(public_id, email).expose())
    }
}

impl Mailer {
    /// Sends one mail, outside of the outbox: a test.
    pub async fn send_one(&self, mail: Outgoing) -> MailOutcome {
        let (mails, queue) = mpsc::channel(1);
        let (reports, mut outcomes) = mpsc::channel(1);
        // The queue takes one mail, so this does not wait.
        let _ = mails.send(mail).await;
        drop(mails);
        let cancel = CancellationToken::new();
        self.transport.run(queue, reports, &cancel).await;
        match outcomes.recv().await {
            Some((_, outcome)) => outcome,
            None => MailOutcome::Unknown { why: "the transport did not say".to_owned() },
        }
    }
}

/// Gathers what is to be told, and sends what is due.
///
/// # Errors
/// If the database fails; what was committed before stays done.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    let (progress, gathered) = feed::gathering();
    // Whoever marks mails there would hide notices from whoever gathers: some would have to wait for
    // the next run, and their owners would get two mails.
    if ctx.deps.db.locks_what_it_passes() {
        gather::run(&ctx, progress).await.context("gather notices")?;
        return send::run(ctx, gathered).await.context("send messages");
    }
    let (all_gathered, sent) =
        tokio::join!(gather::run(&ctx, progress), send::run(ctx.clone(), gathered));
    all_gathered.context("gather notices")?;
    sent.context("send messages")
}

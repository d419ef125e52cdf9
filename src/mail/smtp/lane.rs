//! One task, one connection at a time.

use std::{future::pending, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::time::timeout;
use tracing::error;

use super::{
    Shared,
    connection::Connection,
    dialogue,
    hand::{Hand, NobodyListens},
};
use crate::mail::{
    outcome::{Outcome, SmtpStage},
    transport::stopped,
};

/// A lane: takes mails, keeps a connection to send them over, and reports what became of each.
pub(super) struct Lane {
    shared: Arc<Shared>,
    /// At rest. During a dialogue it is not here, so that one which is dropped in the middle takes
    /// its connection with it.
    connection: Option<Connection>,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, connection: None }
    }

    /// Works until no more mails will come, or nobody listens to the reports.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut hand = Hand::default();
        loop {
            let work = AssertUnwindSafe(self.work(&mut hand)).catch_unwind();
            let (why, rest) = tokio::select! {
                biased;
                ended = work => match ended {
                    Ok(Ok(()) | Err(NobodyListens)) => return,
                    Err(_panic) => {
                        error!("A mail lane panicked. It goes on with the next mail");
                        let why = "a lane panicked".to_owned();
                        let rest = Outcome::NotSent { stage: SmtpStage::Mail, why: why.clone() };
                        (why, rest)
                    }
                },
                // The connection goes with the dropped dialogue. The next round hands back what
                // is still in the inbox.
                () = end_of_grace(&shared) => {
                    ("stopped before the relay had answered".to_owned(), stopped())
                }
            };
            if let Err(NobodyListens) = hand.settle(why, &rest, &shared.outcomes).await {
                return;
            }
        }
    }

    async fn work(&mut self, hand: &mut Hand) -> Result<(), NobodyListens> {
        let shared = Arc::clone(&self.shared);
        while shared.inbox.fill(&mut hand.mails).await {
            while !hand.mails.is_empty() {
                if shared.cancel.is_cancelled() {
                    hand.hand_back(&stopped(), &shared.outcomes).await?;
                    break;
                }
                match self.connection().await {
                    Ok(connection) => {
                        self.connection = dialogue::hold(connection, hand, &shared).await?;
                    }
                    Err(outcome) => hand.report(outcome, &shared.outcomes).await?,
                }
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.quit().await;
        }
        Ok(())
    }

    /// The connection at rest, if it is still good, or else a new one. While the relay cannot be
    /// had, most calls fail at once.
    async fn connection(&mut self) -> Result<Connection, Outcome> {
        let Shared { relay, gate, .. } = &*self.shared;
        let settings = relay.settings();
        if let Some(mut connection) = self.connection.take() {
            if connection.n_mails >= settings.mails_per_connection {
                connection.quit().await;
            } else if connection.rested_for() < settings.idle_timeout || connection.is_alive().await
            {
                return Ok(connection);
            }
        }
        if let Err(why) = gate.pass() {
            let why = format!("the channel is down: {why}");
            return Err(Outcome::NotSent { stage: SmtpStage::Connect, why });
        }
        let connected = relay.connect().await;
        match &connected {
            Ok(_) => gate.open(),
            Err(outcome) => gate.close(outcome.to_string()),
        }
        connected
    }
}

/// Comes true when whatever is still under way after a stop has had its time.
async fn end_of_grace(shared: &Shared) {
    shared.cancel.cancelled().await;
    let _elapsed = timeout(shared.relay.settings().timeouts.stop, pending::<()>()).await;
}

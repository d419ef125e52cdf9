//! One task, one connection at a time.

use std::{future::pending, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::time::timeout;
use tracing::error;

use super::{
    Shared,
    connection::Connection,
    dialogue,
    hand::{Hand, NobodyListens, Reports},
};
use crate::mail::{
    outcome::{Outcome, SmtpStage},
    transport::{STOPPING, stopped},
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
        let mut reports = Reports::new(shared.outcomes.clone());
        loop {
            let work = AssertUnwindSafe(self.work(&mut hand, &mut reports)).catch_unwind();
            tokio::select! {
                biased;
                ended = work => match ended {
                    Ok(Ok(()) | Err(NobodyListens)) => return,
                    // A bug of ours or of a library's must not hold up the other mails.
                    Err(_panic) => {
                        error!("A mail lane panicked. It goes on with the next mail");
                        let why = "the lane panicked";
                        let rest =
                            Outcome::NotSent { stage: SmtpStage::Mail, why: why.to_owned() };
                        hand.settle(why, &rest, &mut reports);
                    }
                },
                // The connection goes with the dropped dialogue. The next round hands back what
                // is still in the inbox.
                () = end_of_grace(&shared) => {
                    hand.settle("stopped before the relay had answered", &stopped(), &mut reports);
                }
            }
        }
    }

    async fn work(&mut self, hand: &mut Hand, reports: &mut Reports) -> Result<(), NobodyListens> {
        let shared = Arc::clone(&self.shared);
        // What a dialogue that was broken off has left behind.
        reports.make().await?;
        while shared.inbox.fill(&mut hand.mails).await {
            while !hand.mails.is_empty() {
                if shared.cancel.is_cancelled() {
                    hand.settle(STOPPING, &stopped(), reports);
                    break;
                }
                // What is known must not wait for what may take long.
                reports.make().await?;
                match self.connection().await {
                    Ok(connection) => {
                        self.connection =
                            dialogue::hold(connection, hand, reports, &shared).await?;
                    }
                    Err(outcome) => hand.finish(outcome, reports),
                }
            }
            reports.make().await?;
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

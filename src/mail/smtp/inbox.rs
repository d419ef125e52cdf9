//! The queue all lanes take their mails from.

use std::collections::VecDeque;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::mail::{
    outcome::Outcome,
    transport::{Outgoing, stopped},
};

/// Most mails a lane takes at once. Enough that the lock does not matter.
const MAX_SHARE: usize = 32;

/// The mails that are waiting for a lane.
pub(super) struct Inbox {
    mails: Mutex<mpsc::Receiver<Outgoing>>,
    n_lanes: usize,
    cancel: CancellationToken,
}

impl Inbox {
    pub(super) fn new(
        mails: mpsc::Receiver<Outgoing>,
        n_lanes: usize,
        cancel: CancellationToken,
    ) -> Self {
        Self { mails: Mutex::new(mails), n_lanes, cancel }
    }

    /// Waits for mails and takes a share of them. `false` if no more will come.
    ///
    /// After a stop nothing new is let in, but what is in already still comes out. Whoever drops
    /// this future loses no mail.
    pub(super) async fn fill(&self, queue: &mut VecDeque<Outgoing>) -> bool {
        let mut mails = self.mails.lock().await;
        let first = tokio::select! {
            biased;
            mail = mails.recv() => mail,
            () = self.cancel.cancelled() => {
                mails.close();
                mails.recv().await
            }
        };
        let Some(first) = first else { return false };
        queue.push_back(first);
        self.take_share(&mut mails, queue);
        true
    }

    /// Takes a share of the mails that are here already, if there are any.
    pub(super) fn try_fill(&self, queue: &mut VecDeque<Outgoing>) {
        // If another lane has the lock it waits for a mail, so there is none.
        if let Ok(mut mails) = self.mails.try_lock() {
            self.take_share(&mut mails, queue);
        }
    }

    /// A fair share, so that a few mails spread over all lanes.
    fn take_share(&self, mails: &mut mpsc::Receiver<Outgoing>, queue: &mut VecDeque<Outgoing>) {
        let share = mails.len().div_ceil(self.n_lanes).min(MAX_SHARE);
        queue.extend((0..share).map_while(|_| mails.try_recv().ok()));
    }

    /// Answers every mail with `outcome`, until no more will come: for a channel that cannot even
    /// be set up.
    pub(super) async fn turn_away(
        &self,
        outcome: &Outcome,
        outcomes: &mpsc::Sender<(i64, Outcome)>,
    ) {
        let mut queue = VecDeque::new();
        while self.fill(&mut queue).await {
            for mail in queue.drain(..) {
                let is_stopped = self.cancel.is_cancelled();
                let outcome = if is_stopped { stopped() } else { outcome.clone() };
                if outcomes.send((mail.id, outcome)).await.is_err() {
                    return;
                }
            }
        }
    }
}

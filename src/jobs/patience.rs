//! What to do when others hold the rows a batch needs: wait a moment, and begin the batch anew.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{shutdown::pause, store::StoreError};

/// Counts how often one batch has been begun.
#[derive(Debug, Default)]
pub(super) struct Patience {
    n_failures: u32,
}

impl Patience {
    /// How often a batch is begun anew before its failure is one.
    const MOST: u32 = 5;
    /// The first wait, doubled each time; chance takes up to half of it off, so that two that
    /// stood in each other's way do not meet again.
    const FIRST: Duration = Duration::from_millis(50);

    /// Decides about a batch that failed with `error`: waits, if it may be begun anew; gives the
    /// error back, if not.
    ///
    /// The wait also lets the database undo what the batch had done: until then its rows are
    /// locked, and a new claim would pass them over.
    pub(super) async fn begin_anew(
        &mut self,
        error: StoreError,
        cancel: &CancellationToken,
    ) -> Result<(), StoreError> {
        if !matches!(error, StoreError::Busy { .. }) || self.n_failures >= Self::MOST {
            return Err(error);
        }
        let wait = Self::FIRST * 2_u32.pow(self.n_failures);
        self.n_failures += 1;
        pause(cancel, wait.mul_f64(1.0 - rand::random::<f64>() / 2.0)).await;
        Ok(())
    }

    /// A batch was done.
    pub(super) fn done(&mut self) {
        *self = Self::default();
    }
}

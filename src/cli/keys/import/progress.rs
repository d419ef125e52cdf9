//! How far an import has come, for somebody who watches: only where stderr is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr, or nothing.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for a file of `n_bytes`; without that, only what has been done is shown. indicatif
    /// draws nothing where stderr is no terminal.
    pub(super) fn new(n_bytes: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(n_bytes, ProgressDrawTarget::stderr_with_hz(5));
        let template = match n_bytes {
            Some(_) => "{bar:30} {percent:>3}%  {msg}  {eta} left",
            None => "{spinner} {msg}  {elapsed}",
        };
        // The templates are constant; a usual bar is no reason to stop an import.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(super) fn set(&self, n_rows: u64, position: u64) {
        self.0.set_message(format!("{n_rows} rows"));
        self.0.set_position(position);
    }

    /// Lets somebody else write on stderr.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

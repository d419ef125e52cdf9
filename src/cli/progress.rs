//! How far long work has come, for somebody who watches: only where stderr is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr, or nothing.
pub(in crate::cli) struct Progress(ProgressBar);

impl Progress {
    /// A bar for work of `n_bytes`; without that, only what has been done is shown. indicatif
    /// draws nothing where stderr is no terminal.
    pub(in crate::cli) fn new(n_bytes: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(n_bytes, ProgressDrawTarget::stderr_with_hz(5));
        let template = match n_bytes {
            Some(_) => "{bar:30} {percent:>3}%  {msg}  {eta} left",
            None => "{spinner} {msg}  {elapsed}",
        };
        // The templates are constant; a usual bar is no reason to stop the work.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(in crate::cli) fn set(&self, n_rows: u64, position: u64) {
        self.0.set_message(format!("{n_rows} rows"));
        self.0.set_position(position);
    }

    /// Lets somebody else write on stderr.
    pub(in crate::cli) fn aside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    pub(in crate::cli) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

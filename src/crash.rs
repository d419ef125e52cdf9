//! The one door to dying on purpose: the moments at which a test ends this process as a power cut
//! would, without a word and with nothing undone.
//!
//! A process passes a point around every commit, every statement that writes, and every step of
//! SMTP. In a build with debug assertions, which is what tests run, `CRASH_AT=n` in its environment
//! has it abort at the `n`th. Other builds have nothing of it.

/// A moment between two things, either of which may be the last that comes about.
#[inline]
pub(crate) fn point() {
    #[cfg(debug_assertions)]
    armed::pass();
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    #[expect(clippy::disallowed_methods, reason = "where a test crashes is no configuration")]
    static FATAL: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var("CRASH_AT").ok().and_then(|n| n.parse().ok()));

    pub(super) fn pass() {
        static PASSED: AtomicU64 = AtomicU64::new(0);
        let Some(fatal) = *FATAL else { return };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == fatal {
            std::process::abort();
        }
    }
}

//! All integration tests: one binary, so that they are linked once.

#![expect(unreachable_pub, reason = "`pub` in a test means: for the other tests")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod smtp_faults;
mod smtp_lanes;
mod smtp_pipelining;
mod smtp_tls;
mod support;

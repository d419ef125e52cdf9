//! Every integration test in one binary: real SQL on every engine, a clock that stands still, a
//! mail server that fails as told. No sleeping, no environment, no order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod support;

mod deliver;
mod purge;
mod schema;
mod sweep;
//! All integration tests: one binary, so that they are linked once.

#![expect(unreachable_pub, reason = "`pub` in a test means: for the other tests")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod smtp_faults;
mod smtp_lanes;
mod smtp_pipelining;
mod smtp_tls;
mod support;

//! Every integration test in one binary: real SQL on every engine, a clock that stands still, a
//! mail server that fails as told. No sleeping, no environment, no order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod support;

mod deliver;
mod purge;
mod schema;
mod sweep;

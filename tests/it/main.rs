//! Every integration test in one binary: real SQL on every engine, a clock that stands still, a
//! mail server that fails as told. No sleeping, no environment, no order.

#![expect(unreachable_pub, reason = "`pub` in a test means: for the other tests")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod access;
mod daemon;
mod admin_tokens;
mod canary;
mod deliver;
mod demo;
mod http;
mod cli;
mod deliver;
mod demo;
mod history;
mod import;
mod keys;
mod leases;
mod otp;
mod plans;
mod purge;
mod restart;
mod schedule;
mod rotation;
mod schema;
mod smtp_faults;
mod smtp_lanes;
mod smtp_pipelining;
mod smtp_tls;
mod sweep;
mod trouble;
mod watch;
mod verify;

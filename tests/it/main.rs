//! Every integration test in one binary: real SQL on every engine, a clock that stands still, a
//! mail server that fails as told. No sleeping, no environment, no order.

#![expect(unreachable_pub, reason = "`pub` in a test means: for the other tests")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;
mod suspend;

mod access;
mod admin_pages;
mod admin_tokens;
mod api;
mod audit;
mod bad_rows;
mod batch;
mod brake;
mod browser;
mod calendars;
mod canary;
mod cli;
mod cli_secrets;
mod clock;
mod commands;
mod daemon;
mod deliver;
mod demo;
mod documents;
mod history;
mod hostile;
mod http;
mod import;
mod invariants;
mod key_policies;
mod keys;
mod leases;
mod links;
mod mail_rules;
mod mid_window;
mod monitoring;
mod otp;
mod outage;
mod owner_sessions;
mod page_errors;
mod pages;
mod plans;
mod policies;
mod policy_fields;
mod previews;
mod process;
mod purge;
mod rekey;
mod restart;
mod rotation;
mod schedule;
mod schema;
mod simulation;
mod smtp_faults;
mod smtp_lanes;
mod smtp_matrix;
mod smtp_pipelining;
mod smtp_tls;
mod sweep;
mod traps;
mod trouble;
mod units;
mod unused;
mod verify;
mod watch;
mod wishes;

//! `lapsed` looks after API keys until they end.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
mod crash;
pub mod daemon;
pub mod demo;
pub mod domain;
pub mod explain;
pub mod fetch;
pub mod heartbeat;
pub mod http;
pub mod issue;
pub mod jobs;
pub mod keyring;
pub mod mail;
pub mod meter;
pub mod metrics;
pub mod ping;
pub mod qr;
pub mod random;
pub mod schedule;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod trace;

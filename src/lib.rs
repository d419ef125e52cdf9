//! `lapsed` looks after API keys until they end.

pub mod app;
pub mod clock;
pub mod config;
pub mod domain;
pub mod heartbeat;
pub mod jobs;
pub mod keyring;
pub mod mail;
pub mod schedule;
pub mod shutdown;
pub mod store;

//! `lapsed` looks after API keys until they end.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod issue;
pub mod jobs;
pub mod keyring;
pub mod mail;
pub mod random;
pub mod shutdown;
pub mod store;

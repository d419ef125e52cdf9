//! `lapsed` looks after API keys until they end.

pub mod clock;
pub mod config;
pub mod domain;
pub mod store;
pub mod mail;

//! `lapsed` looks after API keys until they end.

pub mod clock;
pub mod config;
pub mod domain;
pub mod mail;
pub mod random;
pub mod store;

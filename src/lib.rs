//! `lapsed` looks after API keys until they end.

pub mod config;
pub mod domain;

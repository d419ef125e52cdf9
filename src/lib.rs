//! `lapsed` looks after API keys until they end.

pub mod domain;
pub mod mail;

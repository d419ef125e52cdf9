//! What the tests stand on.

pub mod app;
pub mod chance;
pub mod daemon;
pub mod db;
pub mod notify;
pub mod proxy;
pub mod secrets;
pub mod server;
pub mod smtp;
pub mod web;

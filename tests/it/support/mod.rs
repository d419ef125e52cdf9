//! What the tests stand on.

pub mod app;
pub mod db;
//! What the tests share.

pub mod proxy;
pub mod smtp;

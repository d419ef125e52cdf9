//! Everything about a mail: its text, its building, and the ways it leaves the house.
//!
//! The only room that names lettre. It knows nothing of the database: mails come in on a channel,
//! and what became of each goes out on another.

pub mod address;
pub mod alarm;
pub mod build;
mod calendar;
pub mod digest;
pub mod files;
pub mod memory;
pub mod outcome;
pub mod preview;
pub mod render;
pub mod smtp;
pub mod transport;
pub mod words;

//! What `lapsed` knows about keys, and nothing about the world: no async, no IO, no clock, no
//! database. Every function here gets the time as an argument and gives the same answer twice.

pub mod brake;
pub mod derived;
pub mod digest;
pub mod doubt;
pub mod identity;
pub mod key;
pub mod language;
pub mod life;
pub mod lifecycle;
pub mod link;
pub mod name;
pub mod network;
pub mod otp;
pub mod plan;
pub mod policy;
pub mod purge;
pub mod quiet;
pub mod retry;
pub mod rotation;
pub mod seal;
pub mod session;
pub mod spread;
pub mod stage;
pub mod suspension;
pub mod token;
pub mod unused;
pub mod verdict;
pub mod wish;

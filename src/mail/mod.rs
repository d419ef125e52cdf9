//! Mail: what is said, to whom, and how it leaves. The only room with lettre.

pub mod address;
pub mod build;
pub mod digest;
pub mod preview;
pub mod render;
pub mod words;

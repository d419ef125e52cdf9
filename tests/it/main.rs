//! All integration tests: one binary, so that they are linked once.

mod smtp_faults;
mod smtp_lanes;
mod smtp_pipelining;
mod smtp_tls;
mod support;

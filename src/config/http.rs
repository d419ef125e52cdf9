//! `[http]`

use std::net::SocketAddr;

use serde::Deserialize;

use crate::{
    config::{
        rule::{Misfit, Rule},
        schema::Rules,
    },
    domain::network::Network,
};

/// `[http]`: where the API, the pages, the health checks and the metrics are served.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The address and port to listen on. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Networks of proxies whose `X-Forwarded-For` is believed, as they are written.
    pub trusted_proxies: Vec<String>,
    /// Keys that are nobody's that one client may present to the API in each second. 0: no limit.
    pub guesses_per_second: u32,
}

impl HttpConfig {
    /// The networks of [`trusted_proxies`](Self::trusted_proxies).
    pub fn proxies(&self) -> Vec<Network> {
        // The rule of the option has admitted each of them.
        self.trusted_proxies.iter().filter_map(|text| text.parse().ok()).collect()
    }
}

pub(super) const RULES: Rules = &[
    (
        "http.listen",
        Rule::Text {
            allowed: "an address and port such as 127.0.0.1:8470",
            check: |text| Misfit::unless(text.parse::<SocketAddr>().is_ok()),
        },
    ),
    (
        "http.trusted_proxies",
        Rule::Texts {
            allowed: "a list of addresses and networks such as [\"10.0.0.0/8\", \"::1\"]",
            check: |text| Misfit::unless(text.parse::<Network>().is_ok()),
        },
    ),
    ("http.guesses_per_second", Rule::Whole(0, 100_000)),
];

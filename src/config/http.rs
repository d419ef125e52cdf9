//! `[http]`

use std::net::SocketAddr;

use serde::Deserialize;

use crate::config::{
    rule::{Misfit, Rule},
    schema::Rules,
};

/// `[http]`: where the API, the pages, the health checks and the metrics are served.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The address and port to listen on. Port 0 takes any free one.
    pub listen: SocketAddr,
}

pub(super) const RULES: Rules = &[(
    "http.listen",
    Rule::Text {
        allowed: "an address and port such as 127.0.0.1:8470",
        check: |text| Misfit::unless(text.parse::<SocketAddr>().is_ok()),
    },
)];

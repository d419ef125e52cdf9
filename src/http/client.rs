//! Who sends a request: the machine at the other end of the connection, or whom a proxy that is
//! trusted says it speaks for.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::http::{Extensions, HeaderMap};

use crate::domain::network::Network;

/// The header in which proxies say whom they speak for: each adds the address of whoever asked it.
const FORWARDED: &str = "x-forwarded-for";

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The proxies whose word is taken for whom they speak. Without any, nobody's is: whoever reaches the
/// daemon could write that header. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[Network]>);

impl Proxies {
    /// All machines in these networks.
    pub fn new(networks: &[Network]) -> Self {
        Self(networks.into())
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }

    /// Who asks. From the right, each address of the header was written by the one after it; the
    /// first that is no proxy of ours is the client, and what stands left of it is only a claim.
    pub(super) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
        let peer =
            extensions.get::<Peer>().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0);
        let mut client = peer;
        let values = headers.get_all(FORWARDED).iter().rev();
        let said = values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        for text in said {
            if !self.has(client) {
                break;
            }
            // What cannot be read was not written by a proxy of ours.
            let Some(before) = address(text.trim()) else { break };
            client = before;
        }
        client.to_canonical()
    }
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    address.or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who asks, if the connection comes from `peer` with these headers.
    fn client(peer: &str, headers: &[&str]) -> String {
        let proxies = Proxies::new(&["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap()));
        let mut extensions = Extensions::new();
        extensions.insert(Peer(peer.parse().unwrap()));
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(FORWARDED, value.parse().unwrap());
        }
        proxies.client(&extensions, &map).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "anybody can write that");
        assert_eq!(client("10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client("::ffff:10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("fd00::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
    }

    #[test]
    fn what_a_client_claims_is_not_believed() {
        assert_eq!(client("10.1.2.3", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.1.2.3", &["203.0.113.9", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.1.2.3", &["198.51.100.7, 10.9.9.9"]), "198.51.100.7", "two proxies");
        assert_eq!(client("10.1.2.3", &["10.9.9.9, 198.51.100.7:80"]), "198.51.100.7");
        for nonsense in ["unknown", "", "198.51.100.7;", "1.2.3"] {
            assert_eq!(client("10.1.2.3", &[&format!("198.51.100.7, {nonsense}")]), "10.1.2.3");
        }
    }

    #[test]
    fn without_proxies_the_other_end_is_the_client() {
        let mut map = HeaderMap::new();
        map.append(FORWARDED, "198.51.100.7".parse().unwrap());
        let mut extensions = Extensions::new();
        extensions.insert(Peer("127.0.0.1".parse().unwrap()));
        assert_eq!(Proxies::default().client(&extensions, &map).to_string(), "127.0.0.1");
    }
}

//! URLs as far as the configuration has to understand them, and no further.

use std::path::PathBuf;

/// The kind of database a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file, or memory, in this process.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
    /// A MariaDB or MySQL server.
    Mysql,
}

impl Engine {
    /// The engine that `url` names, if any.
    pub(super) fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        match scheme {
            "sqlite" => (sqlite_file(url).is_some() || is_memory(url)).then_some(Self::Sqlite),
            "postgres" | "postgresql" if has_host(rest) => Some(Self::Postgres),
            "mysql" if has_host(rest) => Some(Self::Mysql),
            _ => None,
        }
    }
}

fn has_host(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix("//") else { return false };
    // `postgres:///name?host=/run/postgresql` names a socket, and no host.
    rest.contains("?host=") || rest.contains("&host=") || rest.contains("socket=") || {
        let host = authority(rest).rsplit('@').next().unwrap_or_default();
        !host.is_empty() && !host.contains(char::is_whitespace)
    }
}

/// The file an SQLite URL names. `None` for memory, or for another URL.
pub(super) fn sqlite_file(url: &str) -> Option<PathBuf> {
    if is_memory(url) {
        return None;
    }
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
    (!path.is_empty()).then(|| PathBuf::from(path))
}

fn is_memory(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("sqlite:") else { return false };
    rest.trim_start_matches("//").starts_with(":memory:") || rest.contains("mode=memory")
}

/// What stands before the path, the query and the fragment of a URL without its scheme.
fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Where in `url` a password is: after the first colon of what stands before the host, or in a
/// `password` parameter.
///
/// A password with an unescaped `/`, `?`, `#` or `@` breaks the URL, yet it must not be shown
/// either. So everything up to the last `@` counts, once the part before the path looks like a
/// name and something that is no port.
fn password(url: &str) -> Option<std::ops::Range<usize>> {
    let start = url.find("://")? + "://".len();
    let rest = &url[start..];
    if let Some(colon) = rest.find(':')
        && let Some(at) = rest.rfind('@')
        && colon + 1 < at
    {
        let before_query = rest.split(['?', '#']).next().unwrap_or_default();
        let port = authority(rest).rsplit(':').next().unwrap_or_default();
        let is_host_and_port =
            !before_query.contains('@') && port.bytes().all(|byte| byte.is_ascii_digit());
        if !is_host_and_port {
            return Some(start + colon + 1..start + at);
        }
    }
    for name in ["?password=", "&password="] {
        if let Some(found) = url.find(name) {
            let from = found + name.len();
            let to = url[from..].find(['&', '#']).map_or(url.len(), |length| from + length);
            return (from < to).then_some(from..to);
        }
    }
    None
}

/// Whether `url` contains a password.
pub(super) fn has_password(url: &str) -> bool {
    password(url).is_some()
}

/// `url` without its password. Any other text comes back as it is.
pub(super) fn mask_password(url: &str) -> String {
    match password(url) {
        Some(range) => format!("{}***{}", &url[..range.start], &url[range.end..]),
        None => url.to_owned(),
    }
}

/// The host of an `http://` or `https://` URL that pages can be under: no user, no query.
pub(super) fn web_host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = authority(rest);
    if rest.contains(['@', '?', '#', '"', '<', '>']) || rest.contains(char::is_whitespace) {
        return None;
    }
    // The colons of an IPv6 address stand inside its brackets.
    let end_of_host = authority
        .find(']')
        .map_or_else(|| authority.find(':').unwrap_or(authority.len()), |bracket| bracket + 1);
    let (host, port) = authority.split_at(end_of_host);
    let port_fits = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.parse().is_ok_and(|port: u16| port != 0));
    (port_fits && !host.is_empty()).then_some(host)
}

/// Whether `url` is an `http://` or `https://` URL that can be fetched: no user, no fragment.
pub(super) fn is_fetchable(url: &str) -> bool {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    web_host(place).is_some() && url.bytes().all(is_plain) && !query.contains(['"', '<', '>'])
}

/// Whether `name` can be the name or the IP address of a machine.
pub(super) fn is_host(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_ok()
        || (name.len() <= 253 && name.trim_end_matches('.').split('.').all(is_label))
}

fn is_label(label: &str) -> bool {
    // Beyond ASCII: names as people write them; who resolves them turns them into punycode.
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_engine() {
        for (url, engine) in [
            ("sqlite://data/lapsed.db", Some(Engine::Sqlite)),
            ("sqlite:lapsed.db?mode=rwc", Some(Engine::Sqlite)),
            ("sqlite::memory:", Some(Engine::Sqlite)),
            ("sqlite://?mode=memory", Some(Engine::Sqlite)),
            ("postgres://u@db/lapsed", Some(Engine::Postgres)),
            ("postgresql://db:5432/lapsed", Some(Engine::Postgres)),
            ("postgres:///lapsed?host=/run/postgresql", Some(Engine::Postgres)),
            ("mysql://u@db/lapsed", Some(Engine::Mysql)),
            ("sqlite:", None),
            ("sqlite://", None),
            ("postgres://", None),
            ("postgres:db", None),
            ("oracle://db", None),
            ("data/lapsed.db", None),
        ] {
            assert_eq!(Engine::of(url), engine, "{url}");
        }
    }

    #[test]
    fn an_sqlite_file_is_found() {
        let file = |url| sqlite_file(url).map(|file| file.display().to_string());
        assert_eq!(file("sqlite://data/a.db?mode=rwc").as_deref(), Some("data/a.db"));
        assert_eq!(file("sqlite:///var/lib/a.db").as_deref(), Some("/var/lib/a.db"));
        assert_eq!(file("sqlite::memory:"), None);
        assert_eq!(file("postgres://db/a"), None);
    }

    #[test]
    fn a_password_is_masked_wherever_it_stands() {
        for (url, masked) in [
            ("postgres://u:secret@db/x", "postgres://u:***@db/x"),
            ("postgres://:secret@db/x", "postgres://:***@db/x"),
            ("postgres://u:se/cr?e#t@db/x", "postgres://u:***@db/x"),
            ("postgres://u:s@c:r@db/x", "postgres://u:***@db/x"),
            ("postgres://u:12/34@db/x", "postgres://u:***@db/x"),
            ("postgres://db/x?password=secret&user=u", "postgres://db/x?password=***&user=u"),
            ("mysql://db/x?a=b&password=secret", "mysql://db/x?a=b&password=***"),
            ("smtp://u:secret@mail", "smtp://u:***@mail"),
        ] {
            assert_eq!(mask_password(url), masked);
            assert!(has_password(url), "{url}");
        }
    }

    #[test]
    fn what_is_no_password_is_left_alone() {
        for url in [
            "postgres://u@db/x",
            "postgres://u:@db/x",
            "postgres://db:5432/x",
            "postgres://u@db:5432/x",
            "sqlite://data/lapsed.db",
            "sqlite::memory:",
            "a:b@c",
            "",
        ] {
            assert_eq!(mask_password(url), url);
            assert!(!has_password(url), "{url}");
        }
    }

    #[test]
    fn pages_are_under_a_plain_web_address() {
        for (url, host) in [
            ("https://keys.example.com", Some("keys.example.com")),
            ("http://127.0.0.1:8470/lapsed/", Some("127.0.0.1")),
            ("http://[::1]:8470", Some("[::1]")),
            ("https://keys.example.com:0", None),
            ("https://keys.example.com:x", None),
            ("https://", None),
            ("https://u@keys.example.com", None),
            ("https://keys.example.com?a=b", None),
            ("ftp://keys.example.com", None),
            ("keys.example.com", None),
        ] {
            assert_eq!(web_host(url), host, "{url}");
        }
    }

    #[test]
    fn what_is_fetched_may_have_a_query() {
        for url in ["https://hc.example/ping/5e1f", "http://[::1]:3001/api/push/x?status=up&msg=OK"]
        {
            assert!(is_fetchable(url), "{url}");
        }
        for url in
            ["hc.example/ping", "https://", "https://u:p@hc.example/", "https://hc.example/#a"]
        {
            assert!(!is_fetchable(url), "{url}");
        }
        assert!(!is_fetchable("https://hc.example/a b"));
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for host in ["localhost", "mail.example.com", "10.0.0.1", "::1", "müller.example", "a_b."]
        {
            assert!(is_host(host), "{host}");
        }
        for wrong in ["", ".", "a..b", "-a", "a b", "smtp://a", "a:25", "[::1]"] {
            assert!(!is_host(wrong), "{wrong}");
        }
    }
}

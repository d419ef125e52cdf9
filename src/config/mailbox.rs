//! Mail addresses, as far as a slip of the pen can be seen in them. The mail room judges again.

use crate::config::url::is_host;

/// Whether `text` is an address, or a name and an address in angle brackets.
pub(super) fn is_mailbox(text: &str) -> bool {
    match text.trim().strip_suffix('>') {
        Some(rest) => rest
            .rsplit_once('<')
            .is_some_and(|(name, address)| is_name(name.trim()) && is_address(address)),
        None => is_address(text),
    }
}

/// Whether `text` is a plain address: `keys@example.com`.
pub(super) fn is_address(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    (1..=64).contains(&local.len())
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && !local.contains(|c: char| c.is_whitespace() || "()<>[]:;@\\,\"".contains(c))
        && is_host(host)
}

/// Whether `name` can stand before an address: quoted, or free of what has a meaning in a header.
fn is_name(name: &str) -> bool {
    match name.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(|inner| !inner.contains(['"', '\\'])),
        None => !name.contains(['<', '>', '@', ',', ';', ':', '"', '(', ')', '[', ']', '\\']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_told_from_slips_of_the_pen() {
        for text in [
            "lapsed <lapsed@localhost>",
            "keys@example.com",
            "<keys@example.com>",
            "API keys <keys+a.b@example.com>",
            "\"Keys, API\" <keys@example.com>",
            "Schlüssel <schlüssel@müller.example>",
        ] {
            assert!(is_mailbox(text), "{text}");
        }
        for text in [
            "",
            "keys",
            "keys@",
            "@example.com",
            "keys@example..com",
            "a..b@example.com",
            "keys example.com",
            "a@b@example.com",
            "Keys, API <keys@example.com>",
            "Keys <keys@example.com",
            "keys@example.com, other@example.com",
            "Keys <keys>",
            "\"Keys <keys@example.com>",
        ] {
            assert!(!is_mailbox(text), "{text}");
        }
    }
}

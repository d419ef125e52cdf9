use super::*;

fn parse(text: &str) -> Result<EmailAddress, AddressError> {
    text.parse()
}

#[test]
fn an_address_is_ascii_and_as_it_was_written() {
    let long_local = format!("{}@example.org", "a".repeat(64));
    for (text, exposed) in [
        ("ada@example.org", "ada@example.org"),
        ("  ada@example.org\n", "ada@example.org"),
        ("Ada.Lovelace+keys@Example.ORG", "Ada.Lovelace+keys@example.org"),
        ("a@localhost", "a@localhost"),
        ("a@[127.0.0.1]", "a@[127.0.0.1]"),
        ("a@127.0.0.1", "a@[127.0.0.1]"),
        ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("a@[2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
        ("\"ada lovelace\"@example.org", "\"ada lovelace\"@example.org"),
        (&long_local, &long_local),
    ] {
        assert_eq!(parse(text).as_ref().map(EmailAddress::expose), Ok(exposed), "{text}");
    }
}

#[test]
fn what_is_no_address_is_told_apart() {
    let long_local = format!("{}@example.org", "a".repeat(65));
    let long_domain = format!("ada@{}org", "abcdefgh.".repeat(28));
    for (text, error) in [
        ("", AddressError::Incomplete),
        ("ada", AddressError::Incomplete),
        ("@example.org", AddressError::Incomplete),
        ("ada@", AddressError::Incomplete),
        ("ådå@example.org", AddressError::NotAscii),
        ("ada lovelace@example.org", AddressError::BadLocalPart),
        ("ada\r\nBcc: eve@example.org", AddressError::BadLocalPart),
        ("\"a\r\nb\"@example.org", AddressError::BadLocalPart),
        ("a\0@example.org", AddressError::BadLocalPart),
        ("ada@exa mple.org", AddressError::BadDomain),
        ("ada@example.org>\r\nDATA", AddressError::BadDomain),
        ("ada@example..org", AddressError::BadDomain),
        ("ada@[example.org]", AddressError::BadDomain),
        ("ada@exam\u{202e}ple.org", AddressError::BadDomain),
        (&long_local, AddressError::TooLong),
        (&long_domain, AddressError::TooLong),
    ] {
        assert_eq!(parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn what_could_be_logged_shows_no_address() {
    for (text, masked) in [
        ("ada@example.org", "a***@e***.org"),
        ("ada@mail.example.co.uk", "a***@m***.uk"),
        ("a@localhost", "a***@l***"),
        ("a@[127.0.0.1]", "a***@[***]"),
    ] {
        let address = parse(text).unwrap();
        assert_eq!(address.to_string(), masked);
        assert_eq!(format!("{address:?}"), masked);
        let mailbox = Mailbox { name: Some("Ada".to_owned()), address };
        assert_eq!(format!("{mailbox} {mailbox:?}"), format!("{masked} {masked}"));
    }
}

#[test]
fn a_mailbox_has_a_name_or_none() {
    for (text, name) in [
        ("ada@example.org", None),
        ("<ada@example.org>", None),
        ("\"\" <ada@example.org>", None),
        ("Ada Lovelace <ada@example.org>", Some("Ada Lovelace")),
        ("  Ada   Lovelace<ada@example.org> ", Some("Ada Lovelace")),
        (
            r#""Lovelace, Ada \"the \\ first\"" <ada@example.org>"#,
            Some(r#"Lovelace, Ada "the \ first""#),
        ),
        ("Åda\r\nBcc: eve <ada@example.org>", Some("Åda Bcc: eve")),
    ] {
        let mailbox: Mailbox = text.parse().unwrap();
        assert_eq!(mailbox.name.as_deref(), name, "{text:?}");
        assert_eq!(mailbox.address.expose(), "ada@example.org");
    }
    for (text, error) in [
        ("Ada <ada@example.org", AddressError::Unbalanced),
        ("Ada ada@example.org>", AddressError::Unbalanced),
        ("Ada <>", AddressError::Incomplete),
        ("Ada", AddressError::Incomplete),
    ] {
        assert_eq!(text.parse::<Mailbox>(), Err(error), "{text:?}");
    }
}

#[test]
fn a_clean_name_is_one_readable_line() {
    for (raw, clean) in [
        ("Ada", "Ada"),
        ("", ""),
        (" \t Ada  Lovelace ", "Ada Lovelace"),
        ("a\r\nBcc: b", "a Bcc: b"),
        ("a\nb\rc\0d\x1be\x7ff\u{85}g\u{2028}h\u{2029}i", "a b c d e f g h i"),
        ("\u{202e}gpj.exe\u{202c} \u{2066}x\u{2069}", "gpj.exe x"),
        ("\r\n\0", ""),
        ("👩‍👩‍👧 Ünïcode 例え", "👩‍👩‍👧 Ünïcode 例え"),
    ] {
        assert_eq!(clean_name(raw), clean, "{raw:?}");
    }
}

#[test]
fn a_long_name_is_cut_between_characters() {
    for unit in ["x", "ü", "例", "👩"] {
        assert_eq!(clean_name(&unit.repeat(MAX_NAME_CHARS)), unit.repeat(MAX_NAME_CHARS));
        let cut = clean_name(&unit.repeat(70_000));
        assert_eq!(cut, unit.repeat(MAX_NAME_CHARS - 1) + "…");
    }
}

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// The seed of the test vectors of RFC 6238, appendix B.
fn seed() -> Seed {
    Seed::new(*b"12345678901234567890")
}

fn code(text: &str) -> Code {
    match Attempt::parse(text) {
        Ok(Attempt::Code(code)) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_vectors_of_rfc_6238_hold() {
    // Appendix B has eight digits; six are their end (RFC 4226 section 5.3).
    for (seconds, digits) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        assert_eq!(seed().code_at(at(seconds)).unwrap().expose(), digits, "{seconds}");
        assert_eq!(seed().check(&code(digits), at(seconds)), Some(seconds / 30), "{seconds}");
    }
}

#[test]
fn a_code_counts_one_step_early_and_one_late() {
    let code = seed().code_at(at(600)).unwrap();
    for (seconds, step) in
        [(569, None), (570, Some(20)), (600, Some(20)), (659, Some(20)), (660, None)]
    {
        assert_eq!(seed().check(&code, at(seconds)), step, "{seconds}");
    }
}

#[test]
fn a_code_is_read_as_people_type_it() {
    for text in ["287082", " 287 082 ", "287-082", "2 8 7 0 8 2\n"] {
        assert_eq!(code(text).expose(), "287082");
    }
    for text in ["ABCD-EFGH-IJKL-MN23", "abcdefghijklmn23", "abcd efgh ijkl mn23"] {
        let Ok(Attempt::Recovery(code)) = Attempt::parse(text) else { panic!("{text}") };
        assert_eq!(code.grouped().expose_secret(), "ABCD-EFGH-IJKL-MN23");
    }
    for text in
        ["", "28708", "2870822", "28708a", "ABCD-EFGH-IJKL-MN2", "ABCD-EFGH-IJKL-MN18", "٢٨٧٠٨٢"]
    {
        assert_eq!(Attempt::parse(text).unwrap_err(), NotACode, "{text}");
    }
}

#[test]
fn the_uri_is_what_devices_read() {
    let uri = seed().uri("lapsed: acme", "ada@acme.example").unwrap();
    let uri = uri.expose_secret();
    assert!(uri.starts_with("otpauth://totp/lapsed%20%20acme:ada%40acme.example?"), "{uri}");
    assert!(uri.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "{uri}");
    assert!(uri.contains("issuer=lapsed%20%20acme"), "{uri}");
}

#[test]
fn nothing_of_a_seed_or_a_code_is_shown_by_debug() {
    let shown = format!("{:?} {:?} {:?}", seed(), code("287082"), RecoveryCode::new([7; 10]));
    for secret in ["1234", "287082", "A4DQ", "49, 50"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.starts_with("Seed(…) Code("), "{shown}");
}

#[test]
fn a_recovery_code_is_remembered_for_its_owner_alone() {
    let code = RecoveryCode::new([1; 10]);
    let mac = |byte, owner| code.mac(&Derived::new(7, [byte; 32]), owner);
    assert!(mac(5, 1).meets(&mac(5, 1)));
    assert!(!mac(5, 1).meets(&mac(5, 2)));
    assert!(!mac(5, 1).meets(&mac(6, 1)));
}

#[test]
fn a_recovery_code_is_known_under_the_pepper_it_was_remembered_under() {
    let code = RecoveryCode::new([1; 10]);
    let (old, new) = (Derived::new(7, [5; 32]), Derived::new(8, [6; 32]));
    let both = Derived { before: Some(old.present.clone()), ..new.clone() };
    let meets = |stored: &Mac| {
        let macs = code.macs(&both, 1);
        macs.iter().map(|mac| mac.meets(stored)).collect::<Vec<_>>()
    };
    assert_eq!(meets(&code.mac(&new, 1)), [true, false]);
    assert_eq!(meets(&code.mac(&old, 1)), [false, true]);
}

#[test]
fn a_seed_is_typed_in_base32() {
    assert_eq!(seed().base32().expose_secret(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
}

proptest! {
    #[test]
    fn a_recovery_code_is_read_as_it_was_made(random: [u8; 10]) {
        let made = RecoveryCode::new(random);
        let Ok(Attempt::Recovery(read)) = Attempt::parse(made.grouped().expose_secret()) else {
            return Err(TestCaseError::fail("no recovery code"));
        };
        let pepper = Derived::new(7, [0; 32]);
        prop_assert!(read.mac(&pepper, 1).meets(&made.mac(&pepper, 1)));
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*") {
        let _ = Attempt::parse(&text);
    }
}

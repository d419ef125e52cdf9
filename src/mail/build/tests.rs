use mail_parser::{HeaderName as Name, Message as Parsed, MessageParser};
use proptest::prelude::*;

use super::*;
use crate::mail::{
    digest::{Audience, Topic, Why},
    preview,
    render::{TemplateSettings, Templates},
};

/// What a database may contain, by mistake or by malice.
const HOSTILE: &[&str] = &[
    "",
    "a\r\nBcc: eve@example.com",
    "a\nBcc: eve@example.com",
    "a\rBcc: eve@example.com",
    "a\0b",
    "a\tb",
    "a\u{1b}[31mb",
    "=?utf-8?q?x=0D=0ABcc:_eve@example.com?=",
    "a\u{202e}gpj.exe",
    "a\u{2066}b\u{2069}",
    "a\u{2028}b\u{2029}c",
    "a\u{85}b",
    "a\u{7f}b",
    "<script>alert(1)</script>",
    "</style></title><img src=x onerror=alert(1)>",
    "\"quoted\" 'twice' \\ back",
    "Ada, eve@example.com; <eve@example.com>",
    "{{7*7}} {% include 'row.txt' %}",
    "=CMD()|'/c calc'!A0",
    ".",
    "\r\n.\r\n",
    "--=_lapsed--",
    "From eve",
    "&amp; &lt;b&gt; &#60;",
    "ключ 鍵 مفتاح 🔑",
    "e\u{301}\u{300}\u{fe0f}",
];

fn now() -> DateTime<Utc> {
    "2026-11-23T09:00:00Z".parse().unwrap()
}

fn sender() -> Sender {
    Sender {
        from: "Keys of <Example> <keys@example.org>".parse().unwrap(),
        reply_to: Some("\"Ops, all\" <ops@example.org>".parse().unwrap()),
        list_id: "lapsed.example.org".to_owned(),
        domain: "lapsed.example.org".to_owned(),
    }
}

fn templates() -> Templates {
    Templates::new(&TemplateSettings::default()).unwrap()
}

fn built(digest: &Digest) -> (Letter, Built) {
    let letter = templates().render(digest, now()).unwrap();
    let built = build(&letter, digest, &sender(), now()).unwrap();
    (letter, built)
}

fn parse(built: &Built) -> Parsed<'_> {
    MessageParser::default().parse(&built.bytes).unwrap()
}

#[test]
fn headers_say_who_what_and_that_a_machine_wrote() {
    let digest = preview::sample(Topic::Expiring, 3, now());
    let (letter, built) = built(&digest);
    let text = String::from_utf8(built.bytes.clone()).unwrap();
    let (headers, _) = text.split_once("\r\n\r\n").unwrap();
    insta::assert_snapshot!(headers.replace("\r\n", "\n"), @r#"
    From: =?utf-8?b?S2V5cyBvZiA8RXhhbXBsZT4=?= <keys@example.org>
    To: "Ada Lovelace" <ada@example.org>
    Subject: 3 API keys expire soon, the first in 7 days
    Date: Mon, 23 Nov 2026 09:00:00 +0000
    Message-ID: <sample.1@lapsed.example.org>
    References: <key.LZlokdmmmm00@lapsed.example.org>
     <key.LZlokdmmmm02@lapsed.example.org> <key.LZlokdmmmm01@lapsed.example.org>
    Auto-Submitted: auto-generated
    X-Auto-Response-Suppress: All
    List-Id: <lapsed.example.org>
    Reply-To: =?utf-8?b?T3BzLCBhbGw=?= <ops@example.org>
    List-Unsubscribe: <https://keys.example.org/reminders/sample-that-changes-nothing>
    List-Unsubscribe-Post: List-Unsubscribe=One-Click
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="=_whole"
    "#);
    assert_eq!(built.from, "keys@example.org");
    assert_eq!(built.to, ["ada@example.org"]);

    let parsed = parse(&built);
    assert_eq!(parsed.subject(), Some(letter.subject.as_str()));
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), letter.text);
    assert_eq!(parsed.body_html(0).unwrap().replace("\r\n", "\n"), letter.html);
}

#[test]
fn only_early_reminders_say_how_they_are_switched_off() {
    let header = |digest: &Digest, name: &str| {
        let (_, built) = built(digest);
        parse(&built).header_raw(name).map(|value| value.trim().to_owned())
    };
    for topic in Topic::ALL {
        let is_early = matches!(topic, Topic::Expiring | Topic::Ending);
        let digest = preview::sample(topic, 1, now());
        assert_eq!(header(&digest, "List-Unsubscribe").is_some(), is_early, "{topic}");
    }
    let mut digest = preview::sample(Topic::Expiring, 1, now());
    // Mail services may not post to such an address, but people can open it.
    digest.wish_link = Some("http://keys.example.org/reminders/x".to_owned());
    let link = header(&digest, "List-Unsubscribe").unwrap();
    assert_eq!(link, "<http://keys.example.org/reminders/x>");
    assert_eq!(header(&digest, "List-Unsubscribe-Post"), None);
    digest.wish_link = Some("https://keys.example.org/a>\r\nBcc: eve@example.com".to_owned());
    assert_eq!(header(&digest, "List-Unsubscribe"), None);
}

#[test]
fn every_attempt_sends_the_same_bytes() {
    let digest = preview::sample(Topic::Expiring, 3, now());
    assert!(built(&digest).1 == built(&digest).1);
}

#[test]
fn a_mail_belongs_to_the_threads_of_ten_keys_at_most() {
    let (_, built) = built(&preview::sample(Topic::Expired, 60, now()));
    let references = parse(&built).header_raw(Name::References).unwrap().to_owned();
    assert_eq!(references.matches("<key.").count(), MAX_REFERENCES);
}

#[test]
fn every_sample_can_be_sent() {
    for digest in preview::all(now()) {
        let (letter, built) = built(&digest);
        let recipients: Vec<_> = digest.to.iter().map(EmailAddress::expose).collect();
        assert_eq!(built.to, recipients);
        let parsed = parse(&built);
        assert_eq!(parsed.subject(), Some(letter.subject.as_str()));
        assert_eq!(parsed.to().unwrap().as_list().unwrap().len(), recipients.len());
    }
}

#[test]
fn every_kind_of_address_can_be_written_to() {
    for address in [
        "a@localhost",
        "a@[127.0.0.1]",
        "a@[IPv6:2001:db8::1]",
        "ada@bücher.example",
        "!#$%&'*+-/=?^_`{|}~@example.org",
        "\"ada lovelace\"@example.org",
        "\"a@b\"@example.org",
    ] {
        let mut digest = preview::sample(Topic::Expiring, 1, now());
        let parsed: EmailAddress = address.parse().unwrap();
        digest.to = vec![parsed.clone()];
        let (_, built_mail) = built(&digest);
        assert_eq!(built_mail.to, [parsed.expose()]);
        let header = parse(&built_mail).header_raw(Name::To).unwrap().trim().to_owned();
        assert_eq!(header, format!("\"Ada Lovelace\" <{}>", parsed.expose()));
        digest.to.push("eve@example.com".parse().unwrap());
        assert_eq!(built(&digest).1.to, [parsed.expose(), "eve@example.com"]);
    }
}

/// A page without its text: whatever is markup in it.
fn markup(html: &str) -> String {
    html.split('<').skip(1).filter_map(|tag| tag.split_once('>')).map(|(tag, _)| tag).collect()
}

/// Puts `text` into one field of a digest.
type Field = fn(&mut Digest, &str);

const FIELDS: &[(&str, Field)] = &[
    ("key name", |digest, text| digest.items[0].name = text.to_owned()),
    ("tenant", |digest, text| digest.items[0].tenant = text.to_owned()),
    ("environment", |digest, text| digest.items[0].environment = text.to_owned()),
    ("reader's name", |digest, text| digest.to_name = Some(text.to_owned())),
    ("owner's name", |digest, text| {
        *digest = preview::for_contacts(digest.clone());
        if let Audience::Contacts { owner_name, .. } = &mut digest.audience {
            *owner_name = text.to_owned();
        }
    }),
    ("owner's address and reason", |digest, text| {
        *digest = preview::for_contacts(digest.clone());
        if let Audience::Contacts { owner_mail_masked, why, .. } = &mut digest.audience {
            *owner_mail_masked = text.to_owned();
            *why = Why::Unreachable(text.to_owned());
        }
    }),
];

/// What a hostile text must not change: the names of the headers, the recipients and the markup.
#[derive(Debug, PartialEq)]
struct Shape {
    headers: Vec<String>,
    to: Vec<String>,
    envelope: Vec<String>,
    n_parts: usize,
    markup: String,
}

fn shape(letter: &Letter, built: &Built, parsed: &Parsed<'_>) -> Shape {
    let to = parsed.to().unwrap().as_list().unwrap();
    Shape {
        headers: parsed.headers().iter().map(|header| header.name().to_owned()).collect(),
        to: to.iter().map(|to| to.address().unwrap_or_default().to_owned()).collect(),
        envelope: built.to.clone(),
        n_parts: parsed.parts.len(),
        markup: markup(&letter.html),
    }
}

/// Characters that must not reach a reader.
fn is_hidden(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Checks that a mail with a hostile text in it is, but for that text, the harmless mail.
fn check_hostile(templates: &Templates, digest: &Digest, harmless: &Shape, case: &str) {
    let letter = templates.render(digest, now()).unwrap();
    let built = build(&letter, digest, &sender(), now()).unwrap();
    for line in built.bytes.split(|byte| *byte == b'\n') {
        assert!(line.len() <= 999 && line.is_ascii(), "{case}");
    }
    let parsed = parse(&built);
    assert_eq!(&shape(&letter, &built, &parsed), harmless, "{case}");
    assert_eq!(parsed.subject(), Some(letter.subject.replace("=?", "= ?").as_str()), "{case}");
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), letter.text, "{case}");
    assert_eq!(parsed.body_html(0).unwrap().replace("\r\n", "\n"), letter.html, "{case}");
    for part in [&letter.subject, &letter.text, &letter.html] {
        assert!(!part.contains(is_hidden), "{case}");
        // Unless that is what the name says.
        let is_rendered = part.contains("49 ") && !case.contains("49");
        assert!(!is_rendered, "{case}: a template in a name was rendered");
    }
    assert!(!letter.subject.contains('\n') && letter.subject.chars().count() <= 120, "{case}");
}

#[test]
fn no_text_in_any_field_changes_more_than_that_field() {
    let templates = templates();
    let (huge, huge_unicode) = ("x".repeat(70_000), "鍵 ".repeat(23_000));
    let hostile: Vec<&str> = HOSTILE.iter().copied().chain([&*huge, &*huge_unicode]).collect();
    let samples = [
        preview::sample(Topic::Expiring, 1, now()),
        preview::sample(Topic::Ending, 1, now()),
        preview::sample(Topic::Expired, 3, now()),
        preview::mixed(now()),
    ];

    let mut n_cases = 0;
    for (sample, (field, put)) in samples.iter().flat_map(|s| FIELDS.iter().map(move |f| (s, f))) {
        let with = |text: &str| {
            let mut digest = sample.clone();
            put(&mut digest, text);
            digest
        };
        let (letter, built) = built(&with("harmless"));
        let harmless = shape(&letter, &built, &parse(&built));
        for text in &hostile {
            let start: String = text.chars().take(20).collect();
            let case = format!("{start:?} as {field} in `{}`", letter.subject);
            check_hostile(&templates, &with(text), &harmless, &case);
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, samples.len() * FIELDS.len() * hostile.len());
}

#[test]
fn a_bad_identifier_is_refused() {
    let digest = preview::sample(Topic::Expiring, 1, now());
    let (letter, _) = built(&digest);
    for bad in ["", "a b", "a\r\nBcc: b", "a>b", "ä", "a\0"] {
        let digest = Digest { message_id: bad.to_owned(), ..digest.clone() };
        let error = build(&letter, &digest, &sender(), now()).unwrap_err();
        assert!(matches!(error, BuildError::BadIdentifier("the Message-ID")), "{bad:?}");

        let sender = Sender { list_id: bad.to_owned(), ..sender() };
        let digest = preview::sample(Topic::Expiring, 1, now());
        let error = build(&letter, &digest, &sender, now()).unwrap_err();
        assert!(matches!(error, BuildError::BadIdentifier("the List-Id")), "{bad:?}");
    }
}

#[test]
fn a_mail_to_nobody_is_refused() {
    let digest = preview::sample(Topic::Expiring, 1, now());
    let (letter, _) = built(&digest);
    let digest = Digest { to: Vec::new(), ..digest };
    assert!(matches!(build(&letter, &digest, &sender(), now()), Err(BuildError::NoRecipient)));
}

#[test]
fn a_panic_stays_behind_the_fence() {
    assert!(matches!(fenced(|| panic!("a bad name")), Err::<(), _>(BuildError::Panicked)));
    // A year that lettre cannot write.
    let digest = preview::sample(Topic::Expiring, 1, now());
    let (letter, _) = built(&digest);
    let late = "+19999-01-01T00:00:00Z".parse().unwrap();
    assert!(matches!(build(&letter, &digest, &sender(), late), Err(BuildError::Panicked)));
}

#[test]
fn a_letter_in_other_letters_is_sent_in_base64() {
    let digest = preview::sample(Topic::Expiring, 1, now());
    let (mut letter, _) = built(&digest);
    letter.text = "鍵の期限\n.\n--=_lapsed--\n".repeat(50);
    let built = build(&letter, &digest, &sender(), now()).unwrap();
    let parsed = parse(&built);
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), letter.text);
    assert!(String::from_utf8_lossy(&built.bytes).contains("Content-Transfer-Encoding: base64"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the texts are: the mail can be built, and says them and nothing else.
    #[test]
    fn any_text_in_any_field_is_only_text(
        field in 0..FIELDS.len(),
        text in "\\PC{0,80}|[\\x00-\\x7f]{0,80}|[=?_a-z0-9.\r\n-]{0,80}|[{}%#<>&\"' a-z7*]{0,80}",
    ) {
        static TEMPLATES: std::sync::LazyLock<Templates> = std::sync::LazyLock::new(templates);
        let change = |text: &str| {
            let mut digest = preview::sample(Topic::Expiring, 1, now());
            FIELDS[field].1(&mut digest, text);
            digest
        };
        let digest = change("harmless");
        let letter = TEMPLATES.render(&digest, now()).unwrap();
        let plain = build(&letter, &digest, &sender(), now()).unwrap();
        let harmless = shape(&letter, &plain, &parse(&plain));
        // Nothing to say has words of its own; and this is what a template in a name would have said.
        let name = clean_name(&text);
        prop_assume!(!name.is_empty() && !name.contains("49 "));
        check_hostile(&TEMPLATES, &change(&text), &harmless, &text);
    }
}

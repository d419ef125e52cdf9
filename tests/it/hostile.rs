//! Names that a database may hold, by mistake or by malice: whatever they are, mails, pages, the
//! API and exports say them as text, and nothing else of these changes.
//!
//! They are written past every check, into one SQLite database: from there on they take the same
//! way on every engine.

use std::{collections::BTreeMap, sync::Arc};

use lapsed::{
    domain::token::Brand,
    mail::transport::Outgoing,
    store::{Engine, verify::Verifier},
};
use mail_parser::MessageParser;
use sea_orm::{ConnectionTrait as _, Statement};

use crate::{
    admin_pages::Desk,
    links::enable,
    pages,
    support::{
        app::{TestApp, days},
        daemon,
        db::with_db,
        secrets::Secrets,
    },
};

/// The first is harmless: what the others are compared with.
fn texts() -> Vec<String> {
    let long = ["x".repeat(70_000), "鍵 ".repeat(20_000), "=41".repeat(20_000), "\"".repeat(5_000)];
    [
        "harmless",
        // Line breaks and other control characters.
        "a\r\nBcc: eve@example.com",
        "a\nBcc: eve@example.com",
        "a\rBcc: eve@example.com",
        "a\r\n\r\n<script>alert(1)</script>",
        "\r\n.\r\nMAIL FROM:<eve@example.com>",
        "a\0b",
        "a\tb\u{b}c\u{c}d",
        "a\u{1b}[31mb\u{7}",
        "a\u{85}b\u{7f}c",
        // What turns or hides text.
        "a\u{202e}gpj.exe",
        "a\u{2066}b\u{2069}\u{200f}c",
        "a\u{2028}b\u{2029}c",
        "\u{feff}\u{200b}\u{ad}",
        "e\u{301}\u{300}\u{fe0f}\u{20e3}",
        // Markup.
        "<script>alert(1)</script>",
        "</title></style><img src=x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)",
        "' autofocus onfocus=alert(1) x='",
        "--><svg/onload=alert(1)>",
        "javascript:alert(1)",
        "&amp; &lt;b&gt; &#60;script&#62;",
        "<!-- <![CDATA[ ]]> -->",
        // What templates and shells take for theirs.
        "{{7*7}} {% include 'row.txt' %} {# x #}",
        "${7*7} #{7*7} <%= 7*7 %>",
        "`id` $(id); id | id & id",
        // What mails take for theirs.
        "=?utf-8?q?x=0D=0ABcc:_eve@example.com?=",
        "=0D=0ABcc: eve@example.com =3D= =",
        "--=_lapsed--",
        "--=_whole",
        "From eve",
        "Ada, eve@example.com; <eve@example.com>",
        "\"quoted\\\" 'twice' (comment)",
        "ends with =",
        // What spreadsheets and databases take for theirs.
        "=CMD()|'/c calc'!A0",
        "+1-1",
        "-1+1",
        "@SUM(1)",
        "'; DROP TABLE api_keys; --",
        "100%_sure\\",
        // Other scripts.
        "ключ 鍵 مفتاح 🔑 👩‍👩‍👧",
        "xn--bcher-kva.example bücher.例え",
        "ß ﬁ İ ı Ǆ",
        "../../etc/passwd",
        "NULL",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(long)
    .collect()
}

/// Writes one tenant, environment, owner and key for each text, all of them called so. Every
/// other owner cannot be reached, so that contacts are told.
async fn write(app: &TestApp, texts: &[String]) {
    let at = app.now().timestamp_millis();
    let (born, dies) = (at - days(83).num_milliseconds(), at + days(7).num_milliseconds());
    for (n, text) in texts.iter().enumerate() {
        for is_reached in [true, false] {
            let id = number(n, is_reached);
            let mail_status = if is_reached { 1 } else { 2 };
            for (statement, n_texts) in [
                (
                    format!(
                        "INSERT INTO tenants (id, slug, name, contacts, created_at) \
                         VALUES ({id}, 't{id}', ?, '[\"ops{id}@acme.example\"]', 0)"
                    ),
                    1,
                ),
                (
                    format!(
                        "INSERT INTO environments (id, tenant_id, slug, name, class, contacts, \
                         created_at) VALUES ({id}, {id}, 'prod', ?, 1, '[]', 0)"
                    ),
                    1,
                ),
                (
                    format!(
                        "INSERT INTO owners (id, public_id, tenant_id, email, name, kind, \
                         time_zone, locale, mail_status, mail_status_reason, created_at) VALUES \
                         ({id}, 'owner{id:07}', {id}, 'o{id}@acme.example', ?, 1, \
                         'Europe/Berlin', 'en', {mail_status}, ?, 0)"
                    ),
                    2,
                ),
                (
                    format!(
                        "INSERT INTO api_keys (id, public_id, tenant_id, environment_id, owner_id, \
                         kind, ttl_ms, created_at, issued_at, expires_at, state, next_job, \
                         next_action_at, version, name, external_id, source, last_used_at, \
                         last_used_by) VALUES ({id}, 'key{id:09}', {id}, {id}, {id}, 1, \
                         7776000000, {born}, {born}, {dies}, 1, 1, {at}, 1, ?, ?, 'vault', {born}, \
                         ?)"
                    ),
                    3,
                ),
            ] {
                let values = (0..n_texts).map(|_| text.as_str().into());
                let backend = app.db.conn().get_database_backend();
                let statement = Statement::from_sql_and_values(backend, statement, values);
                app.db.conn().execute_raw(statement).await.unwrap();
            }
        }
    }
}

/// The number of the `n`th text's key, owner, environment and tenant.
fn number(n: usize, is_reached: bool) -> usize {
    100 + 2 * n + usize::from(!is_reached)
}

/// A page without its text and what stands in quotes: its tags and their attributes. Which entry of
/// a list is the chosen one differs from tenant to tenant.
fn skeleton(page: &str) -> Vec<String> {
    let page = page.replace(" selected", "");
    let tags = page.split('<').skip(1).map(|piece| piece.split('>').next().unwrap_or_default());
    tags.map(|tag| tag.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")).collect()
}

/// The mail to each address.
fn mails(app: &TestApp) -> BTreeMap<String, Outgoing> {
    app.outbox.sent().into_iter().map(|mail| (mail.to[0].clone(), mail)).collect()
}

/// What a text must not change in a mail: headers, recipients, parts, and the tags of its page.
#[derive(Debug, PartialEq)]
struct Shape {
    headers: Vec<String>,
    n_recipients: usize,
    parts: Vec<String>,
    page: Vec<String>,
}

fn shape(mail: &Outgoing) -> Shape {
    let longest = mail.bytes.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest.unwrap() <= 999 && mail.bytes.is_ascii());
    let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
    let to = parsed.to().unwrap().as_list().unwrap();
    assert_eq!(to[0].address(), Some(mail.to[0].as_str()), "to whom it is for");
    assert!(parsed.bcc().is_none() && parsed.cc().is_none());
    let kind =
        |part: &mail_parser::MessagePart<'_>| format!("{:?}", std::mem::discriminant(&part.body));
    Shape {
        headers: parsed.headers().iter().map(|header| header.name().to_owned()).collect(),
        n_recipients: to.len(),
        parts: parsed.parts.iter().map(kind).collect(),
        page: skeleton(&parsed.body_html(0).unwrap()),
    }
}

fn check_mails(app: &TestApp, texts: &[String]) {
    let mails = mails(app);
    assert_eq!(mails.len(), 2 * texts.len(), "everybody was told");
    for is_reached in [true, false] {
        let mail = |n| match is_reached {
            true => &mails[&format!("o{}@acme.example", number(n, true))],
            false => &mails[&format!("ops{}@acme.example", number(n, false))],
        };
        let harmless = shape(mail(0));
        for (n, text) in texts.iter().enumerate() {
            assert_eq!(shape(mail(n)), harmless, "{:.40?} in a mail", text);
        }
    }
}

async fn check_pages(app: &TestApp, texts: &[String]) {
    let desk = Desk::new(app).await;
    let brand = Brand::new("lp").unwrap();
    let (keyring, verifier) = (Arc::clone(&desk.face.keyring), Verifier::default());
    let site = pages::Site::open(&Secrets { app, keyring, brand, verifier }).await;
    let browser = desk.root().await;
    let mails = mails(app);
    let mut harmless: Vec<Vec<String>> = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let id = number(n, true);
        let mail = MessageParser::default().parse(&mails[&format!("o{id}@acme.example")].bytes);
        let words = mail.unwrap().body_text(0).unwrap().into_owned();
        let (_, link) = words.split_once("https://keys.example/k/").unwrap();
        let link = format!("/k/{}", &link[..64]);
        let key = format!("key{id:09}");
        let notice = format!("SELECT id FROM notices WHERE key_id = {id} AND message_id > 0");
        let mut shown = Vec::new();
        for path in [link.clone(), format!("{link}/{key}")] {
            let page = site.get(&path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.body);
            shown.push((path, page.body));
        }
        for path in [
            format!("/admin/keys?tenant=t{id}"),
            format!("/admin/keys/{key}"),
            format!("/admin/owners?tenant=t{id}"),
            format!("/admin/owners/owner{id:07}"),
            format!("/admin/policies/t{id}"),
            format!("/admin/notices/{}", app.column::<i64>(&notice).await[0]),
        ] {
            let page = desk.get(&browser, &path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.text);
            shown.push((path, page.text));
        }
        if n == 0 {
            harmless = shown.iter().map(|(_, page)| skeleton(page)).collect();
        }
        for ((path, page), harmless) in shown.iter().zip(&harmless) {
            assert_eq!(&skeleton(page), harmless, "{text:.40?} on {path}:\n{page:.9000}");
        }
        let answered = desk.face.root("GET", &format!("/v1/keys/{key}"), None).await;
        assert_eq!(answered["name"], text.as_str(), "the API says it as it is");
    }
    site.close().await;
}

/// A cell as whoever reads it wants it: without the mark that keeps it from being a formula.
fn plain(cell: &str) -> &str {
    let inner = cell.strip_prefix('\'').unwrap_or(cell);
    if inner.starts_with(['=', '+', '-', '@', '\t', '\r']) { inner } else { cell }
}

fn check_exports(site: &daemon::Site, texts: &[String]) {
    for format in ["csv", "jsonl"] {
        let exported = site.run(&format!("keys export --format {format}"));
        assert!(exported.status.success(), "{exported:?}");
        let mut names = BTreeMap::new();
        if format == "csv" {
            let mut csv = csv::Reader::from_reader(exported.stdout.as_slice());
            let header = csv.headers().unwrap().clone();
            let place = |name| header.iter().position(|column| column == name).unwrap();
            let (id, name) = (place("id"), place("name"));
            for row in csv.records() {
                // Each row has as many cells as the header, or this is an error.
                let row = row.unwrap();
                for cell in &row {
                    assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{:.40?}", cell);
                }
                names.insert(row[id].to_owned(), plain(&row[name]).to_owned());
            }
        } else {
            for line in exported.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
            {
                let row: serde_json::Value = serde_json::from_slice(line).unwrap();
                let text = |name| row[name].as_str().unwrap().to_owned();
                names.insert(text("id"), plain(&text("name")).to_owned());
            }
        }
        for (n, text) in texts.iter().enumerate() {
            for is_reached in [true, false] {
                let id = format!("key{:09}", number(n, is_reached));
                assert_eq!(&names[&id], text, "{format}");
            }
        }
    }
}

#[tokio::test]
async fn no_name_is_more_than_a_name() {
    with_db(Engine::Sqlite, |test_db| async move {
        let app = TestApp::start(test_db.clone()).await;
        let app = app.with(|deps| enable(deps, "https://keys.example"));
        let texts = texts();
        write(&app, &texts).await;
        app.pass().await;
        let told = "notices WHERE status IN (3, 6)";
        assert_eq!(app.count(told).await, 2 * i64::try_from(texts.len()).unwrap());
        check_mails(&app, &texts);
        check_pages(&app, &texts).await;
        check_exports(&daemon::Site::new(&test_db, 1).await, &texts);
    })
    .await;
}

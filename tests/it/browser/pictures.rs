//! The pictures in docs/pictures, made anew:
//! `cargo test --test it -- --ignored pictures`. Each is as small as a mail, so that nobody minds
//! cloning them.

use std::{cmp::Reverse, collections::BTreeMap, fs, io::Cursor, path::Path, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::{BASE32_NOPAD, BASE64};
use lapsed::{
    domain::{identity::Role, language::Language, otp::Seed},
    mail::{
        digest::{Digest, Topic},
        preview,
        render::{TemplateSettings, Templates},
    },
    store::brake::BrakeOn,
};

use crate::{
    api::Face,
    browser::{Browser, Site, at_site, driver::ENTER},
    support::app::days,
};

mod rare;

/// The most bytes a picture may have.
const LARGEST: usize = 60_000;

/// Writes what the browser shows into `folder`.
async fn take(browser: &Browser, folder: &str, name: &str, most: i64) {
    take_from(browser, "html", folder, name, most).await;
}

/// The same from the element `css` on.
async fn take_from(browser: &Browser, css: &str, folder: &str, name: &str, most: i64) {
    let picture = thrifty(&browser.picture(css, most).await);
    fs::create_dir_all(folder).unwrap();
    fs::write(Path::new(folder).join(format!("{name}.png")), &picture).unwrap();
    assert!(picture.len() < LARGEST, "{name} has {} bytes", picture.len());
}

/// The same picture in its most frequent colours, which is enough for text, and a third of the size.
fn thrifty(picture: &[u8]) -> Vec<u8> {
    const MOST: usize = 64;

    let mut reader = png::Decoder::new(Cursor::new(picture)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let n_samples = info.color_type.samples();
    let colours: Vec<[u8; 3]> = pixels[..info.buffer_size()]
        .chunks(n_samples)
        .map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    let mut counts: BTreeMap<[u8; 3], usize> = BTreeMap::new();
    for colour in &colours {
        *counts.entry(*colour).or_default() += 1;
    }
    let mut palette: Vec<[u8; 3]> = counts.keys().copied().collect();
    palette.sort_by_key(|colour| Reverse(counts[colour]));
    palette.truncate(MOST);
    let distance = |a: [u8; 3], b: [u8; 3]| -> u32 {
        a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let nearest = |colour: [u8; 3]| {
        let places = 0..u8::try_from(palette.len()).unwrap();
        places.min_by_key(|at| distance(colour, palette[usize::from(*at)])).unwrap()
    };
    let places: BTreeMap<[u8; 3], u8> =
        counts.keys().map(|colour| (*colour, nearest(*colour))).collect();
    let indexes: Vec<u8> = colours.iter().map(|colour| places[colour]).collect();
    let mut written = Vec::new();
    let mut encoder = png::Encoder::new(&mut written, info.width, info.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header().unwrap().write_image_data(&indexes).unwrap();
    written
}

/// What a mail that is written now looks like.
#[tokio::test]
#[ignore = "writes docs/pictures"]
async fn pictures_of_mails() {
    let now: DateTime<Utc> = "2026-11-23T09:00:00Z".parse().unwrap();
    let settings = TemplateSettings {
        public_url: Some("https://keys.example.org/".to_owned()),
        ..TemplateSettings::default()
    };
    let templates = Templates::new(&settings).unwrap();
    let browser = Browser::open().await;
    let samples = Topic::ALL.iter().flat_map(|topic| {
        [(1, Language::English), (3, Language::English), (1, Language::German)]
            .map(|(n, language)| (topic, n, language))
    });
    for (topic, n, language) in samples {
        let digest = Digest { language, ..preview::sample(*topic, n, now) };
        let html = templates.render(&digest, now).unwrap().html;
        browser.go(&format!("data:text/html;base64,{}", BASE64.encode(html.as_bytes()))).await;
        for (look, width, scheme) in
            [("light", 720, "light"), ("dark", 720, "dark"), ("narrow", 390, "light")]
        {
            browser.look(width, scheme).await;
            let out = "return document.documentElement.scrollWidth - innerWidth";
            let out = browser.script(out, serde_json::json!([])).await.as_i64().unwrap();
            assert!(out <= 0, "{out} pixels of {topic} stick out at {width}");
            let name = format!("mail-{topic}-{n}-{}-{look}", language.tag());
            take(&browser, "target/pictures", &name, 2_000).await;
        }
    }
    // Those that the documents show.
    for (made, kept) in [
        ("mail-expiring-1-en-light", "mail-expiring"),
        ("mail-expired-1-en-dark", "mail-expired-dark"),
        ("mail-rotated-1-en-narrow", "mail-rotated-narrow"),
        ("mail-closing-3-en-light", "mail-closing"),
        ("mail-expiring-1-de-light", "mail-expiring-german"),
    ] {
        let from = Path::new("target/pictures").join(format!("{made}.png"));
        fs::copy(from, Path::new("docs/pictures").join(format!("{kept}.png"))).unwrap();
    }
}

#[tokio::test]
#[ignore = "writes docs/pictures"]
async fn pictures_of_owners_pages() {
    at_site(|site| async move {
        let app = site.secrets.app;
        site.secrets.create().await;
        app.execute("UPDATE api_keys SET name = 'billing-sync'").await;
        site.link().await;
        app.clock.advance(days(60));
        let (link, browser) = (site.link().await, Browser::open().await);
        browser.look(720, "light").await;
        browser.go(&link).await;
        take(&browser, "docs/pictures", "owner", 1_200).await;
        browser.go(&site.newest("/reminders/").await).await;
        take(&browser, "docs/pictures", "reminders", 1_200).await;
        browser.go(&link).await;
        browser.click("form[action$='/rotate'] button").await;
        browser.value("#secret").await;
        take(&browser, "docs/pictures", "secret", 1_200).await;
        app.clock.advance(TimeDelta::seconds(1));
        let not_me = site.link().await;
        browser.go(&not_me).await;
        take(&browser, "docs/pictures", "not-me", 1_200).await;
        browser.go(&format!("{}/k/{}", site.url, "0".repeat(64))).await;
        take(&browser, "docs/pictures", "dead-link", 1_200).await;
        browser.click("form[action$='/again'] button").await;
        browser.shows("Look into your mail").await;
        take(&browser, "docs/pictures", "asked-again", 1_200).await;
        browser.look(390, "dark").await;
        browser.go(&link).await;
        take(&browser, "docs/pictures", "used-link", 1_200).await;
        for n in 0..3 {
            site.secrets.create().await;
            app.execute(&format!("UPDATE api_keys SET name = 'export-{n}' WHERE name = 'deploy'"))
                .await;
        }
        app.clock.advance(days(83));
        let link = site.link().await;
        browser.go(&link).await;
        take(&browser, "docs/pictures", "list", 1_200).await;
        browser.look(720, "light").await;
        browser.click("form[action$='/mine'] button").await;
        browser.is_at("/mine").await;
        take(&browser, "docs/pictures", "mine", 1_200).await;
        let key = async |name: &str| -> String {
            app.column(&format!("SELECT public_id FROM api_keys WHERE name = '{name}'"))
                .await
                .remove(0)
        };
        browser.go(&format!("{link}/{}", key("export-0").await)).await;
        browser.click("form[action$='/lapse'] button").await;
        browser.shows("You are reminded of export-0 no more").await;
        take(&browser, "docs/pictures", "lapsing", 1_200).await;
        browser.go(&format!("{link}/{}", key("export-1").await)).await;
        browser.fill("#name", "export-1").await;
        browser.click("form[action$='/stop'] button").await;
        browser.shows("export-1 has been stopped").await;
        take(&browser, "docs/pictures", "stopped", 1_200).await;
        browser.go(&not_me).await;
        browser.click("form[action$='/suspend'] button").await;
        browser.shows("billing-sync is suspended").await;
        take(&browser, "docs/pictures", "suspended", 1_200).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "writes docs/pictures"]
async fn pictures_of_a_second_factor() {
    at_site(|site| async move {
        let app = site.secrets.app;
        site.secrets.require_mfa().await;
        site.secrets.create().await;
        app.execute("UPDATE api_keys SET name = 'billing-sync'").await;
        app.clock.advance(days(83));
        let (link, browser) = (site.link().await, Browser::open().await);
        browser.look(720, "light").await;
        browser.go(&link).await;
        browser.click("form[action$='/otp'] button").await;
        let digits = browser.text("pre code").await;
        take(&browser, "docs/pictures", "otp-set-up", 1_200).await;
        let seed = BASE32_NOPAD.decode(digits.replace(' ', "").as_bytes()).unwrap();
        let seed = Seed::new(seed.try_into().unwrap());
        let code = seed.code_at(app.now()).unwrap();
        browser.fill("#otp", code.expose()).await;
        browser.press(&[ENTER]).await;
        browser.shows("recovery codes").await;
        take(&browser, "docs/pictures", "otp-codes", 1_200).await;
        browser.look(390, "light").await;
        browser.go(&link).await;
        browser.fill("#otp", "000000").await;
        browser.press(&[ENTER]).await;
        browser.shows("The code is wrong").await;
        take(&browser, "docs/pictures", "otp-wrong", 1_400).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "writes docs/pictures"]
async fn pictures_of_administrators_pages() {
    at_site(|site| async move {
        let app = site.secrets.app;
        let key = site.secrets.create().await;
        fleet(site).await;
        let browser = Browser::open().await;
        browser.look(1000, "light").await;
        let face = Face::with(app, Arc::clone(&site.secrets.keyring)).await;
        let (_, token) = face.token(Role::Admin, None).await;
        browser.go(&format!("{}/admin/sign-in", site.url)).await;
        take(&browser, "docs/pictures", "sign-in", 700).await;
        browser.fill("#token", &token).await;
        browser.press(&[ENTER]).await;
        browser.is_at("/admin").await;
        for (name, path, most) in [
            ("overview", "/admin".to_owned(), 1_000),
            ("guards", "/admin/guards".to_owned(), 1_000),
            ("keys", "/admin/keys".to_owned(), 700),
            ("key", format!("/admin/keys/{}", key.id), 900),
            ("owners", "/admin/owners".to_owned(), 700),
            ("notices", "/admin/notices".to_owned(), 600),
            ("notice", "/admin/notices/1".to_owned(), 800),
            ("audit", "/admin/audit".to_owned(), 600),
        ] {
            browser.go(&format!("{}{path}", site.url)).await;
            take(&browser, "docs/pictures", name, most).await;
        }
        for (name, path) in [("policies", "/admin/policies"), ("rules", "/admin/policies/acme")] {
            browser.go(&format!("{}{path}", site.url)).await;
            take(&browser, "docs/pictures", name, 900).await;
        }
        let tried = "/admin/policies/acme?field=max_ttl_days&value=20&notice=10&spread=5";
        browser.go(&format!("{}{tried}", site.url)).await;
        take_from(&browser, "section:has(form.filters)", "docs/pictures", "policy", 900).await;
        let preview = app.rows("SELECT public_id FROM owners WHERE id = 60").await.remove(0);
        let preview: String = preview.try_get_by_index(0).unwrap();
        browser.go(&format!("{}/admin/owners/{preview}?end=", site.url)).await;
        take_from(&browser, "#preview", "docs/pictures", "offboarding", 1_200).await;
    })
    .await;
}

/// A few dozen keys that end sooner or later, and something that needs somebody.
async fn fleet(site: &Site<'_>) {
    let app = site.secrets.app;
    let names = ["billing-sync", "nightly-export", "ci-deploy", "grafana-reader", "crm-import"];
    app.owner(60, "bob@acme.example").await;
    for id in 101..=160 {
        app.key_of(if id % 9 == 0 { 60 } else { 1 }, id, days(id * 7 % 83 + 1)).await;
        let name = names[usize::try_from(id).unwrap() % names.len()];
        app.execute(&format!("UPDATE api_keys SET name = '{name}' WHERE id = {id}")).await;
    }
    app.execute("UPDATE owners SET name = 'Ada Lovelace' WHERE id = 1").await;
    app.execute("UPDATE owners SET name = 'Bob Example' WHERE id = 60").await;
    app.pass().await;
    app.execute(
        "UPDATE owners SET mail_status = 2, mail_status_reason = '550 no such user' WHERE id = 60",
    )
    .await;
    let (now, n) = (app.now(), 412);
    let reason = "412 keys are more than 20 % of 1,900".to_owned();
    let on = BrakeOn { hash: "3f9a".repeat(16), n, reason, since: now, as_of: now };
    let plan = serde_json::to_string(&on).unwrap();
    app.execute(&format!(
        "INSERT INTO flags (name, value, set_at, set_by) VALUES ('brake.expire', '{plan}', 0, 'daemon')"
    ))
    .await;
}

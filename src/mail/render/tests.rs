use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{
    domain::language::Language,
    mail::{
        digest::{Audience, Topic, Why},
        preview, words,
    },
};

fn now() -> DateTime<Utc> {
    "2026-11-23T09:00:00Z".parse().unwrap()
}

fn settings() -> TemplateSettings {
    let public_url = Some("https://keys.example.org/".to_owned());
    TemplateSettings { public_url, ..TemplateSettings::default() }
}

fn render(digest: &Digest) -> Letter {
    Templates::new(&settings()).unwrap().render(digest, now()).unwrap()
}

fn snapshot(name: &str, content: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, content));
}

fn snapshot_text(name: &str, letter: &Letter) {
    snapshot(name, &format!("Subject: {}\n\n{}", letter.subject, letter.text));
}

#[test]
fn every_topic_reads_well_for_one_key_and_for_three() {
    for topic in Topic::ALL {
        for n in [1, 3] {
            let letter = render(&preview::sample(topic, n, now()));
            snapshot_text(&format!("{topic}_{n}"), &letter);
        }
    }
}

#[test]
fn a_reset_is_told_without_a_key_too() {
    let digest = preview::sample(Topic::OtpReset, 0, now());
    let templates = Templates::new(&TemplateSettings::default()).unwrap();
    snapshot_text("otp-reset_0", &templates.render_reset(&digest, "acme").unwrap());
    let contacts = preview::for_contacts(digest.clone());
    snapshot_text("otp-reset_0_contacts", &templates.render_reset(&contacts, "acme").unwrap());
    for (name, digest) in [("de_otp-reset_0", digest), ("de_otp-reset_0_contacts", contacts)] {
        let german = Digest { language: Language::German, ..digest };
        snapshot_text(name, &templates.render_reset(&german, "acme").unwrap());
    }
}

#[test]
fn every_topic_reads_well_in_german() {
    let german = |digest: Digest| Digest { language: Language::German, ..digest };
    for topic in Topic::ALL {
        for n in [1, 3] {
            let letter = render(&german(preview::sample(topic, n, now())));
            snapshot_text(&format!("de_{topic}_{n}"), &letter);
        }
    }
    let expired = preview::for_contacts(preview::sample(Topic::Expired, 1, now()));
    snapshot_text("de_contacts", &render(&german(expired)));
    let suspended = preview::for_contacts(preview::sample(Topic::Suspended, 3, now()));
    let suspended = preview::without_pages(suspended);
    snapshot_text("de_contacts_3", &render(&german(suspended)));
    for (name, why) in [("de_contacts_copy", Why::Copy), ("de_contacts_instead", Why::Instead)] {
        let mut digest = preview::for_contacts(preview::sample(Topic::Expiring, 1, now()));
        let Audience::Contacts { why: told, .. } = &mut digest.audience else { unreachable!() };
        *told = why;
        snapshot_text(name, &render(&german(digest)));
    }
    let closing = preview::without_pages(preview::sample(Topic::Closing, 3, now()));
    snapshot_text("de_without_pages", &render(&german(closing)));
    snapshot_text("de_mixed", &render(&german(preview::mixed(now()))));
}

#[test]
fn a_page_says_the_same_with_a_button() {
    snapshot("expiring_1_html", &render(&preview::sample(Topic::Expiring, 1, now())).html);
}

#[test]
fn other_topics_follow_the_most_urgent_one() {
    snapshot_text("mixed", &render(&preview::mixed(now())));
}

#[test]
fn contacts_are_told_for_whom_a_mail_is_meant() {
    let digest = preview::for_contacts(preview::sample(Topic::Expired, 1, now()));
    snapshot_text("contacts", &render(&digest));
    for (name, why) in [("contacts_copy", Why::Copy), ("contacts_instead", Why::Instead)] {
        let sample = preview::without_pages(preview::sample(Topic::Expiring, 1, now()));
        let mut digest = preview::for_contacts(sample);
        let Audience::Contacts { why: told, .. } = &mut digest.audience else { unreachable!() };
        *told = why;
        snapshot_text(name, &render(&digest));
    }
    let digest = preview::for_contacts(preview::sample(Topic::Ending, 3, now()));
    snapshot_text("contacts_3", &render(&digest));
}

#[test]
fn without_pages_a_mail_names_the_command() {
    let digest = preview::without_pages(preview::sample(Topic::Closing, 1, now()));
    let settings = TemplateSettings { answers_are_read: true, ..TemplateSettings::default() };
    let letter = Templates::new(&settings).unwrap().render(&digest, now()).unwrap();
    snapshot_text("without_pages", &letter);
    assert!(!letter.html.contains("<a "), "a link without a page");
}

#[test]
fn a_reader_in_greenwich_sees_every_time_once() {
    let mut digest = preview::sample(Topic::Expiring, 1, now());
    digest.time_zone = chrono_tz::Tz::UTC;
    snapshot_text("utc", &render(&digest));
}

#[test]
fn a_long_list_ends_at_fifty_keys() {
    let letter = render(&preview::sample(Topic::Expiring, 60, now()));
    snapshot_text("expiring_60", &letter);
    assert_eq!(letter.html.matches("<th scope=\"row\">").count(), view::MAX_KEYS);
    assert!(letter.html.contains("… and 10 more keys."));

    let mut digest = preview::mixed(now());
    digest.items.extend(preview::sample(Topic::Purged, 38, now()).items);
    assert!(render(&digest).text.contains("… and 1 more key. "));
}

#[test]
fn each_key_has_its_link_if_there_is_no_common_one() {
    let mut digest = preview::sample(Topic::Expiring, 3, now());
    for (index, item) in digest.items.iter_mut().enumerate() {
        item.link = Some(format!("https://keys.example.org/k/{index}"));
    }
    let letter = render(&digest);
    for part in [&letter.text, &letter.html] {
        for index in 0..3 {
            assert!(part.contains(&format!("https://keys.example.org/k/{index}")), "{part}");
        }
    }
    assert!(letter.text.contains("Rotate these keys:\nhttps://keys.example.org/\n"));
}

#[test]
fn a_page_is_small_and_loads_nothing() {
    for mut digest in preview::all(now()) {
        for item in &mut digest.items {
            item.name = format!("a-rather-long-name-for-a-key-{}", item.name);
        }
        let html = render(&digest).html;
        assert!(html.len() < 75_000, "{} bytes", html.len());
        let start =
            format!("<!DOCTYPE html>\n<html lang=\"{}\" dir=\"ltr\">", digest.language.tag());
        assert!(html.starts_with(&start), "{html}");
        for loading in ["<img", "<link", "<script", "src=", "url(", "@import", "@font-face"] {
            assert!(!html.contains(loading), "{loading}");
        }
    }
}

#[test]
fn an_alarm_says_what_to_type_on_one_line() {
    let templates = Templates::new(&settings()).unwrap();
    for (name, alarm) in
        ["expire", "expire_tenant", "purge", "purge_tenant"].iter().zip(preview::alarms(now()))
    {
        let letter = templates.render_alarm(&alarm, now()).unwrap();
        snapshot_text(&format!("brake_{name}"), &letter);
        let line = format!("lapsed brake release {}", alarm.hash);
        assert!(letter.text.lines().any(|text| text.trim() == line), "{}", letter.text);
        assert!(letter.html.contains(&line), "{}", letter.html);
        let page = tokens(&visible(&letter.html));
        let missing: Vec<_> =
            tokens(&letter.text).into_iter().filter(|token| !page.contains(token)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(letter.subject.len() <= 120, "{}", letter.subject);
        assert_eq!(letter.text.contains("half an hour"), alarm.tenant.is_none());
    }
}

#[test]
fn a_text_fits_a_window_and_a_subject_a_line() {
    for digest in preview::all(now()) {
        let Letter { subject, text, .. } = render(&digest);
        for line in text.lines().filter(|line| !line.contains("://")) {
            assert!(line.chars().count() <= wrap::COLUMNS, "{line}");
            assert!(line == "-- " || line.trim_end() == line, "{line}");
        }
        assert!(subject.chars().count() <= 120, "{subject}");
        assert!(!text.contains("\n\n\n") && !text.contains('\u{a0}'));
    }
}

/// What a reader sees of a page.
fn visible(html: &str) -> String {
    let (_, body) = html.split_once("</head>").unwrap();
    let pieces: Vec<&str> =
        body.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text).collect();
    pieces.join(" ").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The words of `text` without marks around them.
fn tokens(text: &str) -> HashSet<String> {
    let words = text
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase());
    words.filter(|word| !word.is_empty()).collect()
}

#[test]
fn the_page_tells_whatever_the_text_tells() {
    for digest in preview::all(now()) {
        let letter = render(&digest);
        let page = tokens(&visible(&letter.html));
        let missing: Vec<_> = tokens(&letter.text)
            .into_iter()
            .filter(|token| !page.contains(token))
            // The numbers of a list.
            .filter(|token| token.parse::<u8>().is_err())
            .collect();
        assert!(missing.is_empty(), "{missing:?} of {}", letter.subject);
    }
}

#[test]
fn a_mail_names_every_key_it_lists() {
    for digest in preview::all(now()) {
        let letter = render(&digest);
        for (_, item) in digest.by_urgency(now()).into_iter().take(view::MAX_KEYS) {
            for fact in [item.public_id.as_str(), &item.name, &item.environment] {
                assert!(letter.text.contains(fact), "{fact}");
                assert!(letter.html.contains(fact), "{fact}");
            }
        }
    }
}

#[test]
fn a_key_without_the_usual_dates_stops_no_mail() {
    for mut digest in preview::all(now()) {
        for item in &mut digest.items {
            (item.expires_at, item.window_ends_at, item.last_used_at) = (None, None, None);
            (item.name, item.tenant, item.environment) = Default::default();
        }
        digest.to_name = Some(String::new());
        let letter = render(&digest);
        let no_name = words::Words::of(digest.language).no_name;
        assert!(letter.text.contains(no_name), "{}", letter.text);
    }
}

#[test]
fn a_mail_about_nothing_is_refused() {
    let templates = Templates::new(&settings()).unwrap();
    let digest = preview::sample(Topic::Expiring, 0, now());
    assert!(matches!(templates.render(&digest, now()), Err(RenderError::NoKeys)));
}

#[test]
fn a_key_out_of_use_may_be_left_alone() {
    let hint = |days: i64| {
        let mut digest = preview::sample(Topic::Expiring, 1, now());
        digest.items[0].last_used_at = Some(now() - chrono::TimeDelta::days(days));
        let text = render(&digest).text;
        text.contains(&format!(
            "You have not used it for {days} days. If you no longer need it, do nothing."
        ))
    };
    assert!(!hint(89));
    assert!(hint(90));
    // A rotated key is in use, and a new one has had no chance to be.
    for topic in [Topic::Rotated, Topic::Created, Topic::Purged] {
        assert!(!render(&preview::sample(topic, 1, now())).text.contains("do nothing"), "{topic}");
    }
}

#[test]
fn no_log_shows_a_letter() {
    let digest = preview::sample(Topic::Expiring, 1, now());
    let shown = format!("{:?} {digest:?}", render(&digest));
    assert!(shown.contains("a***@e***.org") && shown.contains("expiring-7d"), "{shown}");
    for secret in ["https://", "ada@example.org", "Ada"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_late_reminder_does_not_announce_the_past() {
    let mut digest = preview::sample(Topic::Expiring, 1, now());
    let late = now() + chrono::TimeDelta::days(8);
    let letter = Templates::new(&settings()).unwrap().render(&digest, late).unwrap();
    assert!(letter.subject.contains("has expired: bring it back until 7 Dec"), "{letter:?}");

    // Later still, when the window has closed as well.
    digest.audience = Audience::Owner;
    let later = now() + chrono::TimeDelta::days(14);
    let letter = Templates::new(&settings()).unwrap().render(&digest, later).unwrap();
    assert_eq!(letter.subject, "API key “billing-sync” has expired");
    assert!(letter.text.contains("It cannot be brought back."));
}

/// The pieces of templates, in any order.
fn any_template() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{ key.name }}",
        "{{",
        "}}",
        "{%",
        "%}",
        "{% block subject %}",
        "{% endblock %}",
        "{#",
        "#}",
        "{% extends 'default/expired.txt' %}",
        "{% include 'row.txt' %}",
        "{% if keys %}",
        "{% endif %}",
        "{% for i in range(3) %}",
        "{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ nothing }}",
        "| wrap",
        "text",
        "\n",
        "    ",
        "\u{202e}",
        "鍵",
        "{{ '<b>' }}",
        "{% set x = 1 %}",
        "{{ super() }}",
        "'",
        "\"",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        "\\PC{0,60}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Whatever an operator writes into a template: it is refused at the start with its name, or
    /// every mail can be written with it.
    #[test]
    fn any_template_is_refused_at_the_start_or_good(
        file in prop::sample::select(vec!["expired.txt", "common.txt", "row.txt", "layout.html"]),
        source in any_template(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), source).unwrap();
        let operator_folder = Some(folder.path().to_owned());
        match Templates::new(&TemplateSettings { operator_folder, ..settings() }) {
            Err(error) => {
                let text = error.to_string();
                let place = folder.path().display().to_string();
                prop_assert!(text.contains(&place), "{}", text);
            }
            // That has written a sample of every mail.
            Ok(templates) => {
                let letter = templates.render(&preview::mixed(now()), now()).unwrap();
                prop_assert!(!letter.subject.is_empty() && !letter.subject.contains('\n'));
            }
        }
    }
}

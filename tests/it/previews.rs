//! Every mail that can be sent can be looked at before: no text is seen by its owners first.

use std::{collections::BTreeSet, fs};

use lapsed::{
    domain::identity::Role,
    store::{otp, owners, policies::PolicyBook},
};

use crate::{
    admin_pages::Desk, api::mfa::enrol, cli::Lapsed, on_each_engine, support::app::OPERATOR,
};

/// What mails are made of, besides the template of what each is about.
const PIECES: [&str; 5] = ["ask", "common", "layout", "row", "brake"];

/// The templates in a folder, by what people type.
fn templates(folder: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let texts = files.filter(|file| file.extension().is_some_and(|ending| ending == "txt"));
    let name = |file: std::path::PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    texts.map(name).filter(|name| !PIECES.contains(&name.as_str())).collect()
}

#[test]
fn every_template_can_be_looked_at_by_owners_and_by_contacts() {
    let english = templates("src/mail/text");
    assert_eq!(templates("src/mail/text/de"), english, "each is there in German too");
    let lapsed = Lapsed::new();
    let mut texts = BTreeSet::new();
    for options in ["", "--contacts", "--locale de", "--locale de --contacts"] {
        let previews = lapsed.json(&format!("mail preview {options}"));
        let previews = previews.as_array().unwrap();
        let word = |preview: &serde_json::Value| preview["topic"].as_str().unwrap().to_owned();
        let shown: BTreeSet<String> = previews.iter().map(word).collect();
        // To whoever runs the installation, and so in English alone.
        let mut there = english.clone();
        there.insert("brake".to_owned());
        assert_eq!(shown, there, "{options}");
        for preview in previews.iter().filter(|preview| preview["topic"] != "brake") {
            let text = preview["text"].as_str().unwrap().to_owned();
            assert!(!text.is_empty() && texts.insert(text), "{options}: {preview} is there twice");
        }
    }
    for topic in english {
        let text = lapsed.ok(&format!("mail preview {topic} --html")).stdout;
        assert!(text.starts_with("<!DOCTYPE html>"), "{topic}");
    }
    let wrong = lapsed.run("mail preview otp");
    assert!(wrong.code == 2 && wrong.stderr.contains("`otp-reset-alone`"), "{}", wrong.stderr);
}

on_each_engine! {
    async fn a_notice_about_no_key_shows_its_mail_to_administrators(app: TestApp) {
        let desk = Desk::new(&app).await;
        let owner = owners::find(app.db.conn(), 1, "ada@acme.example").await.unwrap().unwrap();
        enrol(&desk.face, &owner).await;
        let policies = PolicyBook::load(&app.db, (*app.deps.policies).clone()).await.unwrap();
        otp::reset(&app.db, &policies, OPERATOR, &owner).await.unwrap();
        let id: i64 = app.column("SELECT id FROM notices WHERE key_id < 0").await[0];
        let viewer = desk.holder(Role::Viewer, Some(1)).await;
        let page = desk.get(&viewer, &format!("/admin/notices/{id}")).await;
        assert!(page.text.contains("has reset your second factor"), "{}", page.text);
        app.execute("UPDATE owners SET mail_status = 2, mail_status_reason = 'no such user'").await;
        let page = desk.get(&viewer, &format!("/admin/notices/{id}")).await;
        let text = page.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("who could not be reached: no such user"), "{text}");
    }
}

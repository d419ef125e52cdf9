use super::*;
use crate::mail::{
    digest::{Digest, Topic},
    render::TemplateSettings,
};

fn now() -> chrono::DateTime<chrono::Utc> {
    "2026-11-23T09:00:00Z".parse().unwrap()
}

fn in_folder(folder: &Path) -> Result<Templates, TemplateError> {
    let operator_folder = Some(folder.to_owned());
    Templates::new(&TemplateSettings { operator_folder, ..TemplateSettings::default() })
}

fn with_override(file: &str, text: &str) -> Result<Templates, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("de")).unwrap();
    fs::write(folder.path().join(file), text).unwrap();
    let result = in_folder(folder.path());
    let root = format!("{}{}", folder.path().display(), std::path::MAIN_SEPARATOR);
    result.map_err(|error| error.to_string().replace(&root, ""))
}

#[test]
fn an_operator_replaces_a_block() {
    let templates = with_override(
        "expiring.txt",
        "{% extends \"default/expiring.txt\" %}\n\
         {% block subject %}Hey, {{ key.name }} <ends> {{ key.expires.ahead }}{% endblock %}",
    );
    let digest = preview::sample(Topic::Expiring, 1, now());
    let letter = templates.unwrap().render(&digest, now()).unwrap();
    assert_eq!(letter.subject, "Hey, billing-sync <ends> in 7 days");
    assert!(letter.html.contains("<title>Hey, billing-sync &lt;ends&gt; in 7 days</title>"));
    assert!(letter.text.contains("Rotate it before then"), "the other blocks are ours");
}

#[test]
fn an_operator_replaces_a_file() {
    let templates = with_override("ask.txt", "Write to keys@example.org.").unwrap();
    let digest = preview::without_pages(preview::sample(Topic::Expiring, 1, now()));
    let letter = templates.render(&digest, now()).unwrap();
    assert!(letter.text.contains("\nWrite to keys@example.org.\n"), "{}", letter.text);
}

#[test]
fn each_language_is_replaced_by_its_own_files() {
    let templates = with_override(
        "de/expiring.txt",
        "{% extends \"default/de/expiring.txt\" %}\n\
         {% block subject %}Hallo, {{ key.name }} endet {{ key.expires.ahead }}{% endblock %}",
    );
    let templates = templates.unwrap();
    let english = preview::sample(Topic::Expiring, 1, now());
    let german = Digest { language: Language::German, ..english.clone() };
    let letter = templates.render(&german, now()).unwrap();
    assert_eq!(letter.subject, "Hallo, billing-sync endet in 7 Tagen");
    assert!(letter.text.contains("Erneuern Sie ihn vorher"), "the other blocks are ours");
    assert!(templates.render(&english, now()).unwrap().subject.starts_with("API key"));
}

#[test]
fn every_language_says_everything() {
    for language in Language::ALL {
        for (name, ..) in EMBEDDED.iter().filter(|(name, ..)| !name.contains('/')) {
            // The frames are the same for all, and the brake is told to those who run lapsed.
            if !name.starts_with("layout.") && *name != "brake.txt" {
                let wanted = in_language(language, name);
                assert!(EMBEDDED.iter().any(|(name, ..)| *name == wanted), "{wanted}");
            }
        }
    }
}

#[test]
fn a_broken_template_is_named_with_its_line() {
    for (file, text, error) in [
        (
            "expired.txt",
            "{% extends \"default/expired.txt\" %}\n\n{% block intro %}{{ kye }}{% endblock %}",
            "`expired.txt:3`: undefined value",
        ),
        ("ask.txt", "a\n{{ key.nmae }}", "`ask.txt:2`: undefined value"),
        ("de/ask.txt", "a\n{{ key.nmae }}", "`de/ask.txt:2`: undefined value"),
        ("row.txt", "a\n\n{% if %}", "`row.txt:3`: syntax error: unexpected end of block"),
        ("layout.html", "{{ subject | wrpa }}", "`layout.html:1`: unknown filter: "),
        ("purged.txt", "nothing", "`purged.txt`: unknown block: block 'subject' not found"),
        ("layout.txt", "{# #}", "a text comes out empty"),
    ] {
        let found = with_override(file, text).err().unwrap_or_default();
        assert!(found.contains(error), "{file}: {found}");
    }
}

#[test]
fn a_misspelt_template_is_named_with_the_right_name() {
    let error = with_override("expirng.txt", "").unwrap_err();
    insta::assert_snapshot!(error, @r"
    `expirng.txt` is not the name of a template
    hint: did you mean `expiring.txt`?
    ");
}

#[test]
fn what_is_hidden_in_the_folder_is_left_alone() {
    assert!(with_override(".expiring.txt.swp", "{{").is_ok());
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let error = in_folder(Path::new("/nonexistent/lapsed")).unwrap_err();
    assert_eq!(error.to_string(), "read `/nonexistent/lapsed`");
}

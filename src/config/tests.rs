//! The room as its callers see it.

mod wrong;

use std::{io::Write, path::Path};

use crate::config::{
    Config, ConfigErrors, DEFAULTS, Engine, Lifetime, Loaded, MasterKey, Origin, SecretFile,
    TlsMode, Transport, reference, render, rule::Rule, schema, show,
};

/// Loads `text` as `lapsed.toml`, with an empty environment.
pub(super) fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    load_with(text, &[])
}

/// Loads `text` as `lapsed.toml`, and `env` over it.
fn load_with(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let env = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let file = super::file::parse(text, Path::new("lapsed.toml"));
    super::load::over_defaults(file, env)
}

#[test]
fn the_defaults_are_a_configuration_by_themselves() {
    let loaded = load("").unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.database.engine(), Engine::Sqlite);
    assert_eq!(config.master_key(), MasterKey::BesideDatabase("data/master.key".into()));
    assert_eq!(config.mail.transport, Transport::File);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8470");
    assert_eq!(config.smtp.port(), 465);
    assert_eq!(config.retention.audit_days(), None);
    assert_eq!(config.lifecycle.application_max_ttl_days, Lifetime::Never);
    assert_eq!(config.schedule.sweep.unwrap().as_str(), "0 * * * * *");
    let policies = config.lifecycle.policies().unwrap();
    assert_eq!(policies.user.default_ttl().map(|ttl| ttl.num_days()), Some(90));
    assert_eq!(policies.application.max_ttl(), None);
    assert_eq!(policies.application.review_every().map(|every| every.num_days()), Some(180));
    assert_eq!(policies.service.max_ttl(), policies.service.default_ttl());
}

#[test]
fn the_manual_and_the_rules_name_the_same_options_in_the_same_order() {
    let document: toml_edit::DocumentMut = DEFAULTS.parse().unwrap();
    let manual: Vec<_> = document
        .iter()
        .flat_map(|(name, section)| {
            let options = section.as_table().unwrap().iter();
            options.map(move |(option, _)| format!("{name}.{option}"))
        })
        .collect();
    let rules: Vec<_> = schema::options().map(|(name, _)| name).collect();
    assert_eq!(manual, rules);
    // And no default breaks its rule.
    assert_eq!(super::load::defaults().entries.len(), rules.len());
}

#[test]
fn every_section_and_every_option_has_a_comment() {
    let document: toml_edit::DocumentMut = DEFAULTS.parse().unwrap();
    for (name, section) in document.iter() {
        let section = section.as_table().unwrap();
        let about = section.decor().prefix().and_then(|prefix| prefix.as_str());
        assert!(about.is_some_and(|about| about.contains("# ")), "[{name}]");
        for (option, _) in section {
            let about = section.key(option).unwrap().leaf_decor().prefix();
            let about = about.and_then(|prefix| prefix.as_str()).unwrap_or_default();
            assert!(about.starts_with("# ") && about.trim().ends_with('.'), "{name}.{option}");
        }
    }
}

#[test]
fn the_comments_name_the_limits_that_the_rules_have() {
    let document: toml_edit::DocumentMut = DEFAULTS.parse().unwrap();
    for (name, rule) in schema::options() {
        let (section, option) = name.split_once('.').unwrap();
        let about = document[section].as_table().unwrap().key(option).unwrap().leaf_decor();
        let about = about.prefix().and_then(|prefix| prefix.as_str()).unwrap().replace("\n# ", " ");
        let time = humantime::format_duration;
        let named = match rule {
            Rule::Whole(_, most) | Rule::Wholes(_, most) | Rule::WholeOrNever(_, most) => {
                about.contains(&format!(" to {most}"))
            }
            Rule::Choice(words) => words.iter().all(|word| about.contains(&format!("\"{word}\""))),
            Rule::Time(least, most) => {
                about.contains(&format!("from {} to {}", time(*least), time(*most)))
            }
            _ => true,
        };
        assert!(named, "{name}: {about}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let loaded = load_with(
        "[lifecycle]\nwindow_days = 14\nreminder_days = [60, 10]\n\n[jobs]\nbatch = 500\n",
        &[("LAPSED_LIFECYCLE__WINDOW_DAYS", "21"), ("LAPSED_LOG__FILTER", "debug")],
    )
    .unwrap();
    assert_eq!(loaded.config.lifecycle.window_days, 21);
    assert_eq!(loaded.config.lifecycle.reminder_days, [60, 10]);
    assert_eq!(loaded.config.jobs.batch, 500);

    let origin = |option| loaded.origins.of(option);
    assert_eq!(
        origin("lifecycle.window_days"),
        Origin::Env { name: "LAPSED_LIFECYCLE__WINDOW_DAYS".to_owned() }
    );
    assert_eq!(
        origin("jobs.batch"),
        Origin::File { path: "lapsed.toml".into(), line: 6, column: 9 }
    );
    assert_eq!(origin("http.listen"), Origin::Default);
}

#[test]
fn the_environment_has_the_types_of_the_options() {
    let config = load_with(
        "",
        &[
            ("LAPSED_DATABASE__MIGRATE", "true"),
            ("LAPSED_LIFECYCLE__REMINDER_DAYS", "30,7"),
            ("LAPSED_LIFECYCLE__APPLICATION_MAX_TTL_DAYS", "400"),
            ("LAPSED_LIFECYCLE__APPLICATION_DEFAULT_TTL_DAYS", "0400"),
            ("LAPSED_MAIL__CONTACTS", "a@example.com, b@example.com"),
            ("LAPSED_MAIL__SUBJECT_PREFIX", "0123"),
            ("LAPSED_MAIL__TEMPLATES", "true"),
            ("LAPSED_SMTP__USERNAME", "1.50 "),
            ("LAPSED_SMTP__PASSWORD_FILE", "007"),
            ("LAPSED_SMTP__TLS", "starttls"),
            ("LAPSED_SCHEDULE__PRUNE", ""),
            ("LAPSED_JOBS__TIME_LIMIT", "1h 30m"),
        ],
    )
    .unwrap()
    .config;
    assert!(config.database.migrate);
    assert_eq!(config.lifecycle.reminder_days, [30, 7]);
    assert_eq!(config.lifecycle.application_max_ttl_days, Lifetime::Days(400));
    assert_eq!(config.lifecycle.application_default_ttl_days, Lifetime::Days(400));
    assert_eq!(config.mail.contacts, ["a@example.com", "b@example.com"]);
    assert_eq!(config.mail.subject_prefix, "0123");
    assert_eq!(config.mail.templates, Path::new("true"));
    assert_eq!(config.smtp.username, "1.50 ");
    assert_eq!(config.smtp.password_file, Some(SecretFile::Path("007".into())));
    assert_eq!(config.smtp.tls, TlsMode::Starttls);
    assert!(config.schedule.prune.is_none());
    assert_eq!(config.jobs.time_limit.get().as_secs(), 5400);
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let warnings = |text: &str| {
        let warnings = load(text).unwrap().warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        warnings("[smtp]\ntls = 'none'\ninsecure_plaintext = true"),
        ["lapsed.toml:3:22: smtp.insecure_plaintext is true: mails, and the password, travel \
          readable by everyone on the way"]
    );
    assert_eq!(
        warnings("mail.transport = 'smtp'\nsmtp.host = 'localhost'"),
        [
            "lapsed.toml:1:18: mail.public_url is \"http://127.0.0.1:8470\": \
             links in mails lead the owners nowhere",
            "lapsed.toml:1:18: mail.from is \"lapsed <lapsed@localhost>\": \
             most mail servers refuse it",
        ]
    );
    assert_eq!(
        warnings(
            "smtp.host = 'localhost'\n[mail]\ntransport = 'smtp'\n\
             from = 'keys@example.com'\npublic_url = 'http://keys.example.com/'"
        ),
        ["lapsed.toml:5:14: mail.public_url is \"http://keys.example.com/\": \
          new keys travel readable on the way\n  hint: use https://"]
    );
}

#[test]
fn zero_stands_for_the_usual_port() {
    for (text, port) in [
        ("tls = 'implicit'", 465),
        ("tls = 'starttls'", 587),
        ("tls = 'none'\ninsecure_plaintext = true", 25),
        ("port = 2525", 2525),
    ] {
        assert_eq!(load(&format!("[smtp]\n{text}")).unwrap().config.smtp.port(), port, "{text}");
    }
}

#[test]
fn the_master_key_is_beside_the_database_unless_it_is_named() {
    let master_key = |text: &str| load(text).unwrap().config.master_key();
    assert_eq!(
        master_key("database.url = 'sqlite:///var/lib/lapsed/keys.db?mode=rwc'"),
        MasterKey::BesideDatabase("/var/lib/lapsed/master.key".into())
    );
    assert_eq!(master_key("database.url = 'sqlite::memory:'"), MasterKey::Throwaway);
    assert_eq!(
        master_key("keys.master_key_file = 'credential:master-key'"),
        MasterKey::Named(SecretFile::Credential("master-key".to_owned()))
    );
}

#[test]
fn the_example_can_be_loaded_and_is_short() {
    let text = include_str!("../../config/example.toml");
    let loaded = load(text).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.database.engine(), Engine::Postgres);
    let lines = text.lines().filter(|line| line.contains(" = ")).count();
    assert_eq!(lines, 10);
}

#[test]
fn a_file_is_read_from_where_it_is() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"http = { listen = '[::1]:80' }").unwrap();
    let loaded = Config::load(Some(file.path()), std::iter::empty()).unwrap();
    assert_eq!(loaded.config.http.listen.port(), 80);
    let Origin::File { path, line: 1, column: 19 } = loaded.origins.of("http.listen") else {
        panic!("{:?}", loaded.origins.of("http.listen"));
    };
    assert_eq!(path, file.path());

    let error = Config::load(Some(Path::new("/nowhere.toml")), std::iter::empty()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn what_is_shown_is_aligned_and_loads_again() {
    let loaded = load_with(
        "[http]\nlisten = '0.0.0.0:80'\n[mail]\nsubject_prefix = 'a \"quoted\" # one '\n",
        &[("LAPSED_LIFECYCLE__REMINDER_DAYS", "30,1")],
    )
    .unwrap();
    let shown = show(&loaded);
    assert_eq!(shown.len(), schema::options().count());
    let text = render(&shown);
    for line in [
        "database.url                           = \"sqlite://data/lapsed.db\"    # default",
        "lifecycle.reminder_days                = [30, 1]                      # LAPSED_LIFECYCLE__REMINDER_DAYS",
        "http.listen                            = \"0.0.0.0:80\"                 # lapsed.toml:2",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let again = show(&load(&text).unwrap());
    assert!(again.iter().zip(&shown).all(|(again, shown)| again.value == shown.value));
}

#[test]
fn what_is_shown_is_json_with_types() {
    let loaded = load("[jobs]\nbatch = 500").unwrap();
    let batch = show(&loaded).into_iter().find(|option| option.name == "jobs.batch").unwrap();
    assert_eq!(
        serde_json::to_string(&batch).unwrap(),
        r#"{"name":"jobs.batch","value":500,"origin":{"kind":"file","path":"lapsed.toml","line":2,"column":9}}"#
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "asks the person at the keyboard, not the program")]
fn the_manual_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var("BLESS").is_ok() {
        std::fs::write(&path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == reference(),
        "docs/configuration.md is not what config/default.toml says; \
         `BLESS=1 cargo test --lib config` writes it anew"
    );
}

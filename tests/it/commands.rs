//! Every command that a document tells people to give is given here, to a real installation, and ends
//! as it should.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::cli::Lapsed;

/// Where commands are named, beside the runbook.
const DOCUMENTS: &[&str] = &["README.md", "docs/handbook.md", "docs/admin.md", "docs/metrics.md"];

/// What needs a terminal, a device or another key, and the test that gives it.
const ELSEWHERE: &[(&str, &str)] = &[
    ("run", "tests/it/process/stop.rs"),
    ("otp renew", "tests/it/cli_secrets.rs"),
    ("otp renew ada@acme.example", "tests/it/cli_secrets.rs"),
    ("otp reset OWNER", "tests/it/cli_secrets.rs"),
    ("otp setup MAIL --tenant lapsed", "tests/it/cli_secrets.rs"),
    ("otp reset ada@acme.example", "tests/it/cli_secrets.rs"),
    ("rekey", "tests/it/cli_secrets.rs"),
    ("audit verify --anchor HEX", "tests/it/audit.rs"),
    ("keys approve-purge ID", "tests/it/policy_fields.rs"),
];

/// The other lines of blocks, by how they begin: the script of CI that does the same, or why none can.
const OTHERS: &[(&str, &str)] = &[
    ("cargo run --release -- demo", "tests/it/demo.rs"),
    (".ci/test", "itself"),
    ("export LAPSED_CONFIG=", "the path of a file is anybody's"),
    ("PROFILE=dist .ci/package", ".ci/package"),
    ("apt-get install ./target/package/lapsed.deb", ".ci/package"),
    ("cargo build --profile dist --locked && .ci/image", ".ci/image"),
    ("skopeo copy", "there is no registry to copy to"),
    ("cargo audit", "it asks a database of vulnerabilities on the Internet"),
    (".ci/sbom --read", ".ci/package"),
    (
        "cargo build --release && for engine in sqlite postgres mariadb; do .ci/size",
        "itself, for whoever asks",
    ),
    ("install -m ", "the package puts the same files there: .ci/package"),
    ("mkdir -p /etc/lapsed", "the package puts the same files there: .ci/package"),
    ("systemctl ", "there is no systemd: .ci/play-systemd.py plays it"),
    ("kubectl ", "there is no cluster: .ci/kubernetes builds, checks and plays the manifests"),
    ("--from-file=", "there is no cluster"),
    ("openssl rand -hex 32", "every test has such a key"),
];

/// The documents that name commands: each with its place and its text.
fn documents() -> Vec<(PathBuf, String)> {
    let pages = fs::read_dir("docs/runbook").unwrap().map(|entry| entry.unwrap().path());
    let all = DOCUMENTS.iter().map(PathBuf::from).chain(pages);
    all.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The commands that `text` names: as lines of a block, and in the middle of a sentence.
fn named_in(text: &str) -> BTreeSet<String> {
    let (mut found, mut prose, mut is_block) = (BTreeSet::new(), String::new(), false);
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        is_block ^= is_fence;
        if is_block || line.starts_with("    ") {
            found.extend(command(line.split("  #").next().unwrap_or_default()));
        } else if !is_fence {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).filter_map(command));
    found
}

/// What is given to `lapsed`, if `text` calls it.
fn command(text: &str) -> Option<String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let (program, rest) = words.split_first()?;
    (*program == "lapsed" && !rest.is_empty()).then(|| rest.join(" "))
}

struct Installation {
    lapsed: Lapsed,
    tried: BTreeSet<String>,
}

impl Installation {
    /// Gives the command that a document names, with what stands for its capital words.
    fn give(&mut self, named: &str, words: &[(&str, &str)], code: i32) -> String {
        self.tried.insert(named.to_owned());
        let said = |word: &str| {
            let known = words.iter().find(|(name, _)| *name == word);
            known.map_or_else(|| word.to_owned(), |(_, meant)| (*meant).to_owned())
        };
        let line: Vec<_> = named.split(' ').map(said).collect();
        let ended = self.lapsed.run(&line.join(" "));
        assert_eq!(ended.code, code, "lapsed {}: {}{}", line.join(" "), ended.stdout, ended.stderr);
        ended.stdout
    }

    /// Gives commands that have no capital words, and that end well.
    fn give_all(&mut self, named: &[&str]) {
        for named in named {
            self.give(named, &[], 0);
        }
    }

    /// The id of the key called `name`.
    fn id(&self, name: &str) -> String {
        let keys = self.lapsed.json("keys list");
        let key = keys.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap();
        key["id"].as_str().unwrap().to_owned()
    }

    /// Writes a file where the commands are given.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.lapsed.path().join(name), text).unwrap();
    }
}

#[test]
fn every_command_that_a_document_names_is_given_and_ends_well() {
    let mut site = Installation { lapsed: Lapsed::new(), tried: BTreeSet::new() };
    let readme = fs::read_to_string("README.md").unwrap();
    let csv = readme.split("```csv\n").nth(1).and_then(|rest| rest.split("```").next());
    site.write("keys.csv", csv.unwrap());

    // As the README begins.
    site.give_all(&["config check", "mail test you@example.com", "doctor"]);
    site.give("mail test", &[("test", "test you@example.com")], 0);
    site.give_all(&["keys import keys.csv", "plan"]);
    site.give_all(&["--version", "config show", "status --json", "doctor --json"]);
    site.give_all(&["status", "db migrate", "mail preview", "mail preview brake", "rekey --help"]);
    site.give("keys import FILE.csv", &[("FILE.csv", "keys.csv")], 0);
    let create = "keys create --tenant acme --env production --owner ada@acme.example --name new";
    site.give("keys create", &[("create", create.strip_prefix("keys ").unwrap())], 0);

    let id = site.id("design-sync");
    let id = [("ID", id.as_str())];
    site.give("keys explain ID", &id, 0);
    site.give("keys explain", &[("explain", &format!("explain {}", id[0].1))], 0);
    site.give("keys show ID", &id, 0);
    site.give("keys unpark ID", &id, 0);
    site.give("keys suspend ID", &id, 0);
    site.give("keys unsuspend ID", &id, 0);
    site.give("keys hold ID", &id, 0);
    site.give("keys release ID", &id, 0);
    site.give("keys revoke ID", &id, 0);
    site.give_all(&[
        "keys list --deferred",
        "keys list --expires 1d",
        "keys list --parked",
        "keys list --state active --expires 1d",
        "keys list --state expired",
        "keys unpark --all",
        "owners list --unreachable",
    ]);

    site.give_all(&[
        "notices list --status pending",
        "notices list --status queued",
        "notices list --stuck",
        "notices retry --all",
    ]);
    let notices = site.lapsed.json("notices list");
    let number = notices[0]["id"].to_string();
    site.give("notices show NUMBER", &[("NUMBER", &number)], 0);
    // It has not failed, and the command says so.
    site.give("notices retry NUMBER", &[("NUMBER", &number)], 1);
    let new = [("EMAIL", "ada@acme.example"), ("NEW", "ada@new.example")];
    site.give("owners set EMAIL --email NEW", &new, 0);
    site.give("owners show", &[("show", "show ada@new.example")], 0);
    let new = [("MAIL", "ada@new.example"), ("NEW", "ada@acme.example")];
    site.give("owners set MAIL --email NEW", &new, 0);
    site.give("owners set EMAIL --reachable", &[("EMAIL", "ada@acme.example")], 0);
    let place = [("T", "acme"), ("E", "production"), ("FIELD=VALUE…", "window_days=9")];
    site.give("tenants set T --contact it@example.com", &place, 0);
    site.give("policy show --tenant T --env E", &place, 0);
    site.give("policy simulate --tenant T FIELD=VALUE…", &place, 0);
    site.give("policy set", &[("set", "set --tenant acme window_days=9")], 0);
    let bot = site.id("deploy-bot");
    site.give(
        "policy set --key ID mfa_required_for=rotate,window_rotate",
        &[("ID", bot.as_str())],
        0,
    );
    site.give("policy effective --key ID", &[("ID", bot.as_str())], 0);
    site.give_all(&[
        "policy set --help",
        "policy simulate --tenant acme max_ttl_days=90 --spread 14 --notice 30",
        "policy set --tenant acme max_ttl_days=90 --spread 14 --notice 30",
        "pause",
        "resume",
        "pause --purge",
        "resume --purge",
        "clock status",
        "clock accept",
        "sweep",
        "audit verify",
        "audit export --format csv",
    ]);
    site.give("audit export --since DATE", &[("DATE", "2026-01-01")], 0);
    let words = [("NAME", "ops")];
    site.give("admin token create --name NAME", &words, 0);
    let words = [("NAME", "ada"), ("MAIL", "ada@acme.example")];
    site.give("admin token create --name NAME --owner MAIL", &words, 0);
    let sooner = "set --tenant acme max_ttl_days=80 --notice 30 --spread 14";
    site.give(
        "policy set --notice --spread",
        &[("set", sooner), ("--notice", ""), ("--spread", "")],
        0,
    );

    site.give("approvals list", &[], 0);
    // Nothing waits, and the commands say so.
    let words = [("APPROVAL", "7Hk2pQ9rT4aB"), ("TEXT", "no")];
    for named in ["show APPROVAL", "approve APPROVAL", "reject APPROVAL --reason TEXT"] {
        site.give(&format!("approvals {named}"), &words, 1);
    }

    // A tenant that would lose all its keys at once.
    let rows =
        (0..12).map(|n| format!("late,production,eve@agency.example,k{n},2026-01-01,2026-03-01"));
    let head = "tenant,environment,owner,name,created,expires".to_owned();
    let rows: Vec<_> = [head].into_iter().chain(rows).collect();
    site.write("late.csv", &rows.join("\n"));
    site.lapsed.ok("keys import late.csv");
    let held = site.lapsed.run("sweep");
    assert_eq!(held.code, 4, "{}", held.stderr);
    assert!(held.stderr.contains("12 keys to expire are held back"), "{}", held.stderr);
    site.give("brake status", &[], 4);
    let held = site.lapsed.run("brake status --json");
    let held: serde_json::Value = serde_json::from_str(&held.stdout).unwrap();
    site.give("brake release HASH", &[("HASH", held[0]["hash"].as_str().unwrap())], 0);
    site.lapsed.ok("sweep");
    site.give("brake status", &[], 0);
    site.give_all(&[
        "owners offboard eve@agency.example --dry-run",
        "owners offboard eve@agency.example",
        "owners offboard eve@agency.example --undo",
    ]);

    let named: BTreeSet<_> = documents().iter().flat_map(|(_, text)| named_in(text)).collect();
    for (command, test) in ELSEWHERE {
        assert!(fs::exists(test).unwrap(), "{test} is gone, which tried `{command}`");
        site.tried.insert((*command).to_owned());
    }
    let untried: Vec<_> = named.difference(&site.tried).collect();
    assert!(untried.is_empty(), "documents name what this test does not try: {untried:#?}");
    let unnamed: Vec<_> = site.tried.difference(&named).collect();
    assert!(unnamed.is_empty(), "no document names these any more: {unnamed:#?}");
}

#[test]
fn of_every_other_line_of_a_block_it_is_known_what_tries_it() {
    let mut used = BTreeSet::new();
    for (document, text) in documents() {
        let document = document.display();
        for block in text.split("```sh\n").skip(1) {
            for line in block.split("```").next().unwrap().lines().map(str::trim) {
                let is_ours = command(line).is_some() || line.is_empty();
                let known = OTHERS.iter().find(|(start, _)| line.starts_with(start));
                assert!(is_ours || known.is_some(), "{document}: what tries `{line}`?");
                used.extend(known.map(|(start, _)| *start));
            }
        }
    }
    for (start, tried_by) in OTHERS {
        assert!(used.contains(start), "no block has `{start}` any more");
        let is_file = tried_by.starts_with(".ci/") || tried_by.starts_with("tests/");
        assert!(!is_file || fs::exists(tried_by).unwrap(), "{tried_by} is gone");
    }
}

#[test]
fn commands_are_found_in_blocks_and_in_sentences() {
    let text =
        "Say `lapsed\nstatus`, or:\n\n    lapsed doctor  # soon\n\n```sh\nlapsed plan\nls\n```\n";
    let found = named_in(text);
    assert_eq!(found, ["status", "doctor", "plan"].map(str::to_owned).into());
}

//! The command line as people meet it: what it prints where, and how it ends.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// An empty folder with nothing configured.
pub struct Lapsed {
    folder: TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

/// How a command ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Lapsed {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// With a tenant `acme`, an environment `production` and an owner called Ada.
    pub fn with_ada() -> Self {
        let lapsed = Self::new();
        lapsed.ok("tenants add acme --contact ops@acme.example");
        lapsed.ok("environments add acme production");
        lapsed.ok("owners add ada@acme.example --tenant acme");
        lapsed
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lapsed"));
        command.args(line.split_whitespace()).current_dir(self.path()).env_clear();
        command.envs(self.variables.iter().copied()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, line: &str) -> Ended {
        ended(self.command(line).output().unwrap())
    }

    pub fn ok(&self, line: &str) -> Ended {
        let ended = self.run(line);
        assert_eq!(ended.code, 0, "lapsed {line}: {}", ended.stderr);
        ended
    }

    pub fn json(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(&format!("{line} --json")).stdout).unwrap()
    }

    /// Makes a key for Ada and returns its id.
    fn key(&self) -> String {
        let create = "keys create --tenant acme --env production --owner ada@acme.example";
        let secret = self.ok(&format!("{create} --name deploy --days 5")).stdout;
        secret.split('_').nth(2).unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }
}

pub fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What is different each time is replaced before a text is compared.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "[time]");
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]");
    settings
}

#[test]
fn help_shows_the_commands_and_examples() {
    let lapsed = Lapsed::new();
    insta::assert_snapshot!("help", lapsed.ok("--help").stdout);
    insta::assert_snapshot!("help_keys", lapsed.ok("keys --help").stdout);
    insta::assert_snapshot!("help_keys_import", lapsed.ok("keys import --help").stdout);
}

#[test]
fn a_secret_stands_alone_on_stdout() {
    let lapsed = Lapsed::with_ada();
    let create = "keys create --tenant acme --env production --owner ada@acme.example --name x";
    let made = lapsed.ok(create);
    let secret = made.stdout.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("lpu_live_") && !secret.contains(char::is_whitespace), "{secret}");
    let id = secret.split('_').nth(2).unwrap();
    assert!(made.stderr.contains(&format!("made key {id}, which expires: ")));
    let database = fs::read(lapsed.path().join("data/lapsed.db-wal")).unwrap_or_default();
    let database = [database, fs::read(lapsed.path().join("data/lapsed.db")).unwrap()].concat();
    let needle = secret.as_bytes();
    assert!(!database.windows(needle.len()).any(|window| window == needle), "it is not stored");
}

#[test]
fn a_listing_is_plain_text_or_json() {
    let lapsed = Lapsed::with_ada();
    let id = lapsed.key();
    let list = lapsed.ok("keys list").stdout.replace(&id, "[id of 12 ch]");
    settings().bind(|| {
        insta::assert_snapshot!(list, @r"
        ID            TENANT  ENVIRONMENT  OWNER             NAME    KIND  STATE   EXPIRES
        [id of 12 ch]  acme    production   ada@acme.example  deploy  user  active  [time] (in 5 days)
        ");
    });
    let json = lapsed.json("keys list");
    assert_eq!(json[0]["id"], id.as_str());
    assert_eq!(json[0]["state"], "active");
    let none = lapsed.ok("keys list --state revoked");
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "nothing found\n"));
}

#[test]
fn an_error_says_what_to_do() {
    let lapsed = Lapsed::with_ada();
    let id = lapsed.key();
    for (line, code, text) in [
        (
            "tenants add acme",
            1,
            "error: there is a tenant `acme` already\nhint: lapsed tenants show acme\n",
        ),
        (
            "tenants show nobody",
            1,
            "error: there is no tenant `nobody`\nhint: `lapsed tenants list` shows the tenants there are\n",
        ),
        (
            "keys show 000000000000",
            1,
            "error: there is no key 000000000000\nhint: `lapsed keys explain 000000000000` knows about purged keys too\n",
        ),
        (
            "keys extend ID --days 400",
            1,
            "error: a life of 400 days is longer than the 365 days allowed\nhint: `lapsed policy show` shows what is allowed, and who says so\n",
        ),
        (
            "keys extend ID",
            2,
            "error: it is not said for how long\nhint: give one of --days N, --until DATE, --never\n",
        ),
    ] {
        let ended = lapsed.run(&line.replace("ID", &id));
        assert_eq!((ended.code, ended.stderr.as_str()), (code, text), "{line}");
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(lapsed.run("keys fly").code, 2);
    lapsed.write("wrong.toml", "[http]\nlisten = 1\n[htp]\n");
    let wrong = lapsed.run("--config wrong.toml status");
    assert_eq!(wrong.code, 78);
    assert_eq!(wrong.stderr.matches("error: wrong.toml:").count(), 2, "{}", wrong.stderr);
}

#[test]
fn a_purged_key_is_still_explained() {
    let mut lapsed = Lapsed::with_ada();
    lapsed.variables.push(("LAPSED_LIFECYCLE__UNDO_HOURS", "0"));
    let id = lapsed.key();
    lapsed.ok(&format!("keys revoke {id} --reason leaked"));
    let alive = lapsed.ok(&format!("keys explain {id}")).stdout;
    assert!(alive.contains("key.revoked (operator)") && alive.contains("leaked"), "{alive}");
    assert!(alive.contains("it is purged"), "{alive}");
    lapsed.ok("sweep");
    let gone = lapsed.ok(&format!("keys explain {id}")).stdout;
    assert!(gone.contains("purged, a key of ada@acme.example"), "{gone}");
    assert!(gone.contains("because it was revoked"), "{gone}");
    let json = lapsed.json(&format!("keys explain {id}"));
    assert_eq!(json["key"], serde_json::Value::Null);
    assert_eq!(json["tombstone"]["id"], id.as_str());
}

#[test]
fn offboarding_is_seen_before_it_is_done() {
    let lapsed = Lapsed::with_ada();
    let id = lapsed.key();
    let dry = lapsed.ok("owners offboard ada@acme.example --dry-run");
    assert!(dry.stdout.contains(&id), "{}", dry.stdout);
    assert_eq!(lapsed.json(&format!("keys show {id}"))["state"], "active");
    let done = lapsed.json("owners offboard ada@acme.example");
    assert_eq!((&done["n_shortened"], &done["keys"][0]["id"]), (&1.into(), &id.as_str().into()));
    assert_eq!(lapsed.json(&format!("keys show {id}"))["state"], "expired", "from that instant on");
    let create = "keys create --tenant acme --env production --owner ada@acme.example --name x";
    assert!(lapsed.run(create).stderr.contains("the owner's access ended at"));
}

const ROWS: &str = "\
tenant,environment,owner,owner_kind,name,kind,created,expires,external_id,access_ends,secret_sha256
acme,production,ada@acme.example,,deploy,,2026-01-01,2999-01-01,1,,
acme,staging,carl@agency.example,contractor,\"a, \"\"b\"\"\",,2026-01-01,2999-01-01,2,2998-01-01,ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
acme,production,not-a-mail,,deploy,,,2999-01-01,3,,
acme,production,ada@acme.example,,server,application,2026-01-01,never,4,,
acme,production,ada@acme.example,,old,,2026-01-01,2026-02-01,5,,
acme,production,ada@acme.example,,deploy
";

#[test]
fn an_import_takes_what_is_good_and_keeps_what_is_not() {
    let lapsed = Lapsed::new();
    lapsed.write("keys.csv", ROWS);
    let first = lapsed.run("keys import keys.csv --json");
    assert_eq!(first.code, 3, "{}", first.stderr);
    let summary: serde_json::Value = serde_json::from_str(&first.stdout).unwrap();
    let counts = |summary: &serde_json::Value| {
        ["read", "created", "expired", "unchanged", "rejected", "owners_added"]
            .map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(counts(&summary), [6, 4, 1, 0, 2, 2]);
    assert_eq!(summary["rejects"], "keys.rejects.csv");
    insta::assert_snapshot!("rejects", lapsed.read("keys.rejects.csv"));

    let again = lapsed.run("keys import keys.csv --json");
    let summary: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(counts(&summary), [6, 0, 0, 4, 2, 0], "the same file twice");

    let mended = lapsed.read("keys.rejects.csv").replace("not-a-mail", "max@acme.example");
    let mended: String = mended.lines().take(2).map(|line| format!("{line}\n")).collect();
    lapsed.write("mended.csv", &mended);
    assert_eq!(lapsed.json("keys import mended.csv")["created"], 1);
}

#[test]
fn json_lines_are_read_as_well() {
    let lapsed = Lapsed::new();
    lapsed.write(
        "keys.jsonl",
        "{\"tenant\":\"acme\",\"environment\":\"prod\",\"owner\":\"ada@acme.example\",\"name\":\"a\",\"expires\":\"2999-01-01\",\"external_id\":17}\n\
         \n\
         {\"tenant\":\"acme\",\"enviroment\":\"prod\"}\n\
         not json\n",
    );
    let ended = lapsed.run("keys import keys.jsonl");
    assert_eq!(ended.code, 3);
    insta::assert_snapshot!("rejects_json", lapsed.read("keys.rejects.jsonl"));
    assert_eq!(lapsed.json("keys list")[0]["external_id"], "17");
}

#[test]
fn a_header_that_is_no_good_stops_the_import() {
    let lapsed = Lapsed::new();
    lapsed.write("keys.csv", "tenant,enviroment\nacme,prod\n");
    let ended = lapsed.run("keys import keys.csv");
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.stderr,
        "error: the header is no good: `enviroment` is no column; is `environment` meant?\n\
         hint: `lapsed keys import --help` lists the columns\n"
    );
    lapsed.write("empty.csv", "");
    assert!(lapsed.run("keys import empty.csv").stderr.starts_with("error: the file is empty"));
}

#[test]
fn what_is_exported_can_be_imported() {
    let from = Lapsed::with_ada();
    from.key();
    let exported = from.ok("keys export").stdout;
    let to = Lapsed::new();
    to.write("keys.csv", &exported);
    assert_eq!(to.json("keys import keys.csv")["created"], 1);
    assert_eq!(to.json("keys import keys.csv")["unchanged"], 1);
    let (old, new) = (from.json("keys list"), to.json("keys list"));
    for field in ["tenant", "environment", "owner", "name", "kind", "created_at", "expires_at"] {
        assert_eq!(old[0][field], new[0][field], "{field}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let lapsed = Lapsed::new();
    let mut child = lapsed
        .command("completions zsh")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = ended(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn the_doctor_names_the_line_that_mends() {
    let lapsed = Lapsed::with_ada();
    lapsed.key();
    assert_eq!(lapsed.ok("doctor").code, 0);
    let master_key = lapsed.path().join("data/master.key");
    fs::set_permissions(&master_key, fs::Permissions::from_mode(0o644)).unwrap();
    lapsed.ok("pause --purge --reason audit");
    let ended = lapsed.run("doctor");
    assert_eq!(ended.code, 3, "{}", ended.stdout);
    assert!(ended.stdout.contains("chmod 600 data/master.key"), "{}", ended.stdout);
    assert!(ended.stdout.contains("lapsed resume --purge"), "{}", ended.stdout);
    assert!(lapsed.ok("resume --purge").stderr.contains("resumed the purge"));
}

#[test]
fn the_trail_is_written_line_by_line() {
    let lapsed = Lapsed::with_ada();
    lapsed.key();
    let trail = lapsed.ok("audit export").stdout;
    let actions: Vec<String> = trail
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| event["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(actions, ["tenant.added", "environment.added", "owner.added", "key.created"]);
    assert!(!trail.contains("acme.example"), "the trail outlives addresses");
    assert_eq!(lapsed.ok("audit export --format csv").stdout.lines().count(), 5);
}

#[test]
fn manual_pages_and_completions_are_there() {
    let lapsed = Lapsed::new();
    lapsed.ok("man pages");
    assert!(lapsed.path().join("pages/lapsed-keys-import.1").exists());
    assert!(lapsed.ok("completions bash").stdout.contains("lapsed"));
}

#[test]
fn on_a_terminal_an_access_ends_after_its_keys_were_shown_and_the_address_typed() {
    let lapsed = Lapsed::with_ada();
    let id = lapsed.key();
    let at_terminal = |typed: &str| {
        let program = env!("CARGO_BIN_EXE_lapsed");
        let line = format!("stty cols 200; exec {program} owners offboard ada@acme.example");
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).current_dir(lapsed.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        ended(child.wait_with_output().unwrap())
    };
    let state = || lapsed.json(&format!("keys show {id}"))["state"].clone();
    let refused = at_terminal("ada\n");
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stdout.contains("nothing was changed"), "{}", refused.stdout);
    assert_eq!(state(), "active");
    let done = at_terminal("ada@acme.example\n");
    assert_eq!(done.code, 0, "{}", done.stdout);
    let (shown, asked) = (done.stdout.find(&id).unwrap(), done.stdout.find("type ada@").unwrap());
    assert!(shown < asked, "{}", done.stdout);
    assert_ne!(state(), "active");
}

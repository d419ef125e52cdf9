//! Secrets and codes on the command line: what is given on stdin, and what is shown once.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::Stdio,
};

use lapsed::domain::otp::Seed;

use crate::cli::{Ended, Lapsed, ended};

/// Runs a command with a text on its stdin.
fn given(lapsed: &Lapsed, line: &str, stdin: &str) -> Ended {
    let mut command = lapsed.command(line);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    ended(child.wait_with_output().unwrap())
}

/// Makes a key for Ada and returns its secret.
fn secret(lapsed: &Lapsed) -> String {
    let create = "keys create --tenant acme --env production --owner ada@acme.example";
    lapsed.ok(&format!("{create} --name deploy --days 5")).stdout.trim().to_owned()
}

fn id_of(secret: &str) -> &str {
    secret.split('_').nth(2).unwrap()
}

#[test]
fn a_key_is_rotated_and_both_its_secrets_are_verified() {
    let lapsed = Lapsed::with_ada();
    let old = secret(&lapsed);
    let rotated = lapsed.ok(&format!("keys rotate {} --overlap 2h", id_of(&old)));
    let new = rotated.stdout.trim();
    assert_eq!((rotated.stdout.lines().count(), id_of(new)), (1, id_of(&old)));
    assert!(rotated.stderr.contains("its old secret ends: "), "{}", rotated.stderr);
    assert!(!rotated.stderr.contains(&new[22..]), "the secret stands on stdout alone");
    for text in [&old, new] {
        let verdict = given(&lapsed, "keys verify -", text);
        assert_eq!(verdict.code, 0, "{}{}", verdict.stdout, verdict.stderr);
        assert!(verdict.stdout.contains("verdict           "), "{}", verdict.stdout);
    }

    lapsed.ok(&format!("keys end-overlap {}", id_of(&old)));
    let dead = given(&lapsed, "keys verify - --json", &old);
    let verdict: serde_json::Value = serde_json::from_str(&dead.stdout).unwrap();
    assert_eq!((dead.code, &verdict["code"]), (1, &"replaced".into()));
    let again = lapsed.run(&format!("keys end-overlap {}", id_of(&old)));
    assert_eq!(again.code, 1);
    let junk = given(&lapsed, "keys verify -", "lpu_live_junk\n");
    assert_eq!((junk.code, junk.stdout.as_str()), (1, "verdict               invalid\n"));

    let used = lapsed.run(&format!("keys reissue {}", id_of(&old)));
    assert!(used.stderr.contains("has been used or is more than a day old"), "{}", used.stderr);
    let unseen = secret(&lapsed);
    let reissued = lapsed.ok(&format!("keys reissue {}", id_of(&unseen))).stdout;
    assert_eq!(given(&lapsed, "keys verify -", &reissued).code, 0);
    assert_eq!(given(&lapsed, "keys verify -", &unseen).code, 1);
}

#[test]
fn a_secret_is_no_argument() {
    let lapsed = Lapsed::with_ada();
    let secret = secret(&lapsed);
    let verdict = lapsed.run(&format!("keys verify {secret}"));
    assert_eq!(verdict.code, 2);
    assert!(verdict.stderr.contains("others can see arguments"), "{}", verdict.stderr);
    let rotated = lapsed.run(&format!("keys rotate {} --otp 123456", id_of(&secret)));
    assert_eq!(rotated.code, 2);
}

#[test]
fn a_second_factor_is_set_up_used_and_reset() {
    let lapsed = Lapsed::with_ada();
    let old = secret(&lapsed);
    let mut setup = lapsed.command("otp setup ada@acme.example");
    setup.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut setup = setup.spawn().unwrap();
    let mut stdout = BufReader::new(setup.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("otpauth://") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "no URI");
    }
    let base32 = line.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let seed = totp_rs::Secret::try_from_base32(base32.trim()).unwrap();
    let seed = Seed::new(seed.as_bytes().try_into().unwrap());
    let code = seed.code_at(now()).unwrap();
    setup.stdin.take().unwrap().write_all(code.expose().as_bytes()).unwrap();
    let mut recovery = String::new();
    stdout.read_to_string(&mut recovery).unwrap();
    assert!(setup.wait().unwrap().success());
    let recovery: Vec<&str> = recovery.lines().collect();
    assert_eq!(recovery.len(), 10);

    let rotate = format!("keys rotate {} --otp -", id_of(&old));
    let replayed = given(&lapsed, &rotate, code.expose());
    assert!(replayed.stderr.contains("the code has been used"), "{}", replayed.stderr);
    assert_eq!(given(&lapsed, &rotate, recovery[0]).code, 0);
    assert_eq!(given(&lapsed, &rotate, recovery[0]).code, 1, "a recovery code is good once");
    let renewed = given(&lapsed, "otp renew ada@acme.example", recovery[1]);
    assert_eq!((renewed.code, renewed.stdout.lines().count()), (0, 10), "{}", renewed.stderr);
    assert_eq!(given(&lapsed, &rotate, recovery[2]).code, 1, "the old codes are void");
    assert_eq!(given(&lapsed, &rotate, renewed.stdout.lines().next().unwrap()).code, 0);
    let malformed = given(&lapsed, &rotate, "12345");
    assert!(malformed.stderr.contains("a code has 6 digits"), "{}", malformed.stderr);

    let again = lapsed.run("otp setup ada@acme.example");
    assert!(again.stderr.contains("has a second factor already"), "{}", again.stderr);
    let reset = lapsed.ok("otp reset ada@acme.example");
    assert!(reset.stderr.contains("counts from: "), "{}", reset.stderr);
}

#[test]
fn a_master_key_is_changed_while_every_key_goes_on() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let lapsed = Lapsed::with_ada();
    let key = secret(&lapsed);
    let none = lapsed.run("rekey");
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("keys.old_master_key_file is empty"), "{}", none.stderr);

    let folder = lapsed.command("status").get_current_dir().unwrap().to_owned();
    let new = folder.join("new.key");
    fs::write(&new, "5a".repeat(32)).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    let under = |line: &str, files: &[(&str, &str)]| {
        let mut command = lapsed.command(line);
        let set =
            |(option, file): &(&str, &str)| (format!("LAPSED_KEYS__{option}"), folder.join(file));
        ended(command.envs(files.iter().map(set)).output().unwrap())
    };
    let both = [("MASTER_KEY_FILE", "new.key"), ("OLD_MASTER_KEY_FILE", "data/master.key")];
    let counted = under("rekey --json", &both);
    assert_eq!(counted.code, 0, "{}", counted.stderr);
    let counted: serde_json::Value = serde_json::from_str(&counted.stdout).unwrap();
    let left = (&counted["secrets_left"], &counted["is_done"]);
    assert_eq!(left, (&1.into(), &false.into()), "{counted}");

    let rotated = under(&format!("keys rotate {} --overlap 0s", id_of(&key)), &both);
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    let again = under(&format!("keys rotate {} --overlap 0s", id_of(&key)), &both);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let done = under("rekey", &both);
    assert!(
        done.stderr.contains("take keys.old_master_key_file away"),
        "{}{}",
        done.stdout,
        done.stderr
    );
    let same = [("MASTER_KEY_FILE", "new.key"), ("OLD_MASTER_KEY_FILE", "new.key")];
    let same = under("rekey", &same);
    assert!(same.code == 1 && same.stderr.contains("the master key itself"), "{}", same.stderr);
}

#[test]
fn administrators_tokens_are_made_and_ended() {
    let lapsed = Lapsed::with_ada();
    let token = lapsed.ok("admin token create --name terraform --role operator --tenant acme");
    let token = token.stdout.trim();
    assert!(token.starts_with("lps_live_"));
    assert_eq!(given(&lapsed, "keys verify -", token).code, 0);
    let listed = lapsed.json("admin token list");
    assert_eq!((&listed[0]["role"], &listed[0]["tenant"]), (&"operator".into(), &"acme".into()));
    lapsed.ok(&format!("admin token revoke {}", id_of(token)));
    let dead = given(&lapsed, "keys verify -", token);
    assert!(dead.code == 1 && dead.stdout.contains("revoked"), "{}", dead.stdout);
    let key = secret(&lapsed);
    let other = lapsed.run(&format!("admin token revoke {}", id_of(&key)));
    assert!(other.code == 1 && other.stderr.contains("there is no token"), "{}", other.stderr);
}

/// The daemon's own clock is the machine's: these are real processes.
fn now() -> chrono::DateTime<chrono::Utc> {
    use lapsed::clock::{Clock as _, SystemClock};
    SystemClock.now()
}

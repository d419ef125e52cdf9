//! The files with which others run the program: that they agree with each other and with it.

use std::collections::BTreeSet;

fn unit(name: &str) -> String {
    std::fs::read_to_string(format!("systemd/{name}")).unwrap()
}

/// The settings of a unit from the hardening on.
fn hardening(unit: &str) -> BTreeSet<&str> {
    let (_, rest) = unit.split_once("UMask=0077").unwrap();
    rest.lines().filter(|line| !line.starts_with('#') && line.contains('=')).collect()
}

#[test]
fn the_job_is_as_hardened_as_the_daemon() {
    let (daemon, job) = (unit("lapsed.service"), unit("lapsed-sweep.service"));
    let only_daemon: Vec<_> = hardening(&daemon).difference(&hardening(&job)).copied().collect();
    let only_job: Vec<_> = hardening(&job).difference(&hardening(&daemon)).copied().collect();
    assert_eq!(only_daemon, ["SocketBindAllow=tcp:8470", "WantedBy=multi-user.target"]);
    assert!(only_job.is_empty(), "{only_job:?}");
    for secret in ["smtp-password", "database-password", "master-key"] {
        let line = format!("LoadCredential={secret}:lapsed.{secret}\n");
        assert!(daemon.contains(&line) && job.contains(&line), "{secret}");
    }
}

#[test]
fn the_image_runs_as_the_manifests_and_the_units_expect() {
    let whole = std::fs::read_to_string("Dockerfile").unwrap();
    // `.ci/image` reads how to run it from here too.
    let (_, last) = whole.rsplit_once("\nFROM scratch\n").unwrap();
    let version = concat!("org.opencontainers.image.version=\"", env!("CARGO_PKG_VERSION"), "\"");
    assert!(last.contains(version), "{version}");
    for line in
        ["USER 65532:65532", "EXPOSE 8470/tcp", "ENTRYPOINT [\"/usr/bin/lapsed\"]", "CMD [\"run\"]"]
    {
        assert!(last.lines().any(|has| has == line), "{line}");
    }
    let unit = unit("lapsed.service");
    let directory = last.lines().find_map(|line| line.strip_prefix("WORKDIR ")).unwrap();
    assert!(unit.contains(&format!("WorkingDirectory={directory}\n")), "{directory}");
    assert!(last.contains("MALLOC_ARENA_MAX=\"1\"") && unit.contains("=MALLOC_ARENA_MAX=1\n"));
}

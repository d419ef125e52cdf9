//! A PostgreSQL of a test's own, whose plug can be pulled.

use std::{
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

/// How it is ended at once.
const STOP: &str = "--mode immediate --wait stop";

/// A server with its data. It is stopped when this is dropped.
pub struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    /// Whether the test is root, whom PostgreSQL does not serve.
    is_root: bool,
}

impl Server {
    /// Makes one, and starts it.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let is_root = folder.path().metadata().unwrap().uid() == 0;
        if is_root {
            let id = Command::new("id").args(["-u", "postgres"]).output().unwrap().stdout;
            let id = String::from_utf8(id).unwrap().trim().parse().unwrap();
            chown(folder.path(), Some(id), None).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { programs: programs(), folder, port, is_root };
        server.run("initdb", "--auth trust --username postgres --no-sync");
        server.recover();
        server
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }

    /// Ends it at once. What it has not given to the disk is lost.
    pub fn crash(&self) {
        self.run("pg_ctl", STOP);
    }

    /// Starts it again.
    pub fn recover(&self) {
        let folder = self.folder.path().display();
        let options = format!("-p {} -k {folder} -c listen_addresses=127.0.0.1", self.port);
        self.run("pg_ctl", &format!("--wait --log {folder}/log --options '{options}' start"));
    }

    fn run(&self, program: &str, options: &str) {
        assert!(self.try_run(program, options), "{program} {options}");
    }

    /// Whether the program ends well.
    fn try_run(&self, program: &str, options: &str) -> bool {
        let data = self.folder.path().join("data");
        let program = self.programs.join(program);
        let command = format!("{} --pgdata {} {options}", program.display(), data.display());
        let mut shell = if self.is_root { Command::new("su") } else { Command::new("sh") };
        if self.is_root {
            shell.args(["postgres", "-s", "/bin/sh"]);
        }
        shell.args(["-c", &format!("{command} >/dev/null 2>&1 </dev/null")]).current_dir("/");
        shell.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.try_run("pg_ctl", STOP);
    }
}

/// The folder of the newest version's programs, where Debian has it.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let has_it = |folder: &PathBuf| folder.join("initdb").exists();
    let version = |folder: &PathBuf| {
        let name = folder.parent().and_then(Path::file_name)?;
        name.to_str()?.parse::<u32>().ok()
    };
    folders.filter(has_it).max_by_key(version).unwrap_or_else(|| {
        panic!("no initdb in /usr/lib/postgresql/*/bin\n  hint: .ci/run installs PostgreSQL")
    })
}

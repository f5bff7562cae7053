//! A real `phoenix serve` in a folder of its own, and the command run against it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// What a run of the command left.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Standard output of a run that succeeds.
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// Its JSON.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }
}

/// The command without anything of this shell's.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phoenix"));
    for name in ["URL", "TOKEN", "TOKEN_FILE", "DATA", "LISTEN"] {
        command.env_remove(format!("PHOENIX_{name}"));
    }
    command
}

pub fn finish(mut command: Command, input: &str) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running control plane. Killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Server {
    pub fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let (child, address) = launch(folder.path(), "127.0.0.1:0");
        Server {
            child,
            address,
            folder,
        }
    }

    /// As a power cut would end it, and as it is started again: same folder, same address.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (child, _) = launch(self.folder.path(), &self.address.to_string());
        self.child = child;
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn enrol_token(&self) -> String {
        let text = std::fs::read_to_string(self.file("data/enrol.token")).unwrap();
        text.trim().to_owned()
    }

    /// Runs the command with this server's address and token.
    pub fn phoenix(&self, arguments: &[&str]) -> Run {
        self.phoenix_with(arguments, "")
    }

    /// The same with something on standard input.
    pub fn phoenix_with(&self, arguments: &[&str], input: &str) -> Run {
        finish(self.command(arguments), input)
    }

    /// The same, left running.
    pub fn spawn(&self, arguments: &[&str]) -> JoinHandle<Run> {
        let command = self.command(arguments);
        std::thread::spawn(move || finish(command, ""))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command
            .args(arguments)
            .env("PHOENIX_URL", format!("http://{}", self.address))
            .env("PHOENIX_TOKEN_FILE", self.file("data/admin.token"));
        command
    }

    /// Applies documents; what the command said.
    pub fn apply(&self, documents: &str) -> String {
        self.phoenix_with(&["apply", "-f", "-"], documents).good()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it and reads the line that says where it listens.
fn launch(folder: &Path, listen: &str) -> (Child, SocketAddr) {
    let log = std::fs::File::create(folder.join("serve.log")).unwrap();
    let mut child = command()
        .args(["serve", "--listen", listen, "--data"])
        .arg(folder.join("data"))
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.next().map(Result::unwrap).unwrap_or_default();
    let address = said.rsplit_once("http=").map(|(_, a)| a.parse().unwrap());
    let why = || std::fs::read_to_string(folder.join("serve.log")).unwrap();
    (child, address.unwrap_or_else(|| panic!("{said}{}", why())))
}

/// A pipeline document that drops metrics by name; an empty name drops nothing.
pub fn pipeline(name: &str, drop: &str) -> String {
    let stages = if drop.is_empty() {
        "[]".to_owned()
    } else {
        format!("[ {{ id: cut, filter: {{ drop: [ {{ metric: \"{drop}\" }} ] }} }} ]")
    };
    format!(
        "---\napiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: {name} }}\n\
         spec: {{ stages: {stages} }}\n"
    )
}

pub fn assignment(name: &str, pipeline: &str) -> String {
    format!(
        "---\napiVersion: phoenix/v1\nkind: Assignment\nmetadata: {{ name: {name} }}\n\
         spec: {{ selector: {{}}, pipeline: {pipeline} }}\n"
    )
}

pub fn experiment(name: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: {name} }}\n\
         spec: {{ candidate: cut, window: 1s, \
         goal: {{ saving: points, target: 20% }}, {rest} }}\n"
    )
}

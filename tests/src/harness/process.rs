//! A child process that says where it listens, and ends with its test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Path of one of the product's binaries, built by `make test` into the folder this test was built in.
pub fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os("PHOENIX_BIN_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let exe = std::env::current_exe().expect("own path");
            exe.parent()
                .and_then(|p| p.parent())
                .expect("target folder")
                .to_owned()
        });
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `make test`, or `cargo build --bins` first",
        path.display()
    );
    path
}

/// A running child. Killed when dropped.
pub struct Process {
    child: Child,
    name: String,
    addresses: BTreeMap<String, SocketAddr>,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a binary of the product and waits for its line `... listening key=address ...`.
    pub async fn start(name: &str, args: &[&str], env: &[(&str, &str)]) -> Process {
        Process::spawn(binary(name), name, args, env).await
    }

    /// The same for any program.
    pub async fn spawn(path: PathBuf, name: &str, args: &[&str], env: &[(&str, &str)]) -> Process {
        let mut child = Command::new(path)
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let output = Arc::new(Mutex::new(String::new()));
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let stderr = BufReader::new(child.stderr.take().expect("stderr")).lines();
        collect(stderr, output.clone());
        let ready = async {
            while let Ok(Some(line)) = stdout.next_line().await {
                output
                    .lock()
                    .expect("output")
                    .push_str(&format!("{line}\n"));
                if line.contains("listening") {
                    return Some(line);
                }
            }
            None
        };
        let line = tokio::time::timeout(Duration::from_secs(30), ready).await;
        let Ok(Some(line)) = line else {
            panic!(
                "{name} did not start; it said:\n{}",
                output.lock().expect("output")
            );
        };
        collect(stdout, output.clone());
        let pairs = line.split_whitespace().filter_map(|w| w.split_once('='));
        let addresses = pairs
            .filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?)))
            .collect();
        Process {
            child,
            name: name.to_owned(),
            addresses,
            output,
        }
    }

    /// Where it listens for `key`.
    pub fn address(&self, key: &str) -> SocketAddr {
        *self
            .addresses
            .get(key)
            .unwrap_or_else(|| panic!("{} has no address {key}: {:?}", self.name, self.addresses))
    }

    /// What it wrote to stdout and stderr so far.
    pub fn output(&self) -> String {
        self.output.lock().expect("output").clone()
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("still running")
    }

    /// Still there?
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM, then waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        Process::stop(&mut self.child)
            .await
            .unwrap_or_else(|| panic!("{} did not end on SIGTERM:\n{}", self.name, self.output()))
    }

    /// SIGTERM to any child; `None` when it does not end.
    pub async fn stop(child: &mut Child) -> Option<ExitStatus> {
        if let Some(id) = child.id() {
            let sent = Command::new("kill")
                .args(["-TERM", &id.to_string()])
                .status()
                .await;
            assert!(sent.is_ok_and(|s| s.success()), "kill -TERM {id}");
        }
        let ended = tokio::time::timeout(Duration::from_secs(40), child.wait()).await;
        ended.ok().map(|status| status.expect("waited"))
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Waits for it to end by itself.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        tokio::time::timeout(limit, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("{} did not end:\n{}", self.name, self.output()))
            .expect("waited")
    }
}

fn collect<R>(mut lines: tokio::io::Lines<R>, output: Arc<Mutex<String>>)
where
    R: tokio::io::AsyncBufRead + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            output
                .lock()
                .expect("output")
                .push_str(&format!("{line}\n"));
        }
    });
}

//! Processes of the demo: the product's binaries, started beside this one, logs in one folder.

use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// A process that said where it listens.
pub struct Running {
    name: String,
    child: Child,
    addresses: BTreeMap<String, String>,
}

impl Running {
    /// Where it listens for `key`.
    pub fn at(&self, key: &str) -> anyhow::Result<&str> {
        let found = self.addresses.get(key).map(String::as_str);
        found.with_context(|| format!("{} did not say where it listens for {key}", self.name))
    }

    /// SIGTERM; it must end with 0.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(id) = self.child.id() else {
            bail!("{} ended before its time", self.name)
        };
        Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status()
            .await
            .context("kill")?;
        let status = tokio::time::timeout(Duration::from_secs(30), self.child.wait())
            .await
            .with_context(|| format!("{} does not end", self.name))??;
        ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

/// The demo's folder, emptied; only a folder that a demo made is emptied.
pub fn fresh(dir: &Path) -> anyhow::Result<PathBuf> {
    let mark = dir.join("made-by-phoenix-demo");
    if dir.exists() {
        ensure!(
            mark.exists(),
            "{} exists and is not a demo's; give another --dir",
            dir.display()
        );
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    std::fs::write(&mark, "")?;
    Ok(dir.canonicalize()?)
}

/// A path as text.
pub fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path
        .to_str()
        .context("the folder's path is not UTF-8")?
        .to_owned())
}

/// Starts `program` and waits until it says that it listens.
pub async fn begin(
    dir: &Path,
    name: &str,
    program: &str,
    args: &[&str],
) -> anyhow::Result<Running> {
    let own = std::env::current_exe()?;
    let path = own.parent().context("no folder")?.join(program);
    ensure!(
        path.is_file(),
        "{} is missing beside {}: run `make build`",
        program,
        own.display()
    );
    let log = std::fs::File::create(dir.join(format!("{name}.log")))?;
    let mut child = Command::new(path)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone()?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program} does not start"))?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("listening") {
                return Ok(line);
            }
        }
        bail!("{name} ended before it was ready; see {name}.log")
    };
    let line = tokio::time::timeout(Duration::from_secs(20), ready)
        .await
        .with_context(|| {
            format!(
                "{name} is not ready after 20 s; see {name}.log in {}",
                dir.display()
            )
        })??;
    // Its further output goes to the log, so that it never blocks on a full pipe.
    let mut log = tokio::fs::File::from_std(log);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = log.write_all(format!("{line}\n").as_bytes()).await;
        }
    });
    let pairs = line.split_whitespace().filter_map(|w| w.split_once('='));
    let addresses = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    Ok(Running {
        name: name.to_owned(),
        child,
        addresses,
    })
}

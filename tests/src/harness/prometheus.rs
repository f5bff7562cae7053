//! A real Prometheus that takes remote write, in a folder of its own.

use super::{Process, eventually, http_client};
use serde_json::Value;
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A running Prometheus.
pub struct Prometheus {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// `None`, said loudly, where there is none (`scripts/prepare` installs it).
    pub async fn start() -> Option<Prometheus> {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("prometheus.yml"), "").expect("written");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("address");
        drop(free);
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", at("data")))
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-remote-write-receiver")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = started else {
            eprintln!("SKIPPED: no prometheus on this machine (scripts/prepare)");
            return None;
        };
        let ready = format!("http://{address}/-/ready");
        eventually("Prometheus to be ready", async || {
            let answer = http_client().get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Some(Prometheus {
            address,
            child,
            _folder: folder,
        })
    }

    /// `2.42.0` and so on.
    pub async fn version(&self) -> String {
        let asked = format!("{}/api/v1/status/buildinfo", self.url());
        let answer = http_client().get(&asked).send().await.expect("an answer");
        let said: Value = answer.json().await.expect("JSON");
        said["data"]["version"].as_str().expect("version").into()
    }

    /// What experiments and agents name.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a compressed message of remote write 1.0.
    pub async fn write(&self, body: Vec<u8>) {
        let answer = http_client()
            .post(format!("{}/api/v1/write", self.url()))
            .header("content-encoding", "snappy")
            .header("content-type", "application/x-protobuf")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body)
            .send()
            .await
            .expect("Prometheus answers");
        let status = answer.status();
        let said = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "{status} {said}");
    }

    /// The result of an instant query.
    pub async fn query(&self, query: &str, time_ms: u64) -> Vec<Value> {
        let escaped: String = query.bytes().map(|b| format!("%{b:02X}")).collect();
        let url = format!(
            "{}/api/v1/query?query={escaped}&time={}.{:03}",
            self.url(),
            time_ms / 1000,
            time_ms % 1000
        );
        let answer = http_client().get(url).send().await.expect("answers");
        let all: Value = answer.json().await.expect("JSON");
        let result = all["data"]["result"].as_array();
        result.unwrap_or_else(|| panic!("{query}: {all}")).clone()
    }

    /// Ends it.
    pub async fn stop(mut self) {
        Process::stop(&mut self.child).await;
    }
}

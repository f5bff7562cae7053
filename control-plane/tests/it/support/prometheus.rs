//! A real Prometheus with nothing in it.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub struct Prometheus {
    pub address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// `None`, said loudly, where there is none (`scripts/prepare` installs it).
    pub async fn start() -> Option<Prometheus> {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("prometheus.yml"), "").unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", at("data")))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            eprintln!("SKIPPED: no prometheus on this machine (scripts/prepare)");
            return None;
        };
        let prometheus = Prometheus {
            address,
            child,
            _folder: folder,
        };
        let connects = async || {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let up = tokio::time::timeout(Duration::from_secs(60), connects());
        up.await.expect("Prometheus listens");
        Some(prometheus)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

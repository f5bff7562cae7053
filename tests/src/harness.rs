//! Runs the product's own binaries in unique folders on free loopback ports, and ends them.

mod api;
mod collector;
mod process;
mod prometheus;
mod tap;
mod wait;

pub use api::{Api, client as http_client};
pub use collector::{collector, python};
pub use process::{Process, binary};
pub use prometheus::Prometheus;
pub use tap::{Seen, Tap};
pub use wait::{eventually, eventually_for};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Folder of the real captures; `None`, said loudly, where it is absent (a user's clone).
pub fn captures() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("workspace root");
    let here = std::env::var_os("PHOENIX_CAPTURES").map(PathBuf::from);
    let folder = here.unwrap_or_else(|| root.join("../shared/captures"));
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: no captures at {}; set PHOENIX_CAPTURES",
        folder.display()
    );
    None
}

/// A file of the project, by its path from the root.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("workspace root")
        .join(path)
}

/// A running control plane and a client of its API.
pub struct ControlPlane {
    /// The process.
    pub process: Process,
    /// Where API and agents connect.
    pub address: SocketAddr,
    /// A client with the admin token.
    pub api: Api,
    data: PathBuf,
}

impl ControlPlane {
    /// `phoenix serve` with its data in `data`, on `listen` (port 0: a free one).
    pub async fn start(data: &Path, listen: &str) -> ControlPlane {
        let data_text = data.to_str().expect("UTF-8 path");
        let process = Process::start(
            "phoenix",
            &["serve", "--listen", listen, "--data", data_text],
            &[],
        )
        .await;
        let address = process.address("http");
        let token = std::fs::read_to_string(data.join("admin.token")).expect("admin.token");
        let api = Api::new(&format!("http://{address}"), token.trim());
        ControlPlane {
            process,
            address,
            api,
            data: data.to_owned(),
        }
    }

    /// The file with the enrolment token.
    pub fn enrol_token(&self) -> PathBuf {
        self.data.join("enrol.token")
    }

    /// Runs the `phoenix` command against this control plane; its output and exit code.
    pub async fn cli(&self, args: &[&str]) -> (i32, String) {
        let token = std::fs::read_to_string(self.data.join("admin.token")).expect("admin.token");
        let out = tokio::process::Command::new(binary("phoenix"))
            .args(args)
            .env("PHOENIX_URL", format!("http://{}", self.address))
            .env("PHOENIX_TOKEN", token.trim())
            .output()
            .await
            .expect("phoenix runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        (out.status.code().unwrap_or(-1), text)
    }

    /// `phoenix apply` of documents given as text; panics when they are refused.
    pub async fn apply(&self, folder: &Path, documents: &str) {
        let file = folder.join(format!("apply-{}.yaml", rand::random::<u32>()));
        std::fs::write(&file, documents).expect("document written");
        let (code, out) = self
            .cli(&["apply", "-f", file.to_str().expect("UTF-8 path")])
            .await;
        assert_eq!(code, 0, "apply: {out}\n{documents}");
    }
}

/// A running agent.
pub struct Agent {
    /// The process.
    pub process: Process,
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// OTLP/HTTP.
    pub http: SocketAddr,
    /// Metrics, health, debug.
    pub admin: SocketAddr,
}

impl Agent {
    /// `phoenix-agent` with settings given as YAML (without `receivers.otlp` and `admin`, which are
    /// put on free ports), written into `folder`.
    pub async fn start(folder: &Path, name: &str, settings: &str) -> Agent {
        let file = folder.join(format!("{name}.yaml"));
        std::fs::write(&file, settings).expect("settings written");
        let process = Process::start(
            "phoenix-agent",
            &["--settings", file.to_str().expect("UTF-8 path")],
            &[],
        )
        .await;
        let (grpc, http, admin) = (
            process.address("grpc"),
            process.address("http"),
            process.address("admin"),
        );
        Agent {
            process,
            grpc,
            http,
            admin,
        }
    }

    /// JSON of an admin page.
    pub async fn json(&self, path: &str) -> serde_json::Value {
        let text = self.text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}"))
    }

    /// Text of an admin page.
    pub async fn text(&self, path: &str) -> String {
        let response = api::client()
            .get(format!("http://{}{path}", self.admin))
            .send()
            .await
            .expect(path);
        response.text().await.expect("text")
    }

    /// Status of an admin page.
    pub async fn status(&self, path: &str) -> u16 {
        let response = api::client()
            .get(format!("http://{}{path}", self.admin))
            .send()
            .await
            .expect(path);
        response.status().as_u16()
    }
}

/// A load with known truth.
pub struct Fleet {
    /// The process.
    pub process: Process,
    /// Where truth and status are told.
    pub rest: SocketAddr,
}

impl Fleet {
    /// `phoenix-simulator fleet` that sends to `endpoint`.
    pub async fn start(endpoint: SocketAddr, args: &[&str]) -> Fleet {
        let endpoint = format!("http://{endpoint}");
        let mut all = vec!["fleet", "--endpoint", &endpoint];
        all.extend(args);
        let process = Process::start("phoenix-simulator", &all, &[]).await;
        let rest = process.address("rest");
        Fleet { process, rest }
    }

    /// JSON of a question.
    pub async fn ask(&self, path: &str) -> serde_json::Value {
        let response = api::client()
            .get(format!("http://{}{path}", self.rest))
            .send()
            .await
            .expect(path);
        response.json().await.expect("JSON")
    }

    /// Tells it something.
    pub async fn tell(&self, path: &str) {
        api::client()
            .post(format!("http://{}{path}", self.rest))
            .send()
            .await
            .expect(path);
    }

    /// Waits until the last round is sent and gives the points that were accepted.
    pub async fn done(&self) -> u64 {
        eventually("the fleet to finish", async || {
            let status = self.ask("/status").await;
            (status["done"] == true).then(|| status["points"].as_u64().expect("points"))
        })
        .await
    }
}

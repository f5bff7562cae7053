//! The server under test, and the documents that tests apply.

mod agent;
mod lab;
mod prometheus;
mod rest;

pub use agent::FakeAgent;
pub use lab::{Lab, lab, lab_on, none, window};
pub use prometheus::Prometheus;
pub use rest::{Answer, Rest};

use phoenix_control_plane::serve::{ServeArgs, Server};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running control plane.
pub struct Plane {
    pub dir: Arc<TempDir>,
    pub address: SocketAddr,
    pub rest: Rest,
    pub app: Arc<phoenix_control_plane::app::App>,
    lease: Duration,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Plane {
    pub async fn start() -> Plane {
        Plane::leasing(Duration::from_millis(600)).await
    }

    /// With leases of this length.
    pub async fn leasing(lease: Duration) -> Plane {
        Plane::on(Arc::new(TempDir::new().unwrap()), "127.0.0.1:0", lease).await
    }

    async fn on(dir: Arc<TempDir>, listen: &str, lease: Duration) -> Plane {
        let args = ServeArgs {
            lease,
            ..args(dir.path(), listen)
        };
        let server = Server::bind(&args).await.unwrap();
        let (address, app) = (server.address(), server.app());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.run(shutdown.clone()));
        let token = std::fs::read_to_string(dir.path().join("admin.token")).unwrap();
        Plane {
            rest: Rest::new(address, token.trim()),
            dir,
            address,
            app,
            lease,
            shutdown,
            task,
        }
    }

    /// Ends in order.
    pub async fn stop(self) -> Arc<TempDir> {
        self.shutdown.cancel();
        self.task.await.unwrap();
        self.dir
    }

    /// Ends, and starts again on the same folder and port.
    pub async fn restart(self) -> Plane {
        let (address, lease) = (self.address.to_string(), self.lease);
        let dir = self.stop().await;
        Plane::on(dir, &address, lease).await
    }

    pub fn enrol_token(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("enrol.token")).unwrap();
        text.trim().to_owned()
    }

    /// Enrols and connects an agent with the label `env: prod`.
    pub async fn agent(&self, node: &str) -> FakeAgent {
        FakeAgent::enrol(self.address, &self.enrol_token(), node).await
    }

    /// Applies a pipeline; answers its hash.
    pub async fn pipeline(&self, name: &str, drop: &str) -> String {
        let answer = self.rest.post("/pipelines", &pipeline(name, drop)).await;
        assert!(answer.status == 201 || answer.status == 200, "{answer:?}");
        answer.text("/hash")
    }

    pub async fn assign(&self, name: &str, pipeline: &str, priority: i64) -> Answer {
        let path = format!("/assignments/{name}");
        self.rest
            .put(&path, &assignment(name, pipeline, priority))
            .await
    }
}

pub fn args(dir: &Path, listen: &str) -> ServeArgs {
    ServeArgs {
        listen: listen.parse().unwrap(),
        backends: None,
        data: dir.into(),
        plain_text: false,
        tls_cert: None,
        tls_key: None,
        tls_client_ca: None,
        lease: Duration::from_millis(600),
        bake: Duration::from_secs(1),
    }
}

pub fn pipeline(name: &str, drop: &str) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec:\n  stages:\n    \
         - id: cut\n      filter: {{ drop: [ {{ metric: \"{drop}\" }} ] }}\n"
    )
}

pub fn assignment(name: &str, pipeline: &str, priority: i64) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Assignment\nmetadata: {{ name: {name} }}\nspec: {{ selector: \
         {{ matchLabels: {{ env: prod }} }}, pipeline: {pipeline}, priority: {priority} }}\n"
    )
}

pub fn experiment(name: &str, candidate: &str) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: {name} }}\nspec: {{ scope: {{ selector: \
         {{ matchLabels: {{ env: prod }} }} }}, candidate: {candidate}, window: 1s, \
         steps: [{{ step: shadow, minWindows: 2 }}], \
         maxDuration: 1m, goal: {{ saving: points, target: 20% }}, onSuccess: hold }}\n"
    )
}

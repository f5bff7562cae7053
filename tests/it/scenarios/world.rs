//! What most scenarios start: a control plane, an agent, sinks.

use phoenix_simulator::sink;
use phoenix_tests::harness::{Agent, ControlPlane, eventually};
use reqwest::Method;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::PoisonError;
use tempfile::TempDir;

pub struct World {
    pub folder: TempDir,
    pub control: ControlPlane,
    pub agent: Agent,
    pub sink: sink::Running,
    pub shadow: sink::Running,
}

/// A sink in this process that keeps every point.
pub async fn sink() -> sink::Running {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
    sink::start(&sink::Options {
        otlp: any,
        rest: any,
        keep: true,
    })
    .await
    .expect("sink")
}

impl World {
    /// One agent under a control plane; its output goes to `sink`, a shadow candidate's to `shadow`.
    pub async fn start() -> World {
        let folder = tempfile::tempdir().expect("folder");
        let control = ControlPlane::start(&folder.path().join("server"), "127.0.0.1:0").await;
        let (sink, shadow) = (sink().await, sink().await);
        let settings = agent_settings(folder.path(), "n1", &control, sink.otlp, shadow.otlp);
        let agent = Agent::start(folder.path(), "n1", &settings).await;
        World {
            folder,
            control,
            agent,
            sink,
            shadow,
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub async fn apply(&self, documents: &str) {
        self.control.apply(self.folder.path(), documents).await;
    }

    /// Assigns a pipeline to everybody and waits until the agent runs it.
    pub async fn assign(&self, pipeline: &str) -> String {
        let document = assignment(pipeline);
        let (status, body) = self
            .control
            .api
            .send(Method::PUT, "/assignments/all", Some(document))
            .await;
        assert!(status.is_success(), "{status} {body}");
        let hash = self
            .control
            .api
            .get(&format!("/pipelines/{pipeline}"))
            .await["hash"]
            .as_str()
            .expect("hash")
            .to_owned();
        self.active(&hash).await;
        hash
    }

    /// Waits until the agent reports that it runs `hash`.
    pub async fn active(&self, hash: &str) {
        eventually(&format!("{hash} to be active"), async || {
            let agents = self.control.api.try_get("/agents").await?;
            (agents[0]["activeHash"] == hash).then_some(())
        })
        .await;
    }

    /// Waits until the experiment has ended and gives it.
    pub async fn ended(&self, experiment: &str) -> Value {
        phoenix_tests::harness::eventually_for(
            &format!("{experiment} to end"),
            std::time::Duration::from_secs(120),
            async || {
                let found = self
                    .control
                    .api
                    .try_get(&format!("/experiments/{experiment}"))
                    .await?;
                ["Completed", "Failed", "Cancelled"]
                    .contains(&found["phase"].as_str()?)
                    .then_some(found)
            },
        )
        .await
    }

    /// The agent's ledgers; panics when one does not balance.
    pub async fn ledger(&self) -> Value {
        let ledger = self.agent.json("/debug/ledger").await;
        balances(&ledger["baseline"]);
        if !ledger["candidate"].is_null() {
            balances(&ledger["candidate"]);
        }
        ledger
    }
}

/// Settings of an agent under `control`.
pub fn agent_settings(
    folder: &Path,
    node: &str,
    control: &ControlPlane,
    sink: SocketAddr,
    shadow: SocketAddr,
) -> String {
    let state = folder.join(format!("{node}-state"));
    let (state, token) = (state.display(), control.enrol_token());
    let (token, address) = (token.display(), control.address);
    format!(
        r#"
node: {{ name: {node} }}
receivers: {{ otlp: {{ grpc: "127.0.0.1:0", http: "127.0.0.1:0" }} }}
exporters:
  otlp: {{ endpoint: "http://{sink}", protocol: grpc, compression: none }}
  shadow: {{ otlp: {{ endpoint: "http://{shadow}", protocol: grpc, compression: none }} }}
control_plane: {{ endpoint: "http://{address}", token_file: "{token}", reconnect_max: 200ms }}
state: "{state}"
admin: "127.0.0.1:0"
workers: 1
"#
    )
}

/// Everybody runs `pipeline`.
pub fn assignment(pipeline: &str) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Assignment\nmetadata: {{ name: all }}\nspec: {{ selector: {{}}, pipeline: {pipeline}, priority: 0 }}\n"
    )
}

/// A pipeline document around its stages (YAML, indented by four).
pub fn pipeline(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec:\n{spec}\n"
    )
}

/// received = exported + everything else, to the point.
pub fn balances(ledger: &Value) {
    let get = |key: &str| {
        ledger[key]
            .as_i64()
            .unwrap_or_else(|| panic!("{key} in {ledger}"))
    };
    let dropped: i64 = ledger["dropped"]
        .as_object()
        .expect("dropped")
        .values()
        .filter_map(Value::as_i64)
        .sum();
    let rest = [
        "exported",
        "filtered",
        "merged",
        "sampled_out",
        "suppressed",
        "rejected",
        "held",
    ];
    let out: i64 = rest.iter().map(|key| get(key)).sum::<i64>() + dropped;
    assert_eq!(get("received"), out, "{ledger}");
}

/// Runs `f` on a sink's counts.
pub fn counts<T>(sink: &sink::Running, f: impl FnOnce(&mut sink::Sink) -> T) -> T {
    f(&mut sink.sink.lock().unwrap_or_else(PoisonError::into_inner))
}

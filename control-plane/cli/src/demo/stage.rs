//! What runs in the demo: a control plane, three nodes with an agent each, their loads and sinks.

use super::http::Api;
use super::processes::{Running, begin, fresh, text};
use anyhow::Context;
use reqwest::Client;
use std::path::Path;
use std::time::Duration;

/// Nodes of the demo; the first also reads this machine's processes.
const NODES: usize = 3;

/// One node: where what leaves it is counted.
pub struct Node {
    /// As the control plane names it: `default/default/demo-1`.
    pub identity: String,
    /// The next hop.
    pub sink: Api,
    /// Counts what a shadow candidate would have sent.
    pub shadow: Api,
}

/// Everything that runs.
pub struct Stage {
    /// The control plane's API.
    pub api: Api,
    pub nodes: Vec<Node>,
    places: Vec<(String, String)>,
    // In the order in which they end: nothing that was accepted is left behind.
    processes: Vec<Running>,
}

impl Stage {
    /// Starts it; each node gets `hosts` simulated hosts.
    pub async fn start(dir: &Path, hosts: usize) -> anyhow::Result<Stage> {
        let dir = fresh(dir)?;
        let client = client()?;
        let data = text(&dir.join("server"))?;
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data", &data];
        let server = begin(&dir, "server", "phoenix", &serve).await?;
        let token =
            std::fs::read_to_string(dir.join("server/admin.token")).context("admin.token")?;
        let (http, token) = (server.at("http")?.to_owned(), token.trim().to_owned());
        let mut stage = Stage {
            api: Api::new(
                client.clone(),
                format!("http://{http}/api/v1"),
                Some(token.clone()),
            ),
            nodes: Vec::new(),
            places: vec![(
                "API".into(),
                format!("export PHOENIX_URL=http://{http} PHOENIX_TOKEN={token}"),
            )],
            processes: Vec::new(),
        };
        let (mut loads, mut agents, mut sinks) = (Vec::new(), Vec::new(), Vec::new());
        for n in 1..=NODES {
            let (sink, shadow) = stage.node(&dir, &client, &mut sinks, n).await?;
            let settings = dir.join(format!("agent-{n}.yaml"));
            std::fs::write(&settings, agent_settings(&dir, n, &http, &sink, &shadow))?;
            let args = ["--settings", &text(&settings)?];
            let agent = begin(&dir, &format!("agent-{n}"), "phoenix-agent", &args).await?;
            loads.push(load(&dir, n, hosts, agent.at("grpc")?).await?);
            stage.places.push((
                format!("demo-{n}"),
                format!(
                    "OTLP/gRPC {}, curl http://{}/metrics, sink curl http://{}",
                    agent.at("grpc")?,
                    agent.at("admin")?,
                    sinks
                        .get(2 * n - 2)
                        .map_or(Ok(""), |s: &Running| s.at("rest"))?,
                ),
            ));
            agents.push(agent);
        }
        stage.processes = loads.into_iter().chain(agents).collect();
        stage.processes.push(server);
        stage.processes.extend(sinks);
        Ok(stage)
    }

    /// The sinks of a node; their OTLP addresses.
    async fn node(
        &mut self,
        dir: &Path,
        client: &Client,
        sinks: &mut Vec<Running>,
        n: usize,
    ) -> anyhow::Result<(String, String)> {
        let sink = begin(dir, &format!("sink-{n}"), "phoenix-simulator", &["sink"]).await?;
        let shadow = begin(
            dir,
            &format!("shadow-sink-{n}"),
            "phoenix-simulator",
            &["sink"],
        )
        .await?;
        let rest = |sink: &Running| {
            let at = format!("http://{}", sink.at("rest")?);
            anyhow::Ok(Api::new(client.clone(), at, None))
        };
        self.nodes.push(Node {
            identity: format!("default/default/demo-{n}"),
            sink: rest(&sink)?,
            shadow: rest(&shadow)?,
        });
        let at = (sink.at("otlp")?.to_owned(), shadow.at("otlp")?.to_owned());
        sinks.extend([sink, shadow]);
        Ok(at)
    }

    /// Prints what can be tried by hand.
    pub fn addresses(&self) {
        println!("\nStill up (Ctrl-C ends it):");
        for (name, place) in &self.places {
            println!("  {name:<6} {place}");
        }
    }

    /// SIGTERM to each; each must end with 0.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for running in &mut self.processes {
            running.stop().await?;
        }
        Ok(())
    }
}

/// A fleet of its own for node `n`.
async fn load(dir: &Path, n: usize, hosts: usize, endpoint: &str) -> anyhow::Result<Running> {
    let (seed, first) = (n.to_string(), (100 * n).to_string());
    let (hosts, endpoint) = (hosts.to_string(), format!("http://{endpoint}"));
    let args = [
        "fleet",
        "--seed",
        &seed,
        "--first",
        &first,
        "--hosts",
        &hosts,
        "--processes",
        "24",
        "--services",
        "2",
        "--customers",
        "50",
        "--endpoint",
        &endpoint,
    ];
    begin(dir, &format!("load-{n}"), "phoenix-simulator", &args).await
}

fn client() -> anyhow::Result<Client> {
    // reqwest wants a TLS configuration also for plain text; the demo never leaves loopback.
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()?)
}

fn agent_settings(dir: &Path, n: usize, server: &str, sink: &str, shadow: &str) -> String {
    let host = match n {
        1 => "\n  host: { every: 1s }",
        _ => "",
    };
    format!(
        r#"node: {{ name: demo-{n} }}
receivers:
  otlp: {{ grpc: "127.0.0.1:0", http: "127.0.0.1:0" }}{host}
exporters:
  otlp: {{ endpoint: "http://{sink}", protocol: grpc, compression: none }}
  shadow: {{ otlp: {{ endpoint: "http://{shadow}", protocol: grpc, compression: none }} }}
control_plane: {{ endpoint: "http://{server}", token_file: "{dir}/server/enrol.token" }}
state: "{dir}/agent-{n}"
admin: "127.0.0.1:0"
workers: 1
"#,
        dir = dir.display(),
    )
}

//! The processes of the demo: started on free ports, logs in one folder, ended with it.

use super::http::Api;
use anyhow::{Context, bail, ensure};
use reqwest::Client;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Everything that runs.
pub struct Stage {
    /// The control plane's API.
    pub api: Api,
    /// The next hop: counts what leaves the node.
    pub sink: Api,
    /// Counts what the candidate would have sent.
    pub shadow: Api,
    places: Vec<(&'static str, String)>,
    // The agent first: it drains into the sinks.
    processes: Vec<Running>,
}

struct Running {
    name: &'static str,
    child: Child,
    addresses: BTreeMap<String, String>,
}

impl Stage {
    pub async fn start(dir: &Path, hosts: usize) -> anyhow::Result<Stage> {
        let dir = fresh(dir)?;
        let client = client()?;
        let sink = begin(&dir, "sink", "phoenix-simulator", &["sink"]).await?;
        let shadow = begin(&dir, "shadow-sink", "phoenix-simulator", &["sink"]).await?;
        let data = text(&dir.join("server"))?;
        let server = begin(
            &dir,
            "server",
            "phoenix",
            &["serve", "--listen", "127.0.0.1:0", "--data", &data],
        )
        .await?;
        let token =
            std::fs::read_to_string(dir.join("server/admin.token")).context("admin.token")?;
        let settings = dir.join("agent.yaml");
        std::fs::write(&settings, agent_settings(&dir, &server, &sink, &shadow)?)?;
        let agent = begin(
            &dir,
            "agent",
            "phoenix-agent",
            &["--settings", &text(&settings)?],
        )
        .await?;
        let endpoint = format!("http://{}", agent.at("grpc")?);
        let hosts = hosts.to_string();
        let load = [
            "fleet",
            "--hosts",
            &hosts,
            "--processes",
            "24",
            "--services",
            "4",
            "--endpoint",
            &endpoint,
        ];
        let fleet = begin(&dir, "load", "phoenix-simulator", &load).await?;
        let base = |at: &str| format!("http://{at}");
        let stage = Stage {
            api: Api::new(
                client.clone(),
                format!("http://{}/api/v1", server.at("http")?),
                Some(token.trim().to_owned()),
            ),
            sink: Api::new(client.clone(), base(sink.at("rest")?), None),
            shadow: Api::new(client, base(shadow.at("rest")?), None),
            places: vec![
                (
                    "API",
                    format!(
                        "export PHOENIX_URL=http://{} PHOENIX_TOKEN={}",
                        server.at("http")?,
                        token.trim()
                    ),
                ),
                (
                    "agent",
                    format!(
                        "OTLP/gRPC {}, OTLP/HTTP {}, curl http://{}/metrics",
                        agent.at("grpc")?,
                        agent.at("http")?,
                        agent.at("admin")?
                    ),
                ),
                ("sink", format!("curl http://{}/totals", sink.at("rest")?)),
                ("load", format!("curl http://{}/truth", fleet.at("rest")?)),
            ],
            processes: vec![fleet, agent, server, sink, shadow],
        };
        Ok(stage)
    }

    /// Prints what can be tried by hand.
    pub fn addresses(&self) {
        println!("\nStill up (Ctrl-C ends it):");
        for (name, place) in &self.places {
            println!("  {name:<6} {place}");
        }
    }

    /// SIGTERM to each, in an order in which nothing accepted is left behind; each must end with 0.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for running in &mut self.processes {
            let Some(id) = running.child.id() else {
                bail!("{} ended before its time", running.name)
            };
            Command::new("kill")
                .args(["-TERM", &id.to_string()])
                .status()
                .await
                .context("kill")?;
            let status = tokio::time::timeout(Duration::from_secs(30), running.child.wait())
                .await
                .with_context(|| format!("{} does not end", running.name))??;
            ensure!(status.success(), "{} ended with {status}", running.name);
        }
        Ok(())
    }
}

impl Running {
    fn at(&self, key: &str) -> anyhow::Result<&str> {
        let found = self.addresses.get(key).map(String::as_str);
        found.with_context(|| format!("{} did not say where it listens for {key}", self.name))
    }
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

/// The demo's folder, emptied; only a folder that a demo made is emptied.
fn fresh(dir: &Path) -> anyhow::Result<PathBuf> {
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

fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path
        .to_str()
        .context("the folder's path is not UTF-8")?
        .to_owned())
}

async fn begin(
    dir: &Path,
    name: &'static str,
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
        name,
        child,
        addresses,
    })
}

fn agent_settings(
    dir: &Path,
    server: &Running,
    sink: &Running,
    shadow: &Running,
) -> anyhow::Result<String> {
    Ok(format!(
        r#"node: {{ name: demo-node }}
receivers:
  otlp: {{ grpc: "127.0.0.1:0", http: "127.0.0.1:0" }}
  host: {{ every: 1s }}
exporters:
  otlp: {{ endpoint: "http://{sink}", protocol: grpc, compression: none }}
  shadow: {{ otlp: {{ endpoint: "http://{shadow}", protocol: grpc, compression: none }} }}
control_plane: {{ endpoint: "http://{server}", token_file: "{dir}/server/enrol.token" }}
state: "{dir}/agent"
admin: "127.0.0.1:0"
workers: 1
"#,
        sink = sink.at("otlp")?,
        shadow = shadow.at("otlp")?,
        server = server.at("http")?,
        dir = dir.display(),
    ))
}

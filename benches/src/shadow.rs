//! What a shadow costs a whole process: an agent under a control plane that runs one pipeline, or the same
//! with an experiment whose candidate sees everything and exports nothing.

use crate::process::{Load, Measured, Peer, measure, start};
use crate::rows::{Row, free};
use crate::sink;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A control plane; killed when dropped.
struct Server {
    child: Child,
    program: PathBuf,
    url: String,
    token: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(program: &Path, folder: &Path) -> anyhow::Result<Server> {
        let (data, listen) = (folder.join("server"), free()?.to_string());
        let child = Command::new(program)
            .args(["serve", "--listen", &listen, "--data"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Server {
            child,
            program: program.to_owned(),
            url: format!("http://{listen}"),
            token: data.join("admin.token"),
        })
    }

    /// Output of `phoenix ARGS` at this server.
    fn ask(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .args(args)
            .args(["--url", &self.url, "--token-file"])
            .arg(&self.token)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "phoenix {}: {said}",
            args.join(" ")
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Until `phoenix ARGS` says `word`.
    async fn until(&self, args: &[&str], word: &str) -> anyhow::Result<()> {
        let mut last = Ok(String::new());
        for _ in 0..300 {
            last = self.ask(args);
            if last.as_ref().is_ok_and(|text| text.contains(word)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::bail!("no {word} in a minute: {}", last?)
    }
}

/// One run of `row`'s stages in the agent at `agent` under a control plane, with the same stages in a
/// shadow beside them where `shadow` says so.
///
/// # Errors
/// A process could not be started, the candidate did not run to the end, or nothing came out.
pub async fn run(
    row: &Row,
    load: &Load,
    agent: &Path,
    phoenix: &Path,
    shadow: bool,
) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (sink, received) = sink::start().await?;
    let server = Server::start(phoenix, folder)?;
    server
        .until(&["get", "pipelines", "-o", "json"], "[")
        .await?;
    let documents = folder.join("documents.yaml");
    std::fs::write(&documents, text(row, shadow))?;
    let documents = documents.to_str().context("UTF-8 path")?;
    server.ask(&["apply", "-f", documents])?;

    let grpc = free()?;
    let settings = folder.join("settings.yaml");
    std::fs::write(
        &settings,
        format!(
            "node: {{ name: n1 }}\n\
             receivers: {{ otlp: {{ grpc: \"{grpc}\" }} }}\n\
             exporters: {{ otlp: {{ endpoint: \"http://{sink}\", protocol: grpc, compression: none }} }}\n\
             control_plane: {{ endpoint: \"{}\", token_file: \"{}\" }}\n\
             state: \"{}\"\n\
             admin: \"{}\"\n\
             workers: 1\n\
             limits: {{ memory: 2GiB, series: 2000000 }}\n",
            server.url,
            folder.join("server/enrol.token").display(),
            folder.join("state").display(),
            free()?,
        ),
    )?;
    let settings = settings.to_str().context("UTF-8 path")?;
    let peer: Peer = start(agent, &["--settings", settings])?;
    let running = ["get", "experiments", "shadow", "-o", "json"];
    let pipeline = server.ask(&["get", "pipelines", "one", "-o", "json"])?;
    let hash = pipeline.split("\"hash\": \"").nth(1).unwrap_or_default();
    let hash = hash.split('"').next().unwrap_or_default();
    let active = format!("\"activeHash\": \"{hash}\"");
    server
        .until(&["get", "agents", "-o", "json"], &active)
        .await?;
    if shadow {
        server.ask(&["experiment", "start", "shadow"])?;
        server.until(&running, "\"phase\": \"Running\"").await?;
    }
    let measured = measure(&peer, grpc, &received, load).await?;
    if shadow {
        server.until(&running, "\"phase\": \"Running\"").await?;
    }
    Ok(measured)
}

fn text(row: &Row, shadow: bool) -> String {
    let pipeline = |name: &str, stages: &str| {
        format!(
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec: {{ stages: [ {stages} ] }}\n---\n"
        )
    };
    let mut text = pipeline("one", row.stages)
        + "apiVersion: phoenix/v1\nkind: Assignment\nmetadata: { name: all }\nspec: { selector: {}, pipeline: one, priority: 0 }\n";
    if shadow {
        // Other stages by name, so that it is another pipeline.
        text += "---\n";
        text += &pipeline("two", &row.stages.replace("{ id: ", "{ id: other-"));
        text += "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: { name: shadow }\n\
                 spec: { baseline: one, candidate: two, steps: [ { step: shadow, minWindows: 1000 } ], \
                 maxDuration: 12h, goal: { saving: points, target: 1% } }\n";
    }
    text
}

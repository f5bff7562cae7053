//! The rows of the whole-process table: what agent and Collector do, and the settings for it.

use crate::load::Encoding;
use crate::process::{Load, Measured, Peer, at_rest, measure, start};
use crate::resident::{Resident, Watch};
use crate::sink;
use crate::stream::Kind;
use anyhow::Context;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Frames of senders that use what the receiver offers.
pub const LARGE: usize = 1 << 20;
/// Frames of grpc-go, whatever the receiver offers.
pub const GO: usize = 16 << 10;

/// What both processes do.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// The agent's stages.
    pub stages: &'static str,
    /// The Collector's processors.
    pub processors: &'static str,
    /// How requests come and go.
    pub encoding: Encoding,
    /// Budget of CPU seconds per million points, large frames.
    pub budget: f64,
    /// How many times less CPU than the Collector's it is to be; 0: not asked for.
    pub ratio: f64,
    /// Until everything that is held has left.
    pub settle: Duration,
}

const FILTER: &str = "{ id: f, filter: { drop: [ { metric: app.requests.3 } ] } }";
const PASSING: Duration = Duration::from_millis(1500);

/// The rows of the budgets.
pub fn rows() -> Vec<Row> {
    let aggregate = concat!(
        "{ id: f, filter: { drop: [ { metric: app.requests.3 } ] } }, ",
        "{ id: a, aggregate: { match: { metric: \"app.*\" }, without: [client.address, customer.id], interval: 5s, lateness: 1s } }"
    );
    let row = |name, stages, processors, encoding, budget, ratio| Row {
        name,
        stages,
        processors,
        encoding,
        budget,
        ratio,
        settle: PASSING,
    };
    vec![
        row("pass through", "", "", Encoding::None, 0.30, 0.0),
        row("filter 25 %", FILTER, "filter", Encoding::None, 0.30, 7.0),
        Row {
            settle: Duration::from_millis(7500),
            ..row(
                "filter + aggregate + batch",
                aggregate,
                "filter, metricstransform, batch",
                Encoding::None,
                0.40,
                10.0,
            )
        },
        row(
            "gzip both ways + filter",
            FILTER,
            "filter",
            Encoding::Gzip,
            0.90,
            6.0,
        ),
        row(
            "zstd both ways + filter",
            FILTER,
            "filter",
            Encoding::Zstd,
            0.70,
            0.0,
        ),
    ]
}

/// Who does it.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// The agent's binary.
    Agent(&'a Path),
    /// A Collector's binary.
    Collector(&'a Path),
}

impl Row {
    /// The row's load.
    pub fn load(&self, series: usize, points: u64, frame: usize) -> Load {
        Load {
            series,
            points,
            encoding: self.encoding,
            frame,
            kind: Kind::Number,
            alike: false,
            settle: self.settle,
        }
    }

    /// One run.
    ///
    /// # Errors
    /// The process could not be started, refused a request, or nothing came out.
    pub async fn run(&self, who: Who<'_>, load: &Load) -> anyhow::Result<Measured> {
        let folder = tempfile::tempdir()?;
        let (sink, received) = sink::start().await?;
        let (peer, grpc) = self.start(who, folder.path(), sink)?;
        measure(&peer, grpc, &received, load).await
    }

    /// Where the resident memory lay at its highest, in one run. Looking costs the process a little
    /// CPU, so that it is not measured in the same run.
    ///
    /// # Errors
    /// As `run`.
    pub async fn resident(&self, who: Who<'_>, load: &Load) -> anyhow::Result<Resident> {
        let folder = tempfile::tempdir()?;
        let (sink, received) = sink::start().await?;
        let (peer, grpc) = self.start(who, folder.path(), sink)?;
        let mut watch = Watch::default();
        tokio::select! {
            measured = measure(&peer, grpc, &received, load) => measured.map(drop)?,
            broken = watch.follow(peer.id()) => broken?,
        }
        Ok(watch.highest)
    }

    fn start(
        &self,
        who: Who<'_>,
        folder: &Path,
        sink: SocketAddr,
    ) -> anyhow::Result<(Peer, SocketAddr)> {
        let grpc = free()?;
        let (program, flag, text) = match who {
            Who::Agent(path) => (path, "--settings", self.agent(folder, grpc, sink)?),
            Who::Collector(path) => (path, "--config", self.collector(grpc, sink)),
        };
        let file = folder.join("settings.yaml");
        std::fs::write(&file, text)?;
        let peer = start(program, &[flag, file.to_str().context("UTF-8 path")?])?;
        Ok((peer, grpc))
    }

    fn agent(&self, folder: &Path, grpc: SocketAddr, sink: SocketAddr) -> anyhow::Result<String> {
        let (admin, stages) = (free()?, self.stages);
        let pipeline = folder.join("p.yaml");
        std::fs::write(
            &pipeline,
            format!(
                "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: [ {stages} ] }}\n"
            ),
        )?;
        Ok(format!(
            "node: {{ name: n1 }}\n\
             receivers: {{ otlp: {{ grpc: \"{grpc}\" }} }}\n\
             exporters: {{ otlp: {{ endpoint: \"http://{sink}\", protocol: grpc, compression: {} }} }}\n\
             pipeline: {{ file: \"{}\" }}\n\
             admin: \"{admin}\"\n\
             workers: 1\n\
             limits: {{ memory: 2GiB, series: 2000000 }}\n",
            self.encoding.name(),
            pipeline.display()
        ))
    }

    fn collector(&self, grpc: SocketAddr, sink: SocketAddr) -> String {
        let (processors, compression) = (self.processors, self.encoding.name());
        format!(
            "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: \"{grpc}\", max_recv_msg_size_mib: 64 }} }} }} }}\n\
             processors:\n  \
               batch: {{ send_batch_size: 8192, timeout: 200ms }}\n  \
               filter: {{ metrics: {{ exclude: {{ match_type: strict, metric_names: [app.requests.3] }} }} }}\n  \
               metricstransform: {{ transforms: [ {{ include: \"^app\\\\..*\", match_type: regexp, action: update, operations: [ {{ action: aggregate_labels, label_set: [http.request.method, http.route, server.address, status], aggregation_type: sum }} ] }} ] }}\n\
             exporters: {{ otlp: {{ endpoint: \"{sink}\", tls: {{ insecure: true }}, compression: {compression}, sending_queue: {{ enabled: false }} }} }}\n\
             service:\n  \
               telemetry: {{ metrics: {{ level: none }} }}\n  \
               pipelines: {{ metrics: {{ receivers: [otlp], processors: [{processors}], exporters: [otlp] }} }}\n"
        )
    }
}

/// Resident bytes of an agent that does nothing.
///
/// # Errors
/// It does not start.
pub async fn rest(agent: &Path) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let (grpc, sink) = (free()?, free()?);
    let rows = rows();
    let row = rows.first().context("rows")?;
    let file = folder.path().join("settings.yaml");
    std::fs::write(&file, row.agent(folder.path(), grpc, sink)?)?;
    let peer = start(agent, &["--settings", file.to_str().context("UTF-8 path")?])?;
    at_rest(&peer, grpc).await
}

pub(crate) fn free() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

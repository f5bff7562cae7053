//! The destinations of the settings: a queue and a task for each.

use super::StartError;
use crate::exporters::file::FileSink;
use crate::exporters::otlp::OtlpSink;
use crate::exporters::queue::Queue;
use crate::exporters::remote_write::RemoteWriteSink;
use crate::exporters::{Exporter, Sink};
use crate::settings::{
    Batch, FileExporter, OtlpExporter, RemoteWriteExporter, Retry, Settings, ShadowExporter,
    WitnessExporter,
};
use crate::worker::Outlets;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may wait for a file.
pub const FILE_QUEUE: usize = 16 << 20;

/// The queues and the tasks behind them; the first destination is the one that the ledger follows.
pub fn exporters(settings: &Settings) -> Result<(Outlets, Vec<Exporter>), StartError> {
    let mut next = Vec::new();
    if let Some(otlp) = &settings.exporters.otlp {
        next.extend(otlp_exporters("otlp", otlp, settings.workers)?);
    }
    if let Some(remote) = &settings.exporters.remote_write {
        next.extend(remote_write_exporters(
            "remote_write",
            remote,
            settings.workers,
        )?);
    }
    if let Some(file) = &settings.exporters.file {
        next.push(file_exporter("file", file.clone(), settings.workers)?);
    }
    let shadow = match &settings.exporters.shadow {
        Some(ShadowExporter::Otlp(otlp)) => otlp_exporters("shadow", otlp, settings.workers)?,
        Some(ShadowExporter::RemoteWrite(remote)) => {
            remote_write_exporters("shadow", remote, settings.workers)?
        }
        Some(ShadowExporter::File(file)) => {
            vec![file_exporter("shadow", file.clone(), settings.workers)?]
        }
        None => Vec::new(),
    };
    let mut witness = Vec::new();
    if let Some(settings_of) = &settings.exporters.witness {
        for arm in ["baseline", "candidate"] {
            witness.push(witness_exporters(arm, settings_of, settings.workers)?);
        }
    }
    // The exporters of one destination share its queue; the first stands for all.
    let firsts = next.iter().filter(|e| e.lane.is_none_or(|lane| lane == 0));
    let mut queues = firsts.map(|e| e.queue.clone());
    let Some(next_hop) = queues.next() else {
        return Err(StartError::Exporter {
            name: "otlp",
            message: "no exporter is set, so every point would be lost".to_owned(),
        });
    };
    let outlets = Outlets {
        next_hop,
        copies: queues.collect(),
        shadow: shadow.first().map(|e| e.queue.clone()),
        witness: match witness.as_slice() {
            [baseline, candidate] => baseline
                .first()
                .zip(candidate.first())
                .map(|(a, b)| [a.queue.clone(), b.queue.clone()]),
            _ => None,
        },
    };
    next.extend(shadow);
    next.extend(witness.into_iter().flatten());
    Ok((outlets, next))
}

fn otlp_exporters(
    name: &'static str,
    otlp: &OtlpExporter,
    workers: usize,
) -> Result<Vec<Exporter>, StartError> {
    let queue = Arc::new(Queue::with_lanes(otlp.queue_bytes, workers));
    let sink = || OtlpSink::new(otlp.clone()).map(|sink| Sink::Otlp(Box::new(sink)));
    one_a_lane(name, &queue, sink, (otlp.batch, otlp.retry))
}

fn remote_write_exporters(
    name: &'static str,
    remote: &RemoteWriteExporter,
    workers: usize,
) -> Result<Vec<Exporter>, StartError> {
    let queue = Arc::new(Queue::with_lanes(remote.queue_bytes, workers));
    let sink =
        || RemoteWriteSink::new(remote.clone()).map(|sink| Sink::RemoteWrite(Box::new(sink)));
    one_a_lane(name, &queue, sink, (remote.batch, remote.retry))
}

fn witness_exporters(
    arm: &'static str,
    settings: &WitnessExporter,
    workers: usize,
) -> Result<Vec<Exporter>, StartError> {
    let remote = &settings.remote_write;
    let queue = Arc::new(Queue::with_lanes(remote.queue_bytes, workers));
    let sink = || RemoteWriteSink::witness(settings, arm).map(|s| Sink::RemoteWrite(Box::new(s)));
    one_a_lane("witness", &queue, sink, (remote.batch, remote.retry))
}

/// One a worker, each with its lane and its connection, on the worker's thread.
fn one_a_lane(
    name: &'static str,
    queue: &Arc<Queue>,
    sink: impl Fn() -> Result<Sink, String>,
    (batch, retry): (Batch, Retry),
) -> Result<Vec<Exporter>, StartError> {
    let one = |lane| {
        let sink = sink().map_err(|message| StartError::Exporter { name, message })?;
        let mut exporter = Exporter::new(name, queue.clone(), sink, batch, retry);
        exporter.lane = Some(lane);
        Ok(exporter)
    };
    (0..queue.lanes()).map(one).collect()
}

/// One for all workers: a file has one writer.
fn file_exporter(
    name: &'static str,
    file: FileExporter,
    workers: usize,
) -> Result<Exporter, StartError> {
    let queue = Arc::new(Queue::with_lanes(FILE_QUEUE, workers));
    let sink = FileSink::open(file).map_err(|message| StartError::Exporter { name, message })?;
    let batch = Batch {
        points: 8192,
        bytes: 1 << 20,
        timeout: Duration::from_millis(200),
    };
    let retry = Retry {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(30),
        give_up: None,
    };
    Ok(Exporter::new(name, queue, Sink::File(sink), batch, retry))
}

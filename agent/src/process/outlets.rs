//! The destinations of the settings: a queue and a task for each.

use super::StartError;
use crate::exporters::file::FileSink;
use crate::exporters::otlp::OtlpSink;
use crate::exporters::queue::Queue;
use crate::exporters::{Exporter, Sink};
use crate::settings::{Batch, FileExporter, OtlpExporter, Retry, Settings, ShadowExporter};
use crate::worker::Outlets;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may wait for a file.
pub const FILE_QUEUE: usize = 16 << 20;

/// The queues and the tasks behind them; the first destination is the one that the ledger follows.
pub fn exporters(settings: &Settings) -> Result<(Outlets, Vec<Exporter>), StartError> {
    let mut next = Vec::new();
    if let Some(otlp) = &settings.exporters.otlp {
        next.push(otlp_exporter("otlp", otlp.clone())?);
    }
    if let Some(file) = &settings.exporters.file {
        next.push(file_exporter("file", file.clone())?);
    }
    let shadow = match &settings.exporters.shadow {
        Some(ShadowExporter::Otlp(otlp)) => Some(otlp_exporter("shadow", (**otlp).clone())?),
        Some(ShadowExporter::File(file)) => Some(file_exporter("shadow", file.clone())?),
        None => None,
    };
    let mut queues = next.iter().map(|e| e.queue.clone());
    let Some(next_hop) = queues.next() else {
        return Err(StartError::Exporter {
            name: "otlp",
            message: "no exporter is set, so every point would be lost".to_owned(),
        });
    };
    let outlets = Outlets {
        next_hop,
        copies: queues.collect(),
        shadow: shadow.as_ref().map(|e| e.queue.clone()),
    };
    next.extend(shadow);
    Ok((outlets, next))
}

fn otlp_exporter(name: &'static str, otlp: OtlpExporter) -> Result<Exporter, StartError> {
    let queue = Arc::new(Queue::new(otlp.queue_bytes));
    let (batch, retry) = (otlp.batch, otlp.retry);
    let sink = OtlpSink::new(otlp).map_err(|message| StartError::Exporter { name, message })?;
    Ok(Exporter::new(
        name,
        queue,
        Sink::Otlp(Box::new(sink)),
        batch,
        retry,
    ))
}

fn file_exporter(name: &'static str, file: FileExporter) -> Result<Exporter, StartError> {
    let queue = Arc::new(Queue::new(FILE_QUEUE));
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

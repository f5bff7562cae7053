//! Requests of the real captures.

use anyhow::{Context, ensure};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use std::path::{Path, PathBuf};

/// Folder of the real captures, if it is there.
pub fn captures() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let named = std::env::var_os("PHOENIX_CAPTURES").map(PathBuf::from);
    Some(named.unwrap_or_else(|| root.join("../shared/captures"))).filter(|f| f.is_dir())
}

/// The messages of a `.binpb.zst` capture: a 4-byte big-endian length before each.
///
/// # Errors
/// A file that cannot be read or ends within a message.
pub fn read(path: &Path) -> anyhow::Result<Vec<Bytes>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let all = Bytes::from(zstd::decode_all(file)?);
    let mut messages = Vec::new();
    let mut at = 0;
    while at < all.len() {
        ensure!(at + 4 <= all.len(), "ends within a length at byte {at}");
        let length = u32::from_be_bytes([all[at], all[at + 1], all[at + 2], all[at + 3]]) as usize;
        ensure!(
            at + 4 + length <= all.len(),
            "ends within a message at byte {at}"
        );
        messages.push(all.slice(at + 4..at + 4 + length));
        at += 4 + length;
    }
    Ok(messages)
}

/// Points of a request, by the generated types.
pub fn points(request: &ExportMetricsServiceRequest) -> usize {
    let metrics = request
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics);
    metrics
        .map(|m| match &m.data {
            Some(Data::Gauge(g)) => g.data_points.len(),
            Some(Data::Sum(s)) => s.data_points.len(),
            Some(Data::Histogram(h)) => h.data_points.len(),
            Some(Data::ExponentialHistogram(h)) => h.data_points.len(),
            Some(Data::Summary(s)) => s.data_points.len(),
            None => 0,
        })
        .sum()
}

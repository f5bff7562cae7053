//! Looking at a request without an engine: its times, its points, what they belong to.

use super::{Limits, Refusal};
use crate::Nanos;
use crate::view::{PointView, SeriesView};
use crate::wire::index::Index;
use crate::wire::normalise::normalise;
use crate::wire::walk::{NoMemo, walk};
use bytes::Bytes;

/// Validates a request as `feed` does, and gives its index and, where it had a rare shape, the
/// bytes that the index is of instead.
fn index(request: &[u8]) -> Result<(Index, Option<Bytes>), Refusal> {
    let limits = Limits {
        elements: usize::MAX,
        ..Limits::default()
    };
    let mut index = Index::default();
    walk(request, &limits, &mut NoMemo, &mut index)?;
    let mut usual = None;
    if !index.rare.is_empty() {
        usual = Some(normalise(request, &limits, &mut NoMemo, &mut index)?);
    }
    Ok((index, usual))
}

/// The largest point time of a request; `None` without points.
///
/// # Errors
/// The request is malformed.
pub fn latest_time(request: &[u8]) -> Result<Option<Nanos>, Refusal> {
    Ok(index(request)?.0.points.iter().map(|p| p.time).max())
}

/// The smallest point time of a request; `None` without points.
///
/// # Errors
/// The request is malformed.
pub fn earliest_time(request: &[u8]) -> Result<Option<Nanos>, Refusal> {
    Ok(index(request)?.0.points.iter().map(|p| p.time).min())
}

/// Number of points in a request.
///
/// # Errors
/// The request is malformed.
pub fn count_points(request: &[u8]) -> Result<u64, Refusal> {
    Ok(index(request)?.0.points.len() as u64)
}

/// Shows every point of a request with the series that it belongs to, in wire order. Points that
/// the engine would reject one by one (no value, too many attributes) are shown too.
///
/// # Errors
/// The request is malformed.
pub fn for_each_point(
    request: &[u8],
    mut show: impl FnMut(&SeriesView<'_>, &PointView<'_>),
) -> Result<(), Refusal> {
    let (index, usual) = index(request)?;
    let data = usual.as_deref().unwrap_or(request);
    for point in &index.points {
        if let Some(series) = index.series(point, data) {
            show(&series, &point.view(series.metric.kind, data));
        }
    }
    Ok(())
}

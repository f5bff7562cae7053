//! Looking at a request without an engine: its times, its points.

use super::{Limits, Refusal};
use crate::Nanos;
use crate::wire::index::Index;
use crate::wire::walk::{NoMemo, walk};

/// Validates a request as `feed` does, and gives its index.
fn index(request: &[u8]) -> Result<Index, Refusal> {
    let limits = Limits {
        elements: usize::MAX,
        ..Limits::default()
    };
    let mut index = Index::default();
    walk(request, &limits, &mut NoMemo, &mut index)?;
    if !index.rare.is_empty() {
        crate::wire::normalise::normalise(request, &limits, &mut NoMemo, &mut index)?;
    }
    Ok(index)
}

/// The largest point time of a request; `None` without points.
///
/// # Errors
/// The request is malformed.
pub fn latest_time(request: &[u8]) -> Result<Option<Nanos>, Refusal> {
    Ok(index(request)?.points.iter().map(|p| p.time).max())
}

/// The smallest point time of a request; `None` without points.
///
/// # Errors
/// The request is malformed.
pub fn earliest_time(request: &[u8]) -> Result<Option<Nanos>, Refusal> {
    Ok(index(request)?.points.iter().map(|p| p.time).min())
}

/// Number of points in a request.
///
/// # Errors
/// The request is malformed.
pub fn count_points(request: &[u8]) -> Result<u64, Refusal> {
    Ok(index(request)?.points.len() as u64)
}

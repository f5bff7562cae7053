//! Captures as a plain sequence of messages, for whoever runs an engine over them.

use super::merge::{self, Captures};
use bytes::Bytes;
use indicatif::ProgressBar;
use phoenix_engine::Nanos;
use phoenix_engine::engine::Refusal;
use std::path::PathBuf;

/// The smallest point time of all.
///
/// # Errors
/// A capture is wrong, with its name and the offset.
pub fn began(files: &[PathBuf]) -> anyhow::Result<Nanos> {
    let seen = merge::look(files, &ProgressBar::hidden())?;
    Ok(seen.earliest.unwrap_or_default())
}

/// All messages in event time.
///
/// # Errors
/// A capture is wrong, or `f` refused a message of it.
pub fn each(
    files: &[PathBuf],
    mut f: impl FnMut(&Bytes) -> Result<(), Refusal>,
) -> anyhow::Result<()> {
    let hidden = ProgressBar::hidden();
    for next in Captures::open(files, &hidden)? {
        let (path, message) = next?;
        f(&message.bytes).map_err(|error| merge::refused(&path, message.offset, &error))?;
    }
    Ok(())
}

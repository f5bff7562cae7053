//! Several captures as one stream of messages in event time.

use anyhow::{Context, anyhow};
use indicatif::ProgressBar;
use phoenix_agent::capture::{CaptureError, Message, Reader};
use phoenix_engine::Nanos;
use phoenix_engine::engine::{Refusal, earliest_time, latest_time};
use std::path::{Path, PathBuf};

/// What a first look at captures tells.
#[derive(Debug, Default)]
pub struct Seen {
    /// The smallest point time of all.
    pub earliest: Option<Nanos>,
}

/// Reads all captures once, so that a broken one is told before anything is written.
///
/// # Errors
/// A capture is wrong, with its name and the offset.
pub fn look(paths: &[PathBuf], progress: &ProgressBar) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    for path in paths {
        let before = progress.position();
        let mut reader = Reader::open(path)?;
        while let Some(message) = reader.next() {
            let message = message?;
            let time = earliest_time(&message.bytes)
                .map_err(|error| refused(path, message.offset, &error))?;
            seen.earliest = [seen.earliest, time].into_iter().flatten().min();
            progress.set_position(before + reader.consumed());
        }
    }
    Ok(seen)
}

/// A message that the engine refuses, as an error of its capture.
pub fn refused(path: &Path, offset: u64, error: &Refusal) -> anyhow::Error {
    if offset == 0 {
        let what = format!("the first message is no OTLP metrics ({error})");
        return anyhow!(CaptureError::NotACapture {
            path: path.to_path_buf(),
            offset,
            what,
        });
    }
    anyhow!(CaptureError::Malformed {
        path: path.to_path_buf(),
        offset,
        what: error.to_string(),
    })
}

/// Open captures. Gives the message that is next in time; each capture keeps its own order.
#[derive(Debug)]
pub struct Captures<'a> {
    open: Vec<Open>,
    progress: &'a ProgressBar,
    base: u64,
}

#[derive(Debug)]
struct Open {
    reader: Reader,
    next: Option<(Nanos, Message)>,
}

impl Open {
    fn advance(&mut self) -> anyhow::Result<Option<(Nanos, Message)>> {
        let next = match self.reader.next() {
            None => None,
            Some(message) => {
                let message = message?;
                let time = latest_time(&message.bytes)
                    .map_err(|error| refused(self.reader.path(), message.offset, &error))?;
                // One without points goes before all that have one.
                Some((time.unwrap_or_default(), message))
            }
        };
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl<'a> Captures<'a> {
    /// Opens all captures at their beginning.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn open(paths: &[PathBuf], progress: &'a ProgressBar) -> anyhow::Result<Captures<'a>> {
        let open = |path: &PathBuf| -> anyhow::Result<Open> {
            let mut open = Open {
                reader: Reader::open(path)?,
                next: None,
            };
            open.advance()?;
            Ok(open)
        };
        Ok(Captures {
            open: paths.iter().map(open).collect::<Result<_, _>>()?,
            progress,
            base: progress.position(),
        })
    }

    fn take(&mut self) -> anyhow::Result<Option<(PathBuf, Message)>> {
        let earliest = self
            .open
            .iter_mut()
            .filter(|open| open.next.is_some())
            // The first of equals: captures in the order in which they were given.
            .min_by_key(|open| open.next.as_ref().map(|(time, _)| *time));
        let Some(open) = earliest else {
            return Ok(None);
        };
        let path = open.reader.path().to_path_buf();
        let taken = open
            .advance()
            .with_context(|| "the captures changed while they were replayed")?;
        let read: u64 = self.open.iter().map(|open| open.reader.consumed()).sum();
        self.progress.set_position(self.base + read);
        Ok(taken.map(|(_, message)| (path, message)))
    }
}

impl Iterator for Captures<'_> {
    type Item = anyhow::Result<(PathBuf, Message)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take().transpose()
    }
}

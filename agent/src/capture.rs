//! Captures: files of metrics in the formats of the Collector's file exporter, read and written as a
//! stream of bounded memory.
//!
//! A capture is length-prefixed protobuf (a 4-byte big-endian length before each `MetricsData`) or one
//! OTLP/JSON document a line. Either may be zstd as a whole; the exporter's own compression instead
//! packs each message: length, then a zstd frame. Which of these a file is, its content says.

mod read;
mod write;

pub use read::{Message, Reader};
pub use write::{Compression, Format, Writer};

use std::io;
use std::path::PathBuf;

/// Largest message, as protobuf. An exporter's batches are far below.
pub const MAX_MESSAGE: usize = 64 << 20;
/// Longest line of a JSON capture.
pub const MAX_LINE: usize = 4 * MAX_MESSAGE;
/// First bytes of a zstd frame.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What is wrong with a capture. Offsets are bytes of the file, or of what it unpacks to where the
/// whole file is zstd.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened.
    #[error("cannot open {}: {why}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The file cannot be read on.
    #[error("{}: cannot be read at byte {offset}: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// How far it was read.
        offset: u64,
        /// Why.
        why: io::Error,
    },
    /// There is nothing in the file.
    #[error("{}: the file is empty; a capture holds at least one message", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The beginning of the file is not that of a capture.
    #[error(
        "{}: not a capture: {what} at byte {offset}; expected length-prefixed OTLP protobuf or one OTLP/JSON document a \
         line, plain or zstd, as the Collector's file exporter writes", path.display()
    )]
    NotACapture {
        /// The file.
        path: PathBuf,
        /// Where that shows.
        offset: u64,
        /// What is there instead.
        what: String,
    },
    /// The file stops before its last message does.
    #[error(
        "{}: ends in the middle of a message at byte {end}: the message begins at byte {offset}; {what}", path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where the message begins.
        offset: u64,
        /// Where the file ends.
        end: u64,
        /// What is missing.
        what: String,
    },
    /// A message is not what it should be.
    #[error("{}: the message at byte {offset} cannot be read: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where the message begins.
        offset: u64,
        /// What is wrong, and what was expected.
        what: String,
    },
}

#[cfg(test)]
mod tests;

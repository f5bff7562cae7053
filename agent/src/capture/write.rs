//! Writing a capture.

use super::{CaptureError, MAX_MESSAGE};
use crate::json;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A 4-byte big-endian length before each protobuf `MetricsData`.
    #[default]
    Proto,
    /// One OTLP/JSON document a line.
    Json,
}

/// How the file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Each message is a zstd frame behind its length, as the exporter does.
    Messages,
    /// The whole file is zstd.
    Whole,
}

/// A capture that is being written. What is not finished may be cut.
pub struct Writer<W: Write> {
    output: Output<W>,
    format: Format,
    packs_messages: bool,
}

enum Output<W: Write> {
    Plain(W),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl Writer<BufWriter<File>> {
    /// Writes a new file, over an older one. A name that ends in `.json` or `.json.zst` is written as
    /// JSON lines, all others as protobuf; one that ends in `.zst` is zstd as a whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self, CaptureError> {
        let open = |why| CaptureError::Open {
            path: PathBuf::from(path),
            why,
        };
        let name = path.to_string_lossy();
        let plain = name.strip_suffix(".zst");
        let format = if plain.unwrap_or(&name).ends_with(".json") {
            Format::Json
        } else {
            Format::Proto
        };
        let compression = match plain {
            Some(_) => Compression::Whole,
            None => Compression::None,
        };
        let file = BufWriter::new(File::create(path).map_err(open)?);
        Writer::new(file, format, compression).map_err(open)
    }
}

impl<W: Write> Writer<W> {
    /// Writes to any output.
    ///
    /// # Errors
    /// The compressor cannot be had.
    pub fn new(output: W, format: Format, compression: Compression) -> io::Result<Writer<W>> {
        let output = match compression {
            Compression::Whole => Output::Zstd(zstd::stream::write::Encoder::new(output, 3)?),
            Compression::None | Compression::Messages => Output::Plain(output),
        };
        Ok(Writer {
            output,
            format,
            packs_messages: compression == Compression::Messages,
        })
    }

    /// Writes one protobuf `MetricsData`. One without content is left out.
    ///
    /// # Errors
    /// The output does not take it, or the bytes are no `MetricsData`.
    pub fn write(&mut self, message: &[u8]) -> io::Result<()> {
        // A reader refuses a larger message, and the windows of many series close in one.
        pieces(message, MAX_MESSAGE)
            .into_iter()
            .try_for_each(|piece| self.write_one(piece))
    }

    fn write_one(&mut self, message: &[u8]) -> io::Result<()> {
        let converted = match self.format {
            Format::Proto => None,
            Format::Json => Some(
                json::encode(message).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?,
            ),
        };
        let body = converted.as_deref().unwrap_or(message);
        if self.packs_messages {
            return self.prefixed(&zstd::encode_all(body, 3)?);
        }
        match self.format {
            Format::Proto => self.prefixed(body),
            Format::Json => {
                self.raw(body)?;
                self.raw(b"\n")
            }
        }
    }

    fn prefixed(&mut self, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len())
            .ok()
            .filter(|_| body.len() <= MAX_MESSAGE)
            .ok_or_else(|| {
                let what = format!("a message of {} bytes; at most {MAX_MESSAGE}", body.len());
                io::Error::new(io::ErrorKind::InvalidInput, what)
            })?;
        self.raw(&length.to_be_bytes())?;
        self.raw(body)
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.output {
            Output::Plain(output) => output.write_all(bytes),
            Output::Zstd(output) => output.write_all(bytes),
        }
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// The output does not take it.
    pub fn finish(self) -> io::Result<W> {
        let mut output = match self.output {
            Output::Plain(output) => output,
            Output::Zstd(encoder) => encoder.finish()?,
        };
        output.flush()?;
        Ok(output)
    }
}

/// A `MetricsData` as several of at most `limit` bytes, cut between its resources. What cannot be cut
/// stays whole.
fn pieces(message: &[u8], limit: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut rest, mut length) = (message, 0);
    while rest.len() > limit {
        match resource(&rest[length..]) {
            Some(next) if length == 0 || length + next <= limit => length += next,
            Some(_) => {
                let (piece, after) = rest.split_at(length);
                pieces.push(piece);
                (rest, length) = (after, 0);
            }
            None => break,
        }
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Length of the field that the bytes begin with, if it is a whole one of resources (field 1).
fn resource(bytes: &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for (index, byte) in bytes.strip_prefix(&[0x0a])?.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let end = length.checked_add(index + 2)?;
            return (end <= bytes.len()).then_some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(length: u8) -> Vec<u8> {
        [vec![0x0a, length], vec![0; length.into()]].concat()
    }

    #[test]
    fn a_large_message_is_cut_between_resources() {
        let message = [entry(10), entry(20), entry(5), entry(100), entry(3)].concat();
        let lengths = |limit| -> Vec<usize> {
            let pieces = pieces(&message, limit);
            assert_eq!(pieces.concat(), message);
            pieces.iter().map(|p| p.len()).collect()
        };
        assert_eq!(lengths(1_000), [148]);
        assert_eq!(lengths(40), [34, 7, 102, 5]);
        assert_eq!(lengths(107), [41, 107]);
        assert_eq!(pieces(&[1, 2, 3], 2), [&[1, 2, 3]]);
        assert!(pieces(&[], 2).is_empty());
    }
}

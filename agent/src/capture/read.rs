//! Reading a capture, message by message.

use super::{CaptureError, MAX_LINE, MAX_MESSAGE, ZSTD};
use crate::json;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Read ahead of the file.
const BUFFER: usize = 256 << 10;
/// Largest window that a zstd frame may ask for: 128 MiB, zstd's own default.
const WINDOW_LOG: u32 = 27;

/// One message of a capture.
#[derive(Debug, Clone)]
pub struct Message {
    /// A protobuf `MetricsData`: the same bytes as an `ExportMetricsServiceRequest`.
    pub bytes: Bytes,
    /// Where the message begins in the file (its length or its line).
    pub offset: u64,
    /// Points left out because their JSON was not valid.
    pub rejected: u64,
    /// Why the first of them was.
    pub reason: Option<String>,
}

/// An open capture. After an error there are no more messages.
pub struct Reader {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    lines: bool,
    /// Bytes taken from `input`.
    at: u64,
    /// Bytes taken from the file itself.
    consumed: Arc<AtomicU64>,
    done: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.path)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a capture and looks what it is.
    ///
    /// # Errors
    /// The file cannot be opened, is empty, or is no capture.
    pub fn open(path: &Path) -> Result<Reader, CaptureError> {
        let file = File::open(path).map_err(|why| CaptureError::Open {
            path: path.to_path_buf(),
            why,
        })?;
        Reader::new(path, file)
    }

    /// A capture from any source of bytes; `path` is for messages.
    ///
    /// # Errors
    /// As for [`Reader::open`].
    pub fn new(path: &Path, source: impl Read + Send + 'static) -> Result<Reader, CaptureError> {
        let consumed = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            source,
            consumed: Arc::clone(&consumed),
        };
        let mut reader = Reader {
            path: path.to_path_buf(),
            input: Box::new(BufReader::with_capacity(BUFFER, counted)),
            lines: false,
            at: 0,
            consumed,
            done: false,
        };
        if reader.peek()?.starts_with(&ZSTD) {
            let unpack = |input: Box<dyn BufRead + Send>| {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(WINDOW_LOG)?;
                Ok(BufReader::with_capacity(BUFFER, decoder))
            };
            let packed = std::mem::replace(&mut reader.input, Box::new(io::empty()));
            let unpacked = unpack(packed).map_err(|source| reader.failed(source))?;
            reader.input = Box::new(unpacked);
        }
        reader.detect()?;
        Ok(reader)
    }

    /// Bytes read from the file so far, for progress.
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn peek(&mut self) -> Result<&[u8], CaptureError> {
        // Borrowed twice, as the error needs `self`; the second call finds the buffer full.
        if let Err(source) = self.input.fill_buf() {
            return Err(self.failed(source));
        }
        Ok(self.input.fill_buf().unwrap_or_default())
    }

    fn detect(&mut self) -> Result<(), CaptureError> {
        let path = self.path.clone();
        let head = self.peek()?;
        if head.is_empty() {
            return Err(CaptureError::Empty { path });
        }
        let first = head.iter().find(|b| !b.is_ascii_whitespace());
        let lines = first == Some(&b'{');
        let wrong = if lines {
            None
        } else if head.starts_with(&[0x1f, 0x8b]) {
            Some("gzip data (unpack it first)".to_string())
        } else if head.len() >= 4 {
            not_a_message(head)
        } else {
            // Too short to be told apart from a capture that was cut.
            None
        };
        if let Some(what) = wrong {
            return Err(CaptureError::NotACapture {
                path,
                offset: 0,
                what,
            });
        }
        self.lines = lines;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> CaptureError {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            let what = format!("its zstd data is cut after {} bytes", self.consumed());
            return self.truncated(self.at, self.at, what);
        }
        CaptureError::Read {
            path: self.path.clone(),
            offset: self.at,
            why: source,
        }
    }

    fn truncated(&self, offset: u64, end: u64, what: String) -> CaptureError {
        CaptureError::Truncated {
            path: self.path.clone(),
            offset,
            end,
            what,
        }
    }

    fn malformed(&self, offset: u64, what: impl Into<String>) -> CaptureError {
        CaptureError::Malformed {
            path: self.path.clone(),
            offset,
            what: what.into(),
        }
    }

    /// The next `length` bytes, or what is left of them.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, CaptureError> {
        // Grows as bytes come, so that a false length takes no memory.
        let mut bytes = Vec::new();
        match (&mut self.input)
            .take(length as u64)
            .read_to_end(&mut bytes)
        {
            Ok(_) => {
                self.at += bytes.len() as u64;
                Ok(bytes)
            }
            Err(source) => {
                let begin = self.at;
                self.at += bytes.len() as u64;
                Err(match self.failed(source) {
                    CaptureError::Truncated { end, what, .. } => self.truncated(begin, end, what),
                    other => other,
                })
            }
        }
    }

    fn message(&mut self) -> Result<Option<Message>, CaptureError> {
        let offset = self.at;
        let head = self.take(4)?;
        let Ok(length) = <[u8; 4]>::try_from(head.as_slice()) else {
            if head.is_empty() {
                return Ok(None);
            }
            let what = format!(
                "4 bytes of its length were expected, {} are there",
                head.len()
            );
            return Err(self.truncated(offset, self.at, what));
        };
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_MESSAGE {
            let what = format!("its length says {length} bytes; at most {MAX_MESSAGE} are read");
            return Err(self.malformed(offset, what));
        }
        let body = self.take(length).map_err(|error| match error {
            CaptureError::Truncated { end, what, .. } => self.truncated(offset, end, what),
            other => other,
        })?;
        if body.len() < length {
            let what = format!("{length} bytes were announced, {} are there", body.len());
            return Err(self.truncated(offset, self.at, what));
        }
        let body = if body.starts_with(&ZSTD) {
            self.unpack(offset, &body)?
        } else {
            body
        };
        if body.starts_with(b"{") {
            return self.decode(offset, &body).map(Some);
        }
        Ok(Some(Message {
            bytes: body.into(),
            offset,
            rejected: 0,
            reason: None,
        }))
    }

    fn unpack(&self, offset: u64, frame: &[u8]) -> Result<Vec<u8>, CaptureError> {
        let unpack = || -> io::Result<Vec<u8>> {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(frame)?;
            decoder.window_log_max(WINDOW_LOG)?;
            let mut body = Vec::new();
            decoder.take(MAX_LINE as u64 + 1).read_to_end(&mut body)?;
            Ok(body)
        };
        let body = unpack().map_err(|e| self.malformed(offset, format!("bad zstd frame: {e}")))?;
        if body.len() > MAX_LINE {
            let what = format!("it unpacks to more than {MAX_LINE} bytes");
            return Err(self.malformed(offset, what));
        }
        Ok(body)
    }

    fn decode(&self, offset: u64, text: &[u8]) -> Result<Message, CaptureError> {
        let limits = json::Limits {
            elements: usize::MAX,
            bytes: MAX_MESSAGE,
        };
        let decoded =
            json::decode(text, limits).map_err(|e| self.malformed(offset, e.to_string()))?;
        Ok(Message {
            bytes: decoded.bytes,
            offset,
            rejected: decoded.rejected,
            reason: decoded.reason,
        })
    }

    fn not_otlp(&self, what: &str) -> CaptureError {
        CaptureError::NotACapture {
            path: self.path.clone(),
            offset: 0,
            what: format!("the first line is not OTLP/JSON ({what})"),
        }
    }

    fn line(&mut self) -> Result<Option<Message>, CaptureError> {
        loop {
            let offset = self.at;
            let mut line = Vec::new();
            let mut limited = (&mut self.input).take(MAX_LINE as u64 + 1);
            let read = limited.read_until(b'\n', &mut line);
            self.at += line.len() as u64;
            if let Err(source) = read {
                return Err(match self.failed(source) {
                    CaptureError::Truncated { end, what, .. } => self.truncated(offset, end, what),
                    other => other,
                });
            }
            if line.len() > MAX_LINE {
                let what = format!("the line is longer than {MAX_LINE} bytes");
                return Err(self.malformed(offset, what));
            }
            if line.is_empty() {
                return Ok(None);
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let whole = line.last() == Some(&b'\n');
            return match self.decode(offset, &line) {
                Err(CaptureError::Malformed { what, .. }) if !whole => {
                    let what =
                        format!("the last line has no end and is no whole document ({what})");
                    Err(self.truncated(offset, self.at, what))
                }
                Err(CaptureError::Malformed { what, .. }) if offset == 0 => {
                    Err(self.not_otlp(&what))
                }
                // Unknown members are ignored, so any JSON would do.
                Ok(message) if offset == 0 && message.bytes.is_empty() && !names_metrics(&line) => {
                    Err(self.not_otlp("it has no `resourceMetrics`"))
                }
                other => other.map(Some),
            };
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Message, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = if self.lines {
            self.line()
        } else {
            self.message()
        };
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

fn names_metrics(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    text.contains("resourceMetrics") || text.contains("resource_metrics")
}

/// What the first bytes of a file are, if not a length and the beginning of a message.
fn not_a_message(head: &[u8]) -> Option<String> {
    let (length, body) = head.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_MESSAGE {
        let shown: String = head
            .iter()
            .take(16)
            .map(|b| b.escape_ascii().to_string())
            .collect();
        return Some(format!("\"{shown}\""));
    }
    let body = &body[..body.len().min(length)];
    if body.starts_with(&ZSTD) || body.starts_with(b"{") {
        return None;
    }
    // The only field of MetricsData is 1, a message: its tag is 0x0a. An empty message is valid.
    match body.first() {
        Some(0x0a) | None => None,
        Some(byte) => Some(format!(
            "a message of {length} bytes that begins with 0x{byte:02x} instead of a resource (0x0a)"
        )),
    }
}

struct Counted<R> {
    source: R,
    consumed: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.consumed.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

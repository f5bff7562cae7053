//! The file exporter: what is exported, in the Collector's file formats. A message is written whole
//! or not at all.

use super::Outcome;
use super::queue::Outgoing;
use crate::json;
use crate::settings::{Compression, FileExporter, FileFormat};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// An open file.
#[derive(Debug)]
pub struct FileSink {
    settings: FileExporter,
    file: File,
    /// End of the last whole message.
    end: u64,
}

impl FileSink {
    /// Opens the file to append to it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(settings: FileExporter) -> Result<FileSink, String> {
        let open = || -> io::Result<(File, u64)> {
            let mut file = File::options()
                .create(true)
                .write(true)
                .truncate(false)
                .open(&settings.path)?;
            let end = file.seek(SeekFrom::End(0))?;
            Ok((file, end))
        };
        let (file, end) =
            open().map_err(|e| format!("cannot write {}: {e}", settings.path.display()))?;
        Ok(FileSink {
            settings,
            file,
            end,
        })
    }

    /// Appends one message. Blocks the worker's thread for a copy into the page cache.
    pub fn write(&mut self, request: &Outgoing) -> Outcome {
        let message = match self.message(request) {
            Ok(message) => message,
            Err(reason) => return Outcome::Refused(reason),
        };
        match self.append(&message) {
            Ok(()) => Outcome::Accepted {
                rejected: 0,
                message: String::new(),
                sent: message.len(),
            },
            Err(error) => Outcome::Retry {
                reason: format!("cannot write {}: {error}", self.settings.path.display()),
                after: None,
            },
        }
    }

    fn append(&mut self, message: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(message) {
            // A full disk must not leave half a message before the next one.
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            return Err(error);
        }
        self.end += message.len() as u64;
        Ok(())
    }

    fn message(&self, request: &Outgoing) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(request.bytes + 4);
        request
            .parts
            .iter()
            .for_each(|p| bytes.extend_from_slice(p));
        let json = self.settings.format == FileFormat::Json;
        if json {
            bytes = json::encode(&bytes).map_err(|e| e.to_string())?;
        }
        let zstd = self.settings.compression == Compression::Zstd;
        if zstd {
            bytes = ::zstd::encode_all(&bytes[..], 1).map_err(|e| e.to_string())?;
        }
        if json && !zstd {
            bytes.push(b'\n');
            return Ok(bytes);
        }
        let length = u32::try_from(bytes.len()).map_err(|_| "more than 4 GiB in one message")?;
        bytes.splice(..0, length.to_be_bytes());
        Ok(bytes)
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

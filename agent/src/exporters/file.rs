//! The file exporter: what is exported, in the Collector's file formats. A message is written whole
//! or not at all.

use super::Outcome;
use super::queue::Outgoing;
use crate::capture;
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
            Err(error) => return Outcome::refused(error.to_string(), false),
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

    fn message(&self, request: &Outgoing) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(request.bytes);
        request
            .parts
            .iter()
            .for_each(|part| bytes.extend_from_slice(part));
        let format = match self.settings.format {
            FileFormat::Proto => capture::Format::Proto,
            FileFormat::Json => capture::Format::Json,
        };
        let compression = match self.settings.compression {
            Compression::None | Compression::Gzip => capture::Compression::None,
            Compression::Zstd => capture::Compression::Messages,
        };
        let room = Vec::with_capacity(bytes.len() + 4);
        let mut writer = capture::Writer::new(room, format, compression)?;
        writer.write(&bytes)?;
        writer.finish()
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

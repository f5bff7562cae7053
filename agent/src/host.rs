//! The host receiver: this machine's processes, read from /proc into reused buffers and written as
//! OTLP bytes, under the names, units, types and attributes of the Collector's process scraper
//! (hostmetrics receiver 0.145), so that either can take the other's place without a new series.
//!
//! A process that vanishes while it is read is left out; a file that may not be read leaves its
//! metric out, never a zero.

mod parse;
mod read;
mod rules;
mod run;
mod scan;
mod users;
mod write;

pub use run::run;
pub use scan::{Scanned, Scanner};

use phoenix_engine::document::Problem;
use std::path::PathBuf;

/// Why processes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Not a mounted proc file system, or not readable.
    #[error("cannot read {path}: {source}; receivers.host.root_path must hold the host's /proc")]
    Proc {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Include or exclude rules that cannot be understood.
    #[error("receivers.host: {}", list(.0))]
    Rules(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests;

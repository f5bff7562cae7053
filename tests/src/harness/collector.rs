//! Real peers that `make test` fetches: an OpenTelemetry Collector and the Python SDK.

use super::project;
use std::path::PathBuf;
use std::process::Command;

/// The Collector's binary; `None`, said loudly, where it cannot be had.
pub fn collector() -> Option<PathBuf> {
    fetched("scripts/collector")
}

/// A Python that has the OpenTelemetry SDK; `None`, said loudly, where it cannot be had.
pub fn python() -> Option<PathBuf> {
    fetched("scripts/python-sdk")
}

/// Runs a script that prints a path; exit code 3 means that the thing cannot be had here.
fn fetched(script: &str) -> Option<PathBuf> {
    let out = Command::new(project(script))
        .output()
        .unwrap_or_else(|e| panic!("{script}: {e}"));
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    match out.status.code() {
        Some(0) => Some(PathBuf::from(String::from_utf8_lossy(&out.stdout).trim())),
        Some(3) => {
            eprintln!("{why}");
            None
        }
        _ => panic!("{script}: {why}"),
    }
}

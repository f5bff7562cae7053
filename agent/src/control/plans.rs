//! Plans on disk: which was last proven healthy, and which was being baked when the process ended.
//!
//! Written whole under another name, synced and renamed, so that a crash leaves the old or the new
//! file. A plan is written as baking before it runs; it is booted only once it is written as proven.

use phoenix_proto::control::{PlanState, Status};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file in the state folder.
const FILE: &str = "plans.json";

/// A pipeline as the server sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// SHA-256 of the canonical form, lower-case hex.
    pub hash: String,
    /// Its name.
    pub name: String,
    /// The document's text.
    pub document: String,
}

/// A candidate that the agent ended because it did harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Harmed {
    /// Id of the experiment.
    pub experiment: String,
    /// Its revision.
    pub revision: u64,
    /// The candidate.
    pub hash: String,
    /// `phoenix.control.v1.Harm`.
    pub harm: i32,
    /// What was measured.
    pub measured: f64,
    /// What was allowed.
    pub threshold: f64,
    /// As one sentence.
    pub reason: String,
}

impl Harmed {
    /// As the server is told.
    pub fn status(&self) -> Status {
        Status {
            state: PlanState::RolledBack.into(),
            hash: self.hash.clone(),
            reason: self.reason.clone(),
            experiment: self.experiment.clone(),
            experiment_revision: self.revision,
            harm: self.harm,
            measured: Some(self.measured),
            threshold: Some(self.threshold),
            ..Status::default()
        }
    }
}

/// The agent before the first candidate of an experiment ran: what later ones are held against, also by a
/// process that was started with the candidate in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Id of the experiment.
    pub experiment: String,
    /// Resident memory, where it was known.
    pub rss_bytes: Option<u64>,
}

/// What the state folder remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plans {
    /// Store of the last desired state that was taken.
    pub store_id: String,
    /// Its revision.
    pub revision: u64,
    /// Seed of canonical identities.
    pub fleet_seed: u64,
    /// The pipeline last proven healthy; none: pass-through.
    pub proven: Option<Stored>,
    /// The pipeline whose bake has not ended.
    pub baking: Option<Stored>,
    /// A candidate that did harm, until the server has heard of it.
    pub harmed: Option<Harmed>,
    /// The experiment that runs.
    pub before: Option<Before>,
    /// The experiment whose candidate's lease lapsed; none: it runs again, or another does.
    pub lapsed: Option<String>,
}

/// Why the state folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PlansError {
    /// A file or folder.
    #[error("cannot {what} {path}: {source}; the state folder must be writable by the agent")]
    File {
        /// `read`, `write`, ...
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not what this agent writes.
    #[error("{path} is damaged ({source}); remove it, the control plane sends the plan again")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Reads what the state folder remembers; a folder without plans remembers nothing.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn load(folder: &Path) -> Result<Plans, PlansError> {
    let path = folder.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Plans::default()),
        Err(source) => {
            return Err(PlansError::File {
                what: "read",
                path,
                source,
            });
        }
    };
    serde_json::from_slice(&text).map_err(|source| PlansError::Damaged { path, source })
}

/// Writes what the state folder is to remember.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn save(folder: &Path, plans: &Plans) -> Result<(), PlansError> {
    let path = folder.join(FILE);
    let text = serde_json::to_vec(plans).map_err(|source| PlansError::Damaged {
        path: path.clone(),
        source,
    })?;
    write_private(folder, FILE, &text)
}

/// Replaces a file that only its owner may read, so that a crash leaves the old or the new one.
///
/// # Errors
/// The folder or the file cannot be written.
pub(super) fn write_private(folder: &Path, name: &str, content: &[u8]) -> Result<(), PlansError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| PlansError::File { what, path, source }
    };
    fs::create_dir_all(folder).map_err(failed("create", folder))?;
    let (path, fresh) = (folder.join(name), folder.join(format!("{name}.new")));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed("create", &fresh))?;
    file.write_all(content).map_err(failed("write", &fresh))?;
    file.sync_all().map_err(failed("sync", &fresh))?;
    fs::rename(&fresh, &path).map_err(failed("rename", &fresh))?;
    // The rename itself is safe only once the folder is.
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn plans_come_back_as_they_were_and_only_the_owner_may_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert_eq!(load(&state).unwrap(), Plans::default());
        let stored = Stored {
            hash: "aa".into(),
            name: "p".into(),
            document: "kind: Pipeline\n".into(),
        };
        let plans = Plans {
            store_id: "s".into(),
            revision: 7,
            fleet_seed: u64::MAX,
            proven: Some(stored.clone()),
            baking: Some(stored),
            harmed: Some(Harmed {
                experiment: "e1".into(),
                revision: 2,
                hash: "bb".into(),
                harm: 3,
                measured: 0.1,
                threshold: 1e9,
                reason: "slow".into(),
            }),
            before: Some(Before {
                experiment: "e1".into(),
                rss_bytes: Some(1),
            }),
            lapsed: Some("e1".into()),
        };
        save(&state, &plans).unwrap();
        save(&state, &plans).unwrap();
        assert_eq!(load(&state).unwrap(), plans);
        let mode = fs::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{\"revision\":").unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("plans.json is damaged"), "{error}");
    }
}

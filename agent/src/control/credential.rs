//! The credential in the state folder: had once for the enrolment token, bound to one identity.

use super::plans::{PlansError, write_private};
use phoenix_proto::control::Identity;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// The file in the state folder; only its owner may read it.
const FILE: &str = "credential.json";

#[derive(Serialize, Deserialize)]
struct Stored {
    tenant: String,
    cluster: String,
    node: String,
    credential: String,
}

/// The credential of this identity, if there is one. One of another identity is no use and is left
/// for the next enrolment to replace.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn load(folder: &Path, identity: &Identity) -> Result<Option<String>, PlansError> {
    let path = folder.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(PlansError::File {
                what: "read",
                path,
                source,
            });
        }
    };
    let stored: Stored =
        serde_json::from_slice(&text).map_err(|source| PlansError::Damaged { path, source })?;
    let ours = stored.tenant == identity.tenant
        && stored.cluster == identity.cluster
        && stored.node == identity.node;
    Ok(ours.then_some(stored.credential))
}

/// Keeps a credential.
///
/// # Errors
/// The folder cannot be written.
pub fn save(folder: &Path, identity: &Identity, credential: &str) -> Result<(), PlansError> {
    let stored = Stored {
        tenant: identity.tenant.clone(),
        cluster: identity.cluster.clone(),
        node: identity.node.clone(),
        credential: credential.to_owned(),
    };
    let text = serde_json::to_vec(&stored).map_err(|source| PlansError::Damaged {
        path: folder.join(FILE),
        source,
    })?;
    write_private(folder, FILE, &text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_credential_serves_one_identity_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let identity = |node: &str| Identity {
            tenant: "default".into(),
            cluster: "default".into(),
            node: node.into(),
        };
        assert_eq!(load(folder.path(), &identity("n1")).unwrap(), None);
        save(folder.path(), &identity("n1"), "secret").unwrap();
        let found = load(folder.path(), &identity("n1")).unwrap();
        assert_eq!(found.as_deref(), Some("secret"));
        assert_eq!(load(folder.path(), &identity("n2")).unwrap(), None);
        let file = std::fs::metadata(folder.path().join(FILE)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}

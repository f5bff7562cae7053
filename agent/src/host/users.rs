//! Names of users by number, from the host's `etc/passwd`; read again when it changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    changed: Option<SystemTime>,
    names: HashMap<u32, String>,
}

impl Users {
    pub(super) fn of(root: &Path) -> Users {
        Users {
            path: root.join("etc/passwd"),
            changed: None,
            names: HashMap::new(),
        }
    }

    /// Looks whether the file changed. A file that is missing leaves owners out.
    pub(super) fn refresh(&mut self) {
        let changed = std::fs::metadata(&self.path)
            .and_then(|m| m.modified())
            .ok();
        if changed == self.changed {
            return;
        }
        self.changed = changed;
        let text = std::fs::read(&self.path).unwrap_or_default();
        self.names.clear();
        for line in text.split(|b| *b == b'\n') {
            let line = String::from_utf8_lossy(line);
            let mut fields = line.split(':');
            let (Some(name), Some(uid)) = (fields.next(), fields.nth(1)) else {
                continue;
            };
            if let Ok(uid) = uid.parse() {
                // The first line of a number counts, as it does for getpwuid.
                self.names.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
    }

    pub(super) fn name(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_those_of_the_mounted_host_and_follow_its_file() {
        let root = tempfile::tempdir().unwrap();
        let mut users = Users::of(root.path());
        users.refresh();
        assert_eq!(users.name(0), None);
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\n\n# odd\nshop:x:1001:1001::/:\n";
        std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        users.refresh();
        assert_eq!(
            (users.name(0), users.name(1001)),
            (Some("root"), Some("shop"))
        );
        assert_eq!(users.name(7), None);
    }
}

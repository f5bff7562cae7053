//! Credentials of backends that experiments may name: a file of the server, never part of a document, and
//! sent to the address that they stand beside and to no other.

use phoenix_engine::document::{Problem, from_yaml};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {}", told(problems))]
    Wrong {
        path: PathBuf,
        problems: Vec<Problem>,
    },
}

fn told(problems: &[Problem]) -> String {
    let all: Vec<String> = problems
        .iter()
        .map(|p| format!("{}: {}", p.path, p.message))
        .collect();
    all.join("; ")
}

/// Where a secret is: `env:VAR` or `file:PATH`. Read when it is used, so that it may change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Secret {
    Env(String),
    File(PathBuf),
}

impl TryFrom<String> for Secret {
    type Error = String;

    fn try_from(text: String) -> Result<Secret, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Secret::Env(name.into())),
            Some(("file", path)) if !path.is_empty() => Ok(Secret::File(path.into())),
            // What was written may be the secret: it is not repeated.
            _ => Err("write env:VAR or file:PATH, not the secret itself".into()),
        }
    }
}

impl Secret {
    fn read(&self) -> Result<String, String> {
        let text = match self {
            Secret::Env(name) => {
                std::env::var(name).map_err(|_| format!("the environment has no {name}"))
            }
            Secret::File(path) => {
                std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
            }
        };
        Ok(text?.trim().to_owned())
    }
}

/// What is sent with every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    Bearer(String),
    Basic(String, String),
}

/// One backend of the file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backend {
    url: String,
    bearer_token: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    /// PEM file of the authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Backend {
    /// What is to be sent, read anew.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub fn credentials(&self) -> Result<Option<Credentials>, String> {
        if let Some(token) = &self.bearer_token {
            return Ok(Some(Credentials::Bearer(token.read()?)));
        }
        match (&self.username, &self.password) {
            (Some(user), Some(password)) => {
                Ok(Some(Credentials::Basic(user.clone(), password.read()?)))
            }
            _ => Ok(None),
        }
    }

    fn problems(&self, at: usize, problems: &mut Vec<Problem>) {
        let mut wrong = |key: &str, text: &str| {
            problems.push(Problem::new(format!("[{at}].{key}"), text));
        };
        if self.url.is_empty() {
            wrong("url", "is missing: the address as experiments write it");
        }
        if self.bearer_token.is_some() && self.username.is_some() {
            wrong("username", "beside bearer_token: one of both");
        }
        if self.username.is_some() != self.password.is_some() {
            wrong("password", "username and password are given together");
        }
    }
}

/// Every backend that something is known of.
#[derive(Debug, Clone, Default)]
pub struct Backends(Vec<Backend>);

impl Backends {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or every problem in it.
    pub fn open(path: &Path) -> Result<Backends, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        Backends::parse(&text).map_err(|problems| Error::Wrong {
            path: path.into(),
            problems,
        })
    }

    fn parse(text: &str) -> Result<Backends, Vec<Problem>> {
        let all: Vec<Backend> = from_yaml(text)?;
        let mut problems = Vec::new();
        for (at, backend) in all.iter().enumerate() {
            backend.problems(at, &mut problems);
        }
        match problems.is_empty() {
            true => Ok(Backends(all)),
            false => Err(problems),
        }
    }

    /// What is known of an address.
    pub fn of(&self, url: &str) -> Backend {
        let same = |b: &&Backend| b.url.trim_end_matches('/') == url.trim_end_matches('/');
        self.0.iter().find(same).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn credentials_are_for_the_address_that_they_stand_beside_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "abc\n").unwrap();
        let text = format!(
            "- {{ url: 'https://p.example.com', bearer_token: 'file:{}' }}\n\
             - {{ url: 'https://q.example.com/base/', username: u, password: 'file:{}' }}\n",
            file.display(),
            file.display()
        );
        let all = Backends::parse(&text).unwrap();
        let of = |url: &str| all.of(url).credentials().unwrap();
        let bearer = Some(Credentials::Bearer("abc".into()));
        assert_eq!(of("https://p.example.com/"), bearer);
        let basic = Some(Credentials::Basic("u".into(), "abc".into()));
        assert_eq!(of("https://q.example.com/base"), basic);
        for other in [
            "http://p.example.com",
            "https://p.example.com.evil.org",
            "https://q.example.com",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        std::fs::write(&file, "changed").unwrap();
        let changed = Some(Credentials::Bearer("changed".into()));
        assert_eq!(of("https://p.example.com"), changed);
        std::fs::remove_file(&file).unwrap();
        assert!(all.of("https://p.example.com").credentials().is_err());
    }

    #[test]
    fn mistakes_are_told_and_a_secret_is_never_repeated() {
        let text = "- { bearer_token: 'env:A', username: u }";
        let problems = Backends::parse(text).unwrap_err();
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["[0].url", "[0].username", "[0].password"]);
        let problems = Backends::parse("- { url: 'http://p', bearer_token: hunter2 }").unwrap_err();
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
}

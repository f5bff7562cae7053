//! Tokens and credentials: random, kept in files only their owner reads, compared in constant time.

use rand::RngCore;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The tokens of a data folder.
#[derive(Debug, Clone)]
pub struct Tokens {
    admin: Token,
    enrol: Token,
}

/// A secret, kept as its digest.
#[derive(Clone)]
struct Token([u8; 32]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// A token file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct Error {
    path: PathBuf,
    source: std::io::Error,
}

impl Tokens {
    /// Reads `admin.token` and `enrol.token`, makes those that are missing.
    pub fn open(dir: &Path) -> Result<Tokens, Error> {
        Ok(Tokens {
            admin: Token::open(&dir.join("admin.token"))?,
            enrol: Token::open(&dir.join("enrol.token"))?,
        })
    }

    pub fn is_admin(&self, given: &str) -> bool {
        self.admin.is(given)
    }

    pub fn may_enrol(&self, given: &str) -> bool {
        self.enrol.is(given)
    }
}

impl Token {
    fn open(path: &Path) -> Result<Token, Error> {
        let failed = |source| Error {
            path: path.into(),
            source,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
                    .map_err(failed)?;
                text
            }
            Ok(_) => create(path).map_err(failed)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => create(path).map_err(failed)?,
            Err(e) => return Err(failed(e)),
        };
        Ok(Token(Sha256::digest(text.trim().as_bytes()).into()))
    }

    /// Compares digests without leaving early: the time tells nothing about the secret.
    fn is(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given.as_bytes()).into();
        let different = self
            .0
            .iter()
            .zip(given)
            .fold(0u8, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(different) == 0
    }
}

fn create(path: &Path) -> std::io::Result<String> {
    let token = new_token();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    Ok(token)
}

/// 256 random bits as hex.
pub fn new_token() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex(&bytes)
}

/// What the store keeps of a credential. The credential is random and long, so a plain hash will do.
pub fn digest(credential: &str) -> String {
    hex(&Sha256::digest(credential.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The token of an `authorization: Bearer TOKEN` header.
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|t| !t.is_empty())
}

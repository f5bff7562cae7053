//! Headers of requests to the next hop. Values are secrets: they are never printed.

use http::{HeaderName, HeaderValue};
use std::fmt;
use std::path::PathBuf;

/// All headers of one exporter.
#[derive(Clone, Default)]
pub struct Headers(pub Vec<Header>);

/// One header.
#[derive(Clone)]
pub struct Header {
    name: HeaderName,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Literal(HeaderValue),
    Env(String),
    File(PathBuf),
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|h| (h.name.as_str(), "***")))
            .finish()
    }
}

impl Header {
    /// Reads a header of the settings: `env:VAR`, `file:PATH` or the value itself.
    ///
    /// # Errors
    /// What is wrong with it; never with the value in it.
    pub fn parse(name: &str, value: &str) -> Result<Header, String> {
        let name: HeaderName = name
            .parse()
            .map_err(|_| "is no valid header name".to_owned())?;
        if matches!(
            name.as_str(),
            "content-type"
                | "content-encoding"
                | "te"
                | "host"
                | "x-prometheus-remote-write-version"
        ) {
            return Err("is set by the exporter itself; remove it".to_owned());
        }
        let source = if let Some(var) = value.strip_prefix("env:") {
            Source::Env(var.to_owned())
        } else if let Some(path) = value.strip_prefix("file:") {
            Source::File(path.into())
        } else {
            Source::Literal(secret(value).ok_or("has a value that no header can hold")?)
        };
        let header = Header { name, source };
        header.resolve()?;
        Ok(header)
    }

    fn resolve(&self) -> Result<HeaderValue, String> {
        match &self.source {
            Source::Literal(value) => Ok(value.clone()),
            Source::Env(var) => {
                let value = std::env::var(var)
                    .map_err(|_| format!("names the variable {var}, which is not set"))?;
                secret(&value).ok_or(format!("the variable {var} holds no valid header value"))
            }
            Source::File(path) => {
                let value = std::fs::read_to_string(path)
                    .map_err(|e| format!("names the file {}: {e}", path.display()))?;
                secret(&value).ok_or(format!("{} holds no valid header value", path.display()))
            }
        }
    }
}

impl Headers {
    /// The headers as they are now; read anew with every connection, so that a rotated file is
    /// taken up.
    ///
    /// # Errors
    /// A variable or file that is gone or holds no valid value.
    pub fn resolve(&self) -> Result<http::HeaderMap, String> {
        let mut map = http::HeaderMap::new();
        for header in &self.0 {
            let value = header
                .resolve()
                .map_err(|e| format!("header {}: {e}", header.name))?;
            map.append(header.name.clone(), value);
        }
        Ok(map)
    }
}

/// A trimmed value that hyper does not print either.
fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

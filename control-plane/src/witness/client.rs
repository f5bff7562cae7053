//! Asks a backend by Prometheus' HTTP API: one request at a time, each with a deadline.

use super::backends::{Backend, Credentials};
use crate::documents::Prometheus;
use phoenix_analysis::query::vector::Vector;
use phoenix_engine::prometheus::NAME;
use reqwest::{Client as Http, RequestBuilder, redirect};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Largest answer that is read.
const ANSWER: usize = 16 << 20;
/// Characters of what a backend says that are kept and shown.
pub const SHOWN: usize = 300;
/// Characters of its version.
const VERSION: usize = 64;
/// A value older than this is gone, as on the agents.
const LOOKBACK_MS: u64 = phoenix_engine::query::LOOKBACK_MS;

/// Why there is no answer; in words of the backend, so far as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// The backend cannot be asked now: nothing else is asked of it in this round.
    Away(String),
    /// It does not answer this question.
    Refused(String),
}

impl Silence {
    fn away(why: impl AsRef<str>) -> Silence {
        Silence::Away(cut(why.as_ref(), SHOWN))
    }

    fn refused(why: impl AsRef<str>) -> Silence {
        Silence::Refused(cut(why.as_ref(), SHOWN))
    }
}

/// At most so many characters of what was sent to us, and that there were more.
pub fn cut(text: &str, most: usize) -> String {
    let end = text.char_indices().nth(most).map(|(at, _)| at);
    match end.and_then(|at| text.get(..at)) {
        Some(start) => format!("{start}... (cut)"),
        None => text.to_owned(),
    }
}

/// Whether metrics' names are kept among the labels of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Yes,
    No,
}

/// Values by labels at each end of a window.
pub type Answer = BTreeMap<u64, Vector>;

/// One backend.
pub struct Client {
    http: Http,
    base: String,
    credentials: Option<Credentials>,
    timeout: Duration,
    ignore: Vec<String>,
}

impl Client {
    /// A client for what a document names.
    ///
    /// # Errors
    /// Secrets or certificates that cannot be read.
    pub fn new(document: &Prometheus, backend: &Backend) -> Result<Client, String> {
        // A second installation is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = Duration::from_millis(document.timeout.0);
        let mut builder = Http::builder()
            .timeout(timeout)
            // Credentials go to the address that they were given for.
            .redirect(redirect::Policy::none());
        if let Some(path) = &backend.ca_file {
            let failed = |e: String| format!("{}: {e}", path.display());
            let pem = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem);
            builder = builder.tls_certs_only(certificates.map_err(|e| failed(e.to_string()))?);
        } else if document.url.starts_with("http://") {
            // No certificates are looked for where none are used.
            let tls = rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            builder = builder.tls_backend_preconfigured(tls);
        }
        if document.is_local() {
            builder = builder.no_proxy();
        }
        let mut ignore = document.ignore.clone();
        ignore.extend([document.arm_label.clone(), document.run_label.clone()]);
        Ok(Client {
            http: builder.build().map_err(|e| deepest(&e))?,
            base: document.url.trim_end_matches('/').to_owned(),
            credentials: backend.credentials()?,
            timeout,
            ignore,
        })
    }

    /// The backend's own version.
    ///
    /// # Errors
    /// No answer.
    pub async fn version(&self) -> Result<Option<String>, Silence> {
        #[derive(Deserialize)]
        struct Info {
            version: String,
        }
        let url = format!("{}/api/v1/status/buildinfo", self.base);
        match self.exchange(self.http.get(url)).await {
            Ok((body, _)) => {
                let info = serde_json::from_value::<Info>(body).ok();
                Ok(info.map(|info| cut(&info.version, VERSION)))
            }
            // Who speaks the query API need not tell.
            Err(Silence::Refused(_)) => Ok(None),
            Err(away) => Err(away),
        }
    }

    /// A query's values at the ends of windows from `first` to `last`.
    ///
    /// # Errors
    /// No answer, or one that cannot be compared.
    pub async fn ask(
        &self,
        query: &str,
        (first, last): (u64, u64),
        window_ms: u64,
        named: Named,
    ) -> Result<Answer, Silence> {
        let url = format!("{}/api/v1/query_range", self.base);
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let form = [
            ("query", query.to_owned()),
            ("start", seconds(first)),
            ("end", seconds(last)),
            ("step", seconds(window_ms)),
            ("timeout", format!("{}ms", self.timeout.as_millis())),
            ("lookback_delta", seconds(LOOKBACK_MS)),
        ];
        let body: String = form
            .iter()
            .map(|(key, value)| format!("{key}={}&", escaped(value)))
            .collect();
        let request = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let (body, warnings) = self.exchange(request).await?;
        if let Some(warning) = warnings.first() {
            // Of several stores one may not have answered.
            let of = match warnings.len() {
                1 => String::new(),
                n => format!(" (the first of {n})"),
            };
            return Err(Silence::refused(format!(
                "the backend warns{of}: {warning}"
            )));
        }
        let matrix: Matrix = serde_json::from_value(body)
            .map_err(|e| Silence::refused(format!("not the answer to a range query: {e}")))?;
        self.read(matrix, named)
    }

    fn read(&self, matrix: Matrix, named: Named) -> Result<Answer, Silence> {
        let mut answer = Answer::new();
        for mut series in matrix.result {
            series.metric.retain(|key, _| {
                !self.ignore.contains(key) && (named == Named::Yes || key != NAME)
            });
            for (time, text) in &series.values {
                let end = (time * 1e3).round() as u64;
                let value = text
                    .parse::<f64>()
                    .map_err(|_| Silence::refused(format!("no number in the answer: {text:?}")))?;
                let before = answer
                    .entry(end)
                    .or_default()
                    .insert(series.metric.clone(), value);
                if before.is_some() {
                    return Err(Silence::refused(format!(
                        "two values for the same labels once those that are ignored are left out: {:?}",
                        series.metric
                    )));
                }
            }
        }
        Ok(answer)
    }

    /// What an answer holds, and its warnings.
    async fn exchange(
        &self,
        request: RequestBuilder,
    ) -> Result<(serde_json::Value, Vec<String>), Silence> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            data: serde_json::Value,
            #[serde(default)]
            warnings: Vec<String>,
            #[serde(default)]
            error: String,
        }
        let request = match &self.credentials {
            Some(Credentials::Bearer(token)) => request.bearer_auth(token),
            Some(Credentials::Basic(user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let away = |e: &reqwest::Error| {
            let what = match e.is_timeout() {
                true => format!("no answer within {} ms", self.timeout.as_millis()),
                false => deepest(e),
            };
            Silence::away(what)
        };
        let mut response = request.send().await.map_err(|e| away(&e))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| away(&e))? {
            if bytes.len() + chunk.len() > ANSWER {
                let mib = ANSWER >> 20;
                return Err(Silence::refused(format!(
                    "an answer of more than {mib} MiB"
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = serde_json::from_slice::<Body>(&bytes);
        if status.is_success() {
            return match body {
                Ok(body) => Ok((body.data, body.warnings)),
                Err(_) => Err(Silence::away("it does not answer like a Prometheus")),
            };
        }
        let said: String = match body {
            Ok(body) if !body.error.is_empty() => body.error,
            _ => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let said = said.trim();
        match status.as_u16() {
            401 | 403 => Err(Silence::away(format!(
                "it wants credentials ({status}): the server takes them from --backends, for exactly this address"
            ))),
            400 | 404 | 405 | 422 => Err(Silence::refused(format!("{status}: {said}"))),
            _ => Err(Silence::away(format!("{status}: {said}"))),
        }
    }
}

#[derive(Deserialize)]
struct Matrix {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// What lies at the bottom of an error: where nothing listens, what is wrong with a certificate.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for b in text.bytes() {
        match b {
            b if b.is_ascii_alphanumeric() || b"-_.".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;

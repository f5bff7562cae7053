//! A client of the control plane's public API, and what it says when something is in the way.

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Client as Http, Method, Url};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Where `phoenix serve` keeps its tokens unless told otherwise.
const LOCAL_TOKEN: &str = "phoenix-data/admin.token";

/// Which control plane, and as whom.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address of the control plane.
    #[arg(
        long,
        env = "PHOENIX_URL",
        default_value = "http://127.0.0.1:7070",
        global = true
    )]
    pub url: Url,
    /// Bearer token (better in the environment than here); goes before a token file.
    #[arg(long, env = "PHOENIX_TOKEN", hide_env_values = true, global = true)]
    pub token: Option<String>,
    /// File with the token: DIR/admin.token of `phoenix serve --data DIR`. Without it
    /// phoenix-data/admin.token is tried for a server on this machine.
    #[arg(long, env = "PHOENIX_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
}

/// A mistake in a document, as the server tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Problem {
    pub path: String,
    pub message: String,
}

/// An answer that is an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}{}", listed(problems))]
pub struct Refused {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub problems: Vec<Problem>,
}

/// Nothing answers, or the answer broke off: another try may succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(String);

fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|p| format!("\n  {}: {}", p.path, p.message))
        .collect()
}

/// The API of one control plane.
#[derive(Debug, Clone)]
pub struct Client {
    base: Url,
    token: String,
    http: Http,
}

impl Client {
    pub fn new(args: &ServerArgs) -> anyhow::Result<Client> {
        Ok(Client {
            base: args.url.clone(),
            token: token(args)?,
            http: http(&args.url)?,
        })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = ("application/json", body.to_string());
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = ("application/json", body.to_string());
        self.send(Method::PUT, path, Some(body)).await
    }

    /// Sends a document as it was written.
    pub async fn document(
        &self,
        method: Method,
        path: &str,
        text: &str,
    ) -> anyhow::Result<(u16, Value)> {
        let body = ("application/yaml", text.to_owned());
        self.exchange(method, path, Some(body)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> anyhow::Result<Value> {
        Ok(self.exchange(method, path, body).await?.1)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> anyhow::Result<(u16, Value)> {
        let base = self.base.as_str().trim_end_matches('/');
        let mut request = self
            .http
            .request(method, format!("{base}/api/v1{path}"))
            .bearer_auth(&self.token);
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        let response = request.send().await.map_err(|e| unreachable(base, &e))?;
        let status = response.status();
        let text = response.text().await;
        let text = text.map_err(|e| Unanswered(format!("{base}: the answer broke off ({e})")))?;
        if status.is_success() {
            let body = if text.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(&text)
                    .with_context(|| format!("{base} does not answer like a control plane"))?
            };
            return Ok((status.as_u16(), body));
        }
        if status.as_u16() == 401 {
            bail!(
                "{base} does not know this token: set PHOENIX_TOKEN, or PHOENIX_TOKEN_FILE to the \
                 admin.token in the --data folder of `phoenix serve`"
            );
        }
        Err(refused(status.as_u16(), &text).into())
    }
}

fn refused(status: u16, text: &str) -> Refused {
    #[derive(Deserialize)]
    struct Body {
        error: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        code: String,
        message: String,
        #[serde(default)]
        problems: Vec<Problem>,
    }
    match serde_json::from_str::<Body>(text) {
        Ok(Body { error }) => Refused {
            status,
            code: error.code,
            message: error.message,
            problems: error.problems,
        },
        Err(_) => Refused {
            status,
            code: "unexpected-answer".into(),
            message: format!("status {status}: {}", text.trim()),
            problems: Vec::new(),
        },
    }
}

/// What to start or set, where nothing answers.
fn unreachable(base: &str, error: &reqwest::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let told = if error.is_connect() {
        format!(
            "no control plane answers at {base} ({cause}): start one with `phoenix serve`, or set \
             PHOENIX_URL to where it listens"
        )
    } else {
        format!("{base}: {error} ({cause})")
    };
    Unanswered(told).into()
}

fn token(args: &ServerArgs) -> anyhow::Result<String> {
    if let Some(token) = args.token.as_deref().filter(|t| !t.trim().is_empty()) {
        return Ok(token.trim().to_owned());
    }
    let local = loopback(&args.url).then(|| PathBuf::from(LOCAL_TOKEN));
    let file = match (&args.token_file, local.filter(|f| f.is_file())) {
        (Some(file), _) => file.clone(),
        (None, Some(file)) => file,
        (None, None) => bail!(
            "no token: set PHOENIX_TOKEN, or PHOENIX_TOKEN_FILE (--token-file) to the admin.token \
             in the --data folder of `phoenix serve`"
        ),
    };
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read the token in {}", file.display()))?;
    Ok(text.trim().to_owned())
}

fn loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

fn http(url: &Url) -> anyhow::Result<Http> {
    // A second installation is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Http::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(60));
    if url.scheme() == "http" {
        // No certificates are looked for where none are used.
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder = builder.tls_backend_preconfigured(tls);
    }
    if loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build().context("cannot make an HTTP client")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_error_is_told_with_every_problem() {
        let body = r#"{"error":{"code":"invalid-document","message":"2 problems",
            "problems":[{"path":"spec.a","message":"x"},{"path":"spec.b","message":"y"}]}}"#;
        assert_eq!(
            refused(422, body).to_string(),
            "2 problems\n  spec.a: x\n  spec.b: y"
        );
        assert_eq!(
            refused(502, "bad gateway\n").to_string(),
            "status 502: bad gateway"
        );
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, is) in [
            ("http://127.0.0.1:7070", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("https://phoenix.example.com", false),
        ] {
            assert_eq!(loopback(&url.parse().unwrap()), is, "{url}");
        }
    }
}

//! A client of the control plane's REST API.

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// REST with a bearer token.
#[derive(Clone)]
pub struct Api {
    base: String,
    token: String,
    client: Client,
}

/// An HTTP client; reqwest wants a TLS provider even for plain text.
pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .tls_backend_preconfigured(tls())
        .no_proxy()
        .build()
        .expect("client")
}

fn tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

impl Api {
    /// A client of the server at `base` (`http://address`).
    pub fn new(base: &str, token: &str) -> Api {
        Api {
            base: format!("{base}/api/v1"),
            token: token.to_owned(),
            client: client(),
        }
    }

    /// Status and JSON body of a request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/yaml")
                .body(body);
        }
        let response = request.send().await.expect(path);
        let status = response.status();
        let text = response.text().await.expect("text");
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// GET that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, None).await;
        assert!(status.is_success(), "GET {path}: {status} {body}");
        body
    }

    /// GET that may fail (a server that is being restarted).
    pub async fn try_get(&self, path: &str) -> Option<Value> {
        let request = self
            .client
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        let response = request
            .send()
            .await
            .ok()
            .filter(|r| r.status().is_success())?;
        response.json().await.ok()
    }

    /// POST that must succeed.
    pub async fn post(&self, path: &str, body: Option<String>) -> Value {
        let (status, body) = self.send(Method::POST, path, body).await;
        assert!(status.is_success(), "POST {path}: {status} {body}");
        body
    }
}

//! JSON over HTTP to the doors that the demo talks to.

use anyhow::{Context, bail};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

/// A client of one base address, with a token or without.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token: Option<String>,
    client: Client,
}

impl Api {
    /// A client of `base`, e.g. `http://127.0.0.1:7070/api/v1`.
    pub fn new(client: Client, base: String, token: Option<String>) -> Api {
        Api {
            base,
            token,
            client,
        }
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.client.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(self.client.post(self.url(path)).json(body)).await
    }

    pub async fn post_text(&self, path: &str, document: &str) -> anyhow::Result<Value> {
        self.send(yaml(self.client.post(self.url(path)), document))
            .await
    }

    pub async fn put(&self, path: &str, document: &str) -> anyhow::Result<Value> {
        self.send(yaml(self.client.put(self.url(path)), document))
            .await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, mut request: RequestBuilder) -> anyhow::Result<Value> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("no answer from {}", self.base))?;
        let (status, url) = (response.status(), response.url().clone());
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{url}: {status}: {text}");
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{url}: not JSON: {text}"))
    }
}

fn yaml(request: RequestBuilder, document: &str) -> RequestBuilder {
    request
        .header("content-type", "application/yaml")
        .body(document.to_owned())
}

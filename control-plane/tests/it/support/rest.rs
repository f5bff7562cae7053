//! A plain HTTP client for the REST door.

use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

pub struct Rest {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    pub token: String,
}

/// A status and a JSON body (null where there is none).
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The text at a JSON pointer.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        match self.body.pointer(pointer).and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => panic!("no text at {pointer} in {self:?}"),
        }
    }

    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.text("/error/code"), code);
    }
}

impl Rest {
    pub fn new(address: SocketAddr, token: &str) -> Rest {
        Rest {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: format!("http://{address}"),
            token: token.into(),
        }
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> http::Response<Incoming> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        tokio::time::timeout(Duration::from_secs(20), self.client.request(request))
            .await
            .expect("no answer in 20 s")
            .expect("the request failed")
    }

    pub async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let path = format!("/api/v1{path}");
        let headers = [("authorization", bearer.as_str())];
        let response = self.send(method, &path, &headers, body).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).expect("the body is no JSON"),
        };
        Answer { status, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, body).await
    }

    pub async fn put(&self, path: &str, body: &str) -> Answer {
        self.call("PUT", path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, "").await
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..400 {
            let answer = self.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not in 10 s: {path}: {:?}", self.get(path).await);
    }

    pub async fn events(&self, query: &str, last_id: Option<u64>) -> Sse {
        let bearer = format!("Bearer {}", self.token);
        let id = last_id.map(|id| id.to_string()).unwrap_or_default();
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            (header::ACCEPT.as_str(), "text/event-stream"),
        ];
        if last_id.is_some() {
            headers.push(("last-event-id", id.as_str()));
        }
        let path = format!("/api/v1/events{query}");
        let response = self.send("GET", &path, &headers, "").await;
        assert_eq!(response.status(), 200);
        Sse {
            body: response.into_body(),
            buffer: String::new(),
        }
    }
}

/// A stream of server-sent events.
pub struct Sse {
    body: Incoming,
    buffer: String,
}

impl Sse {
    /// The next event: its id and its data. `None`: the stream ended.
    pub async fn next(&mut self) -> Option<(u64, Value)> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|l| l.strip_prefix(name).map(str::to_owned))
                };
                let got = field("id: ").zip(field("data: "));
                self.buffer = rest.to_owned();
                if let Some((id, data)) = got {
                    return Some((id.parse().unwrap(), serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame()).await;
            let frame = frame.expect("no event in 10 s")?.ok()?;
            if let Some(data) = frame.data_ref() {
                self.buffer.push_str(std::str::from_utf8(data).unwrap());
            }
        }
    }
}

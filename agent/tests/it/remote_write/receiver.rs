//! A receiver that takes what it is told to take and answers as the specifications say.

use super::messages::{Request2, WriteRequest, labels};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use prost::Message;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Which messages a receiver knows, and what it does with the one that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knows {
    /// 1.0; decodes whatever comes as that, and says "taken".
    OneBlindly,
    /// 1.0; answers 415 to 2.0.
    One,
    /// 1.0; answers 400 to 2.0, as servers of that time do.
    OneAnd400,
    /// 2.0; answers 415 to 1.0.
    Two,
}

#[derive(Default)]
struct Seen {
    /// `(version, headers, samples)` of every request.
    requests: Vec<(u8, http::HeaderMap)>,
    /// Samples taken, as `name{labels} value`.
    taken: Vec<String>,
    times: Vec<Instant>,
    answers: VecDeque<(u16, Option<u64>)>,
    poison: Option<String>,
}

#[derive(Clone)]
pub struct Receiver {
    knows: Knows,
    seen: Arc<Mutex<Seen>>,
}

type Answer = http::Response<Full<Bytes>>;

fn answer(status: u16, said: &'static str) -> Answer {
    let mut answer = http::Response::new(Full::new(Bytes::from_static(said.as_bytes())));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    answer
}

impl Receiver {
    pub async fn start(knows: Knows) -> (Receiver, SocketAddr) {
        let receiver = Receiver {
            knows,
            seen: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let all = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = all.clone();
                let service = hyper::service::service_fn(move |request| {
                    let receiver = receiver.clone();
                    async move { Ok::<_, Infallible>(receiver.request(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (receiver, address)
    }

    /// Answers the next requests with these statuses and pauses.
    pub fn next(&self, answers: impl IntoIterator<Item = (u16, Option<u64>)>) {
        self.seen.lock().unwrap().answers.extend(answers);
    }

    /// A request with a sample of this series is refused whole with 400.
    pub fn refuse(&self, series: &str) {
        self.seen.lock().unwrap().poison = Some(series.to_owned());
    }

    pub fn taken(&self) -> Vec<String> {
        self.seen.lock().unwrap().taken.clone()
    }

    /// The version of every request that came.
    pub fn versions(&self) -> Vec<u8> {
        let seen = self.seen.lock().unwrap();
        seen.requests.iter().map(|(version, _)| *version).collect()
    }

    pub fn headers(&self) -> Vec<http::HeaderMap> {
        let seen = self.seen.lock().unwrap();
        seen.requests.iter().map(|(_, h)| h.clone()).collect()
    }

    pub fn times(&self) -> Vec<Instant> {
        self.seen.lock().unwrap().times.clone()
    }

    /// Waits until something is true of what was taken.
    pub async fn wait(&self, until: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !until(&self.taken()) {
            assert!(Instant::now() < end, "taken so far: {:?}", self.taken());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn request(&self, request: http::Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(head.method, http::Method::POST);
        assert_eq!(head.uri.path(), "/api/v1/write");
        assert_eq!(head.headers["content-encoding"], "snappy");
        let kind = head.headers["content-type"].to_str().unwrap();
        let version = match kind {
            "application/x-protobuf" => 1,
            "application/x-protobuf;proto=io.prometheus.write.v2.Request" => 2,
            other => panic!("{other}"),
        };
        let said = head.headers["x-prometheus-remote-write-version"].clone();
        assert_eq!(said, ["", "0.1.0", "2.0.0"][usize::from(version)]);
        let body = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let mut seen = self.seen.lock().unwrap();
        seen.requests.push((version, head.headers));
        seen.times.push(Instant::now());
        if let Some((status, pause)) = seen.answers.pop_front() {
            let mut answer = answer(status, "as told");
            if let Some(pause) = pause {
                let pause = http::HeaderValue::from(pause);
                answer.headers_mut().insert("retry-after", pause);
            }
            return answer;
        }
        match (self.knows, version) {
            (Knows::One, 2) | (Knows::Two, 1) => answer(415, "not this message"),
            (Knows::OneAnd400, 2) => answer(400, "cannot decode"),
            (Knows::Two, _) => seen.take(two(&body), true),
            _ => seen.take(one(&body), false),
        }
    }
}

impl Seen {
    fn take(&mut self, samples: Vec<String>, says_written: bool) -> Answer {
        let poisoned = |p: &String| samples.iter().any(|sample| sample.contains(p.as_str()));
        let refused = self.poison.as_ref().is_some_and(poisoned);
        let written = if refused { 0 } else { samples.len() };
        let mut answer = match refused {
            true => answer(400, "out of order"),
            false => answer(204, ""),
        };
        if !refused {
            self.taken.extend(samples);
        }
        if says_written {
            let headers = answer.headers_mut();
            headers.insert("x-prometheus-remote-write-samples-written", written.into());
        }
        answer
    }
}

fn one(body: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for series in WriteRequest::decode(body).unwrap().timeseries {
        let labels = labels(&series.labels);
        found.extend(
            series
                .samples
                .iter()
                .map(|s| format!("{labels} {}", s.value)),
        );
    }
    found
}

fn two(body: &[u8]) -> Vec<String> {
    let request = Request2::decode(body).unwrap();
    let mut found = Vec::new();
    for series in &request.timeseries {
        let labels = request.labels(&series.labels_refs);
        found.extend(
            series
                .samples
                .iter()
                .map(|s| format!("{labels} {}", s.value)),
        );
    }
    found
}

//! What goes around a remote-write message: its headers, and what an answer says.

use crate::exporters::otlp::{agent, retry_after};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use std::time::Duration;

/// Characters of an answer that are shown.
const SHOWN: usize = 300;
const WRITTEN: [HeaderName; 2] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
];
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// Which message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest`
    One,
    /// `io.prometheus.write.v2.Request`
    Two,
}

/// What a receiver answered.
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Samples and histograms written, where it says so.
    pub written: Option<u64>,
    /// Pause that it asks for.
    pub after: Option<Duration>,
    /// The beginning of its body.
    pub said: String,
}

impl Answer {
    /// Reads an answer.
    pub fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
        Answer {
            status,
            written: written(headers),
            after: retry_after(headers),
            said: String::from_utf8_lossy(body).chars().take(SHOWN).collect(),
        }
    }
}

impl Message {
    /// What the version header says.
    pub fn version(self) -> &'static str {
        match self {
            Message::One => "0.1.0",
            Message::Two => "2.0.0",
        }
    }

    /// What the content type says.
    pub fn content_type(self) -> &'static str {
        match self {
            Message::One => "application/x-protobuf",
            Message::Two => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }
}

/// Headers that both specifications reserve for the sender.
pub fn set_headers(headers: &mut HeaderMap, message: Message, target: &Uri) {
    headers.insert(USER_AGENT, agent());
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(message.content_type()),
    );
    headers.insert(VERSION, HeaderValue::from_static(message.version()));
    if let Some(host) = target.authority()
        && let Ok(host) = HeaderValue::from_str(host.as_str())
    {
        headers.insert(HOST, host);
    }
}

fn written(headers: &HeaderMap) -> Option<u64> {
    let of = |name| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    match WRITTEN.map(of) {
        [None, None] => None,
        [samples, histograms] => Some(samples.unwrap_or(0) + histograms.unwrap_or(0)),
    }
}

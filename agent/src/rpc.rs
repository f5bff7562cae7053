//! gRPC's framing and status by hand: the five-byte prefix, `grpc-status` trailers, and
//! `google.rpc.Status` with `RetryInfo`, as OTLP uses them in both directions.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use prost::Message;
use std::time::Duration;

/// Status codes of gRPC that OTLP gives a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(pub i32);

#[allow(missing_docs)]
impl Code {
    pub const OK: Code = Code(0);
    pub const CANCELLED: Code = Code(1);
    pub const UNKNOWN: Code = Code(2);
    pub const INVALID_ARGUMENT: Code = Code(3);
    pub const DEADLINE_EXCEEDED: Code = Code(4);
    pub const RESOURCE_EXHAUSTED: Code = Code(8);
    pub const ABORTED: Code = Code(10);
    pub const OUT_OF_RANGE: Code = Code(11);
    pub const UNIMPLEMENTED: Code = Code(12);
    pub const INTERNAL: Code = Code(13);
    pub const UNAVAILABLE: Code = Code(14);
    pub const DATA_LOSS: Code = Code(15);
    pub const UNAUTHENTICATED: Code = Code(16);

    /// Whether OTLP lets a client send the request again. RESOURCE_EXHAUSTED only with RetryInfo.
    pub fn is_retryable(self, retry_info: bool) -> bool {
        match self {
            Code::RESOURCE_EXHAUSTED => retry_info,
            code => [
                Code::CANCELLED,
                Code::DEADLINE_EXCEEDED,
                Code::ABORTED,
                Code::OUT_OF_RANGE,
                Code::UNAVAILABLE,
                Code::DATA_LOSS,
            ]
            .contains(&code),
        }
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// A gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Typed details.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// Type of the value.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Encoded message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<ProtoDuration>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Status {
    /// A status, with RetryInfo if the client is to try again after `retry`.
    pub fn new(code: Code, message: impl Into<String>, retry: Option<Duration>) -> Status {
        let info = retry.map(|delay| RetryInfo {
            delay: Some(ProtoDuration {
                seconds: delay.as_secs() as i64,
                nanos: delay.subsec_nanos() as i32,
            }),
        });
        Status {
            code: code.0,
            message: message.into(),
            details: info
                .map(|info| Any {
                    type_url: RETRY_INFO.to_owned(),
                    value: info.encode_to_vec().into(),
                })
                .into_iter()
                .collect(),
        }
    }

    /// The pause that the sender of this status asks for.
    pub fn retry_delay(&self) -> Option<Duration> {
        let any = self.details.iter().find(|d| d.type_url == RETRY_INFO)?;
        let delay = RetryInfo::decode(any.value.clone()).ok()?.delay?;
        Some(Duration::new(
            u64::try_from(delay.seconds).ok()?,
            u32::try_from(delay.nanos).ok()?,
        ))
    }

    /// As `grpc-status`, `grpc-message` and, if it has details, `grpc-status-details-bin`.
    pub fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(3);
        map.insert("grpc-status", HeaderValue::from(self.code));
        if !self.message.is_empty()
            && let Ok(value) = HeaderValue::try_from(percent_encode(&self.message))
        {
            map.insert("grpc-message", value);
        }
        if !self.details.is_empty()
            && let Ok(value) = HeaderValue::try_from(BASE64.encode(self.encode_to_vec()))
        {
            map.insert("grpc-status-details-bin", value);
        }
        map
    }

    /// Reads headers or trailers; `None` without a `grpc-status`.
    pub fn from_headers(map: &HeaderMap) -> Option<Status> {
        let code = map.get("grpc-status")?.to_str().ok()?.parse().ok()?;
        let message = map
            .get("grpc-message")
            .map(|m| percent_decode(m.as_bytes()))
            .unwrap_or_default();
        let details = map
            .get("grpc-status-details-bin")
            .and_then(|v| BASE64.decode(v.as_bytes()).ok())
            .and_then(|b| Status::decode(b.as_slice()).ok())
            .map(|s| s.details)
            .unwrap_or_default();
        Some(Status {
            code,
            message,
            details,
        })
    }
}

/// The prefix of a message of `len` bytes.
pub fn prefix(compressed: bool, len: usize) -> [u8; 5] {
    let mut prefix = [u8::from(compressed), 0, 0, 0, 0];
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    prefix[1..].copy_from_slice(&len.to_be_bytes());
    prefix
}

/// A message with its prefix, not compressed.
pub fn framed(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut buffer = BytesMut::with_capacity(5 + len);
    buffer.put_slice(&prefix(false, len));
    buffer.put_slice(&message.encode_to_vec());
    buffer.freeze()
}

/// gRPC's percent encoding: everything but printable ASCII, and `%` itself.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = text
            .get(at + 1..at + 3)
            .filter(|_| text[at] == b'%')
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(hex.unwrap_or(text[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_headers() {
        let status = Status::new(
            Code::UNAVAILABLE,
            "voll: 100 % \u{fc}ber",
            Some(Duration::from_millis(1500)),
        );
        let read = Status::from_headers(&status.headers());
        assert_eq!(read.as_ref(), Some(&status));
        assert_eq!(
            read.and_then(|s| s.retry_delay()),
            Some(Duration::from_millis(1500))
        );
    }

    #[test]
    fn resource_exhausted_is_retryable_only_with_retry_info() {
        assert!(Code::RESOURCE_EXHAUSTED.is_retryable(true));
        assert!(!Code::RESOURCE_EXHAUSTED.is_retryable(false));
        assert!(Code::UNAVAILABLE.is_retryable(false));
        assert!(!Code::INVALID_ARGUMENT.is_retryable(true));
    }
}

//! OTLP/JSON to OTLP protobuf and back, at the edge: the engine only knows protobuf bytes.
//!
//! Own code over the bytes, because the generated types' JSON support turns an invalid inner field
//! silently into nothing. Here a wrong field costs its point (or, outside of points, its metric),
//! which is counted; wrong types above the metrics refuse the request, with the place.
//! Enums are taken as numbers and, as the Collector does, as names; unknown fields are ignored.

mod decode;
mod encode;
mod lexer;
mod points;
mod scalar;
pub(crate) mod wire;

pub use decode::decode;
pub use encode::{EncodeError, encode};

use bytes::Bytes;

/// Bounds on one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Objects in the request.
    pub elements: usize,
    /// Bytes of the protobuf that comes of it.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            elements: 1_000_000,
            bytes: 16 << 20,
        }
    }
}

/// A request as protobuf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// An `ExportMetricsServiceRequest` (the same bytes as `MetricsData`) without what was rejected.
    pub bytes: Bytes,
    /// Points left out because a field of theirs was not valid. They are in no count of the engine:
    /// add them to received and to rejected.
    pub rejected: u64,
    /// Why and where the first of them was.
    pub reason: Option<String>,
}

/// A request refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("malformed JSON at byte {offset}: {what}")]
    Syntax {
        /// Byte offset in the body.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// JSON of another shape than OTLP.
    #[error("not OTLP/JSON: {place}: {what} (at byte {offset})")]
    Type {
        /// Path of the field: `resourceMetrics[0].scopeMetrics`.
        place: String,
        /// Byte offset in the body.
        offset: usize,
        /// What was expected.
        what: String,
    },
    /// More objects than the limit allows.
    #[error("more than {limit} elements in one request; send smaller requests")]
    TooManyElements {
        /// The limit.
        limit: usize,
    },
    /// More bytes than the limit allows.
    #[error("more than {limit} bytes in one request; send smaller requests")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

#[cfg(test)]
mod tests;

//! Reads a request body inside the limit on its size and the budget of all requests.

use super::Fault;
use super::budget::Reservation;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// The message for a request over `max_request`.
pub fn too_large(limit: usize) -> Fault {
    Fault::TooLarge(format!(
        "the request is larger than {limit} bytes (receivers.otlp.max_request); send smaller requests"
    ))
}

/// The message for a budget that is used up.
pub fn full() -> Fault {
    Fault::Full("too many bytes in flight (limits.in_flight); send again later".to_owned())
}

/// Most bytes that room is made for because a sender says that it will send so many.
const FORETOLD: usize = 1 << 20;

/// Reads the whole body. A body that came in one frame is not copied. `foretold`: how long the first
/// bytes say that it is.
///
/// # Errors
/// It is too large, does not fit the budget, or the connection broke.
pub async fn collect(
    mut body: Incoming,
    limit: usize,
    hold: &mut Reservation,
    foretold: impl Fn(&[u8]) -> usize,
) -> Result<Bytes, Fault> {
    let expected = body.size_hint().exact().unwrap_or(0);
    if expected > limit as u64 {
        return Err(too_large(limit));
    }
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Fault::Malformed(format!("the request broke off: {e}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        len += data.len();
        if len > limit {
            return Err(too_large(limit));
        }
        if !hold.grow(data.len()) {
            return Err(full());
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            if joined.is_empty() {
                let expected = foretold(&first).max(expected as usize);
                joined.reserve(len.max(expected.min(FORETOLD)));
                joined.extend_from_slice(&first);
                // It is told by `joined` that there was one.
                first = Bytes::new();
            }
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() {
        first
    } else {
        joined.freeze()
    })
}

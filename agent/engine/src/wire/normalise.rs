//! The slow path: resources of a rare shape are decoded into the generated types and encoded again.
//!
//! Right, not fast. Unknown fields are lost here, and only here.

use super::index::Index;
use super::write;
use crate::engine::{Limits, Refusal};
use bytes::Bytes;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use prost::Message;

/// The request with its rare resources in the usual shape, walked into `index` anew.
///
/// # Errors
/// The request is refused whole.
pub fn normalise(
    data: &[u8],
    limits: &Limits,
    memo: &mut impl super::walk::Memo,
    index: &mut Index,
) -> Result<Bytes, Refusal> {
    let mut out = Vec::with_capacity(data.len());
    let mut copied = 0;
    let mut rare = std::mem::take(&mut index.rare);
    rare.sort_unstable();
    rare.dedup();
    for number in rare {
        let Some(entry) = index.resources.get(number as usize) else {
            continue;
        };
        let (start, end) = (entry.at.field.start as usize, entry.at.field.end as usize);
        let decoded =
            ResourceMetrics::decode(entry.at.body().of(data)).map_err(|_| Refusal::Malformed {
                offset: start,
                what: "a ResourceMetrics message",
            })?;
        out.extend_from_slice(data.get(copied..start).unwrap_or_default());
        write::put_bytes(
            &mut out,
            super::otlp::request::RESOURCE_METRICS,
            &decoded.encode_to_vec(),
        );
        copied = end;
    }
    out.extend_from_slice(data.get(copied..).unwrap_or_default());
    super::walk::walk(&out, limits, memo, index)?;
    if index.rare.is_empty() {
        Ok(Bytes::from(out))
    } else {
        Err(Refusal::Malformed {
            offset: 0,
            what: "a shape that the generated types write",
        })
    }
}

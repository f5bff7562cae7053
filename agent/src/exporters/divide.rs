//! Divides a request that is larger than a batch: the points of a closed window can be tens of
//! megabytes, and most next hops refuse more than four.
//!
//! Cuts between resources where that is enough, without a copy: what the engine writes at the end
//! of a window comes in resources of a thousand points at most. Else between scopes, metrics and
//! points; what stands above a cut (resource, scope, name, temporality) is repeated in every piece.

use super::queue::Outgoing;
use bytes::Bytes;

/// Field numbers on the way from a request to its points: the repeated ones, then the kinds of
/// `Metric.data` (gauge, sum, histogram, exponential histogram, summary), then `data_points`.
const LEVELS: [&[u64]; 5] = [&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]];
/// Longest tag and length before a nested message.
const HEAD: usize = 12;

/// Pieces of at most about `limit` bytes; the request itself if it is small enough, or if its
/// points would not all be found again.
pub fn divide(request: Outgoing, limit: usize) -> Vec<Outgoing> {
    let [whole] = &request.parts[..] else {
        return vec![request];
    };
    if request.bytes <= limit || request.points <= 1 {
        return vec![request];
    }
    let Some(pieces) = slices(whole, limit) else {
        return vec![request];
    };
    let pieces = pieces.into_iter();
    let outgoing: Vec<Outgoing> = pieces
        .filter_map(|piece| outgoing(piece, &request))
        .collect();
    let points: u64 = outgoing.iter().map(|o| o.points).sum();
    if points != request.points {
        return vec![request];
    }
    share_bytes(outgoing, request.held)
}

/// About halves of a request, so that what is wrong in one is not laid on the other. `None`: it
/// cannot be divided.
pub fn halve(request: &Outgoing) -> Option<Vec<Outgoing>> {
    let whole = Outgoing {
        parts: vec![Bytes::from(request.parts.concat())],
        ..request.clone()
    };
    let pieces = divide(whole, request.bytes / 2);
    (pieces.len() > 1).then_some(pieces)
}

/// Cuts between resources, without a copy; a resource that is too large by itself is copied into
/// pieces. `None`: not understood.
fn slices(whole: &Bytes, limit: usize) -> Option<Vec<Bytes>> {
    let (children, below) = LEVELS.split_first()?;
    let mut pieces = Vec::new();
    // What is being gathered: a range of the whole.
    let (mut from, mut to) = (0, 0);
    let close = |from: usize, to: usize, pieces: &mut Vec<Bytes>| {
        if to > from {
            pieces.push(whole.slice(from..to));
        }
    };
    for field in fields(whole)? {
        let end = to + field.whole.len();
        let is_child = children.contains(&field.number);
        match field.payload.filter(|p| is_child && p.len() + HEAD > limit) {
            Some(payload) => {
                close(from, to, &mut pieces);
                let mut parts = Vec::new();
                cut(payload, below, limit.saturating_sub(HEAD), &mut parts)?;
                pieces.extend(
                    parts
                        .iter()
                        .map(|part| Bytes::from(nested(field.number, part))),
                );
                from = end;
            }
            None if end - from > limit => {
                close(from, to, &mut pieces);
                from = to;
            }
            None => {}
        }
        to = end;
    }
    close(from, to, &mut pieces);
    Some(pieces)
}

fn nested(number: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + HEAD);
    put_varint(&mut out, number << 3 | 2);
    put_varint(&mut out, body.len() as u64);
    out.extend_from_slice(body);
    out
}

fn outgoing(piece: Bytes, of: &Outgoing) -> Option<Outgoing> {
    let points = phoenix_engine::engine::count_points(&piece).ok()?;
    Some(Outgoing {
        bytes: piece.len(),
        points,
        held: piece.len(),
        parts: vec![piece],
        lane: of.lane,
        run: of.run.clone(),
    })
}

/// The queue holds the bytes of the whole; repeating heads made the pieces longer. Each piece gives
/// back its length, the last one the rest.
fn share_bytes(mut pieces: Vec<Outgoing>, mut held: usize) -> Vec<Outgoing> {
    let last = pieces.len().saturating_sub(1);
    for (number, piece) in pieces.iter_mut().enumerate() {
        piece.held = if number == last {
            held
        } else {
            piece.bytes.min(held)
        };
        held -= piece.held;
    }
    pieces
}

/// Appends pieces of `message` to `out`. `None`: not understood.
fn cut(message: &[u8], levels: &[&[u64]], limit: usize, out: &mut Vec<Vec<u8>>) -> Option<()> {
    let Some((children, below)) = levels.split_first() else {
        // One point is not divided, however large.
        out.push(message.to_vec());
        return Some(());
    };
    let fields = fields(message)?;
    let is_child = |f: &&Field<'_>| f.payload.is_some() && children.contains(&f.number);
    let head: Vec<u8> = fields
        .iter()
        .filter(|f| !is_child(f))
        .flat_map(|f| f.whole)
        .copied()
        .collect();
    let room = limit.saturating_sub(head.len() + HEAD);
    let mut piece = head.clone();
    for field in fields.iter().filter(is_child) {
        let payload = field.payload?;
        if payload.len() <= room {
            if piece.len() + field.whole.len() > limit && piece.len() > head.len() {
                out.push(std::mem::replace(&mut piece, head.clone()));
            }
            piece.extend_from_slice(field.whole);
            continue;
        }
        if piece.len() > head.len() {
            out.push(std::mem::replace(&mut piece, head.clone()));
        }
        let mut parts = Vec::new();
        cut(payload, below, room, &mut parts)?;
        for part in parts {
            let mut piece = head.clone();
            piece.extend_from_slice(&nested(field.number, &part));
            out.push(piece);
        }
    }
    if piece.len() > head.len() {
        out.push(piece);
    }
    Some(())
}

/// One field of a message: with its tag, and what is in it where it is length-delimited.
struct Field<'a> {
    number: u64,
    whole: &'a [u8],
    payload: Option<&'a [u8]>,
}

fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (tag, after) = varint(rest)?;
        let (payload, next) = match tag & 7 {
            0 => (None, varint(after)?.1),
            1 => (None, after.get(8..)?),
            2 => {
                let (length, after) = varint(after)?;
                let (payload, next) = after.split_at_checked(usize::try_from(length).ok()?)?;
                (Some(payload), next)
            }
            5 => (None, after.get(4..)?),
            _ => return None,
        };
        fields.push(Field {
            number: tag >> 3,
            whole: &rest[..rest.len() - next.len()],
            payload,
        });
        rest = next;
    }
    Some(fields)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point::Value,
    };
    use prost::Message;

    fn resource(metrics: usize, points: i64) -> ResourceMetrics {
        let metric = |name: usize| Metric {
            name: format!("metric-{name}"),
            data: Some(Data::Gauge(Gauge {
                data_points: (0..points)
                    .map(|n| NumberDataPoint {
                        time_unix_nano: 5,
                        value: Some(Value::AsInt(n)),
                        ..Default::default()
                    })
                    .collect(),
            })),
            ..Default::default()
        };
        ResourceMetrics {
            schema_url: "https://example.org/schema".into(),
            scope_metrics: vec![ScopeMetrics {
                metrics: (0..metrics).map(metric).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// Name and value of every point, in order; every piece has its schema.
    fn flat(bytes: &[u8]) -> Vec<(String, i64)> {
        let request = ExportMetricsServiceRequest::decode(bytes).unwrap();
        let mut found = Vec::new();
        for resource in request.resource_metrics {
            assert_eq!(resource.schema_url, "https://example.org/schema");
            for metric in resource.scope_metrics.into_iter().flat_map(|s| s.metrics) {
                let Some(Data::Gauge(gauge)) = metric.data else {
                    continue;
                };
                for point in gauge.data_points {
                    if let Some(Value::AsInt(n)) = point.value {
                        found.push((metric.name.clone(), n));
                    }
                }
            }
        }
        found
    }

    fn check(resources: Vec<ResourceMetrics>, limit: usize) -> usize {
        let request = ExportMetricsServiceRequest {
            resource_metrics: resources,
        };
        let bytes = Bytes::from(request.encode_to_vec());
        let before = flat(&bytes);
        let whole = Outgoing {
            bytes: bytes.len(),
            held: bytes.len(),
            points: before.len() as u64,
            parts: vec![bytes.clone()],
            ..Outgoing::default()
        };
        let pieces = divide(whole, limit);
        let after: Vec<_> = pieces.iter().flat_map(|p| flat(&p.parts[0])).collect();
        assert_eq!(after, before);
        assert_eq!(pieces.iter().map(|p| p.held).sum::<usize>(), bytes.len());
        assert!(pieces.iter().all(|p| p.bytes <= limit || p.points == 1));
        pieces.len()
    }

    #[test]
    fn every_point_is_in_one_piece_wherever_the_cut_is() {
        assert_eq!(check(vec![resource(2, 3)], 10_000), 1);
        assert!(check((0..50).map(|_| resource(1, 4)).collect(), 1_000) > 5);
        assert!(check(vec![resource(60, 4)], 1_000) > 5);
        assert!(check(vec![resource(1, 5_000), resource(3, 2)], 1_000) > 50);
        assert!(check(vec![resource(2, 20)], 10) >= 40);
    }
}

//! Decompression with a cap: it stops at the limit, not after it, and every byte it makes is taken
//! from the budget first.

use super::Fault;
use super::body::{full, too_large};
use super::budget::Reservation;
use bytes::{Bytes, BytesMut};
use std::io::Read;

/// zstd frames that want a larger window than 8 MiB are refused (the format's recommended bound).
const ZSTD_WINDOW_LOG: u32 = 23;
/// Bytes inflated at a time.
const STEP: usize = 64 * 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, one or more members.
    Gzip,
    /// zstd, one or more frames.
    Zstd,
}

impl Encoding {
    /// Reads `content-encoding` or `grpc-encoding`; absent is identity.
    ///
    /// # Errors
    /// An encoding that is not known here.
    pub fn from_header(value: Option<&http::HeaderValue>) -> Result<Encoding, Fault> {
        match value.map(|v| v.as_bytes()) {
            None | Some(b"" | b"identity") => Ok(Encoding::Identity),
            Some(b"gzip") => Ok(Encoding::Gzip),
            Some(b"zstd") => Ok(Encoding::Zstd),
            Some(other) => Err(Fault::Unsupported(format!(
                "compression {:?} is not supported; use identity, gzip or zstd",
                String::from_utf8_lossy(other)
            ))),
        }
    }
}

/// Inflates `body` up to `limit` bytes. The budget then holds the inflated bytes alone.
///
/// # Errors
/// Truncated or corrupt input, more than `limit` bytes, or no room in the budget.
pub fn inflate(
    encoding: Encoding,
    body: Bytes,
    limit: usize,
    hold: &mut Reservation,
) -> Result<Bytes, Fault> {
    let wrong = |kind: &str, e: std::io::Error| {
        Fault::Malformed(format!("the {kind} body cannot be decompressed: {e}"))
    };
    match encoding {
        Encoding::Identity => Ok(body),
        // An empty body is an empty request for some senders.
        _ if body.is_empty() => Ok(body),
        Encoding::Gzip => {
            let reader = flate2::bufread::MultiGzDecoder::new(&body[..]);
            read_capped(reader, &body, gzip_size(&body), limit, hold, |e| {
                wrong("gzip", e)
            })
        }
        Encoding::Zstd => {
            let mut reader = zstd::stream::read::Decoder::with_buffer(&body[..])
                .map_err(|e| wrong("zstd", e))?;
            reader
                .window_log_max(ZSTD_WINDOW_LOG)
                .map_err(|e| wrong("zstd", e))?;
            let size = zstd_size(&body);
            read_capped(reader, &body, size, limit, hold, |e| wrong("zstd", e))
        }
    }
}

/// Most bytes that room is made for because a body says that it holds so many.
const FORETOLD: usize = 1 << 20;

/// What a gzip body says it inflates to: the last four bytes of its last member.
fn gzip_size(body: &[u8]) -> usize {
    let last = body.last_chunk().copied();
    last.map_or(0, |last| u32::from_le_bytes(last) as usize)
}

/// What a zstd body says it inflates to, where its first frame says so.
fn zstd_size(body: &[u8]) -> usize {
    let size = zstd::zstd_safe::get_frame_content_size(body).ok().flatten();
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or(0)
}

fn read_capped(
    mut reader: impl Read,
    body: &Bytes,
    foretold: usize,
    limit: usize,
    hold: &mut Reservation,
    wrong: impl Fn(std::io::Error) -> Fault,
) -> Result<Bytes, Fault> {
    let mut out = BytesMut::new();
    let mut len = 0;
    loop {
        // One byte over the limit is enough to know.
        let step = match len {
            // One byte more, to see the end.
            0 => foretold.min(FORETOLD).saturating_add(1).max(STEP),
            len => STEP.max(len),
        };
        let step = step.min(limit + 1 - len);
        if !hold.grow(step) {
            return Err(full());
        }
        out.resize(len + step, 0);
        let mut filled = len;
        while filled < out.len() {
            match reader.read(&mut out[filled..]) {
                Ok(0) => {
                    out.truncate(filled);
                    hold.shrink_to(filled + body.len());
                    return Ok(out.freeze());
                }
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(wrong(e)),
            }
        }
        len = filled;
        if len > limit {
            return Err(too_large(limit));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::budget::Budget;
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn every_encoding_gives_back_what_was_compressed() {
        let data: Vec<u8> = (0..300_000u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let budget = Budget::new(10_000_000);
        let zstd = Bytes::from(zstd::encode_all(&data[..], 1).unwrap());
        for (encoding, body) in [(Encoding::Gzip, gzip(&data)), (Encoding::Zstd, zstd)] {
            let mut hold = budget.open();
            let out = inflate(encoding, body, 2_000_000, &mut hold).unwrap();
            assert_eq!(out, data);
            drop(hold);
            assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 50_000_000]);
        let budget = Budget::new(4_000_000);
        let mut hold = budget.open();
        let fault = inflate(Encoding::Gzip, bomb, 1_000_000, &mut hold).unwrap_err();
        assert!(matches!(fault, Fault::TooLarge(_)), "{fault}");
        assert!(budget.used() <= 1_100_000);
    }

    #[test]
    fn a_truncated_body_is_malformed() {
        let data = vec![7; 100_000];
        let budget = Budget::new(4_000_000);
        let zstd = zstd::encode_all(&data[..], 1).unwrap();
        for (encoding, body) in [(Encoding::Gzip, gzip(&data)), (Encoding::Zstd, zstd.into())] {
            let cut = body.slice(..body.len() - 4);
            let fault = inflate(encoding, cut, 1_000_000, &mut budget.open()).unwrap_err();
            assert!(matches!(fault, Fault::Malformed(_)), "{fault}");
        }
    }
}

//! Reads the Collector's file formats: length-prefixed protobuf, and JSON lines, both under zstd.

use bytes::Bytes;
use opentelemetry_proto::tonic::metrics::v1::MetricsData;
use prost::Message;
use std::path::PathBuf;

/// Every capture: its file name, and its messages.
pub fn captures() -> Vec<(String, Vec<Bytes>)> {
    let folder = std::env::var_os("PHOENIX_CAPTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures"),
        PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(&folder) else {
        println!("skipped: no captures (PHOENIX_CAPTURES names their folder)");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = files.map(|f| f.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                read(path),
            )
        })
        .collect()
}

fn read(path: &PathBuf) -> Vec<Bytes> {
    let raw = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    if path.to_string_lossy().contains(".json") {
        return raw
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice::<MetricsData>(line)
                    .unwrap()
                    .encode_to_vec()
                    .into()
            })
            .collect();
    }
    let raw = Bytes::from(raw);
    let (mut at, mut messages) = (0, Vec::new());
    while at < raw.len() {
        let length = u32::from_be_bytes(raw[at..at + 4].try_into().unwrap()) as usize;
        messages.push(raw.slice(at + 4..at + 4 + length));
        at += 4 + length;
    }
    messages
}

//! `exporters`: keys, defaults and rules.

use super::super::reader::Section;
use super::super::*;
use super::{MIB, endpoint, required, tls};
use crate::exporters::headers::Header;

pub fn exporters(root: &Section, memory: usize) -> Exporters {
    let Some(section) = root.section("exporters") else {
        return Exporters::default();
    };
    let exporters = Exporters {
        otlp: section
            .section("otlp")
            .and_then(|s| otlp_exporter(&s, memory)),
        file: section.section("file").and_then(|s| file_exporter(&s)),
        shadow: section.section("shadow").and_then(|s| shadow(&s, memory)),
    };
    if !["otlp", "file"].iter().any(|k| section.has(k)) {
        root.wrong(
            "exporters",
            "has no `otlp` and no `file`, so every point would be lost; add one",
        );
    }
    section.finish();
    exporters
}

fn shadow(s: &Section, memory: usize) -> Option<ShadowExporter> {
    let otlp = s.section("otlp").map(|s| otlp_exporter(&s, memory));
    let file = s.section("file").map(|s| file_exporter(&s));
    s.finish();
    match (otlp, file) {
        (Some(otlp), None) => Some(ShadowExporter::Otlp(Box::new(otlp?))),
        (None, Some(file)) => Some(ShadowExporter::File(file?)),
        _ => {
            s.wrong("", "needs exactly one of `otlp` and `file`");
            None
        }
    }
}

fn otlp_exporter(s: &Section, memory: usize) -> Option<OtlpExporter> {
    let protocol = s.parsed("protocol", |t| match t {
        "grpc" => Ok(Protocol::Grpc),
        "http" | "http/protobuf" => Ok(Protocol::Http),
        _ => Err(format!("{t:?} must be grpc or http")),
    });
    let endpoint = endpoint(s, "endpoint", "http://127.0.0.1:4317");
    let exporter = OtlpExporter {
        protocol: protocol.unwrap_or(Protocol::Grpc),
        compression: compression(s, true),
        timeout: s.duration("timeout").unwrap_or(Duration::from_secs(10)),
        headers: headers(s),
        tls: tls(s, endpoint.as_ref()),
        batch: batch(s),
        queue_bytes: queue(s, memory),
        retry: retry(s),
        endpoint: endpoint.clone().unwrap_or_default(),
    };
    s.finish();
    endpoint.map(|_| exporter)
}

fn batch(s: &Section) -> Batch {
    let section = s.section("batch");
    let s = section.as_ref();
    let batch = Batch {
        points: s.and_then(|s| s.count("points", 1)).unwrap_or(8192) as u64,
        bytes: s.and_then(|s| s.size("bytes")).unwrap_or(MIB),
        timeout: s
            .and_then(|s| s.duration("timeout"))
            .unwrap_or(Duration::from_millis(200)),
    };
    if let Some(s) = s {
        s.finish();
    }
    batch
}

fn queue(s: &Section, memory: usize) -> usize {
    let default = (64 * MIB).min(memory / 4);
    let Some(section) = s.section("queue") else {
        return default;
    };
    let bytes = section.size("bytes").unwrap_or(default);
    if bytes > memory / 2 {
        section.wrong(
            "bytes",
            format!(
                "{bytes} is more than half of limits.memory ({memory}); lower it or raise the memory"
            ),
        );
    }
    section.finish();
    bytes
}

fn retry(s: &Section) -> Retry {
    let section = s.section("retry");
    let s = section.as_ref();
    let retry = Retry {
        initial: s
            .and_then(|s| s.duration("initial"))
            .unwrap_or(Duration::from_secs(1)),
        max: s
            .and_then(|s| s.duration("max"))
            .unwrap_or(Duration::from_secs(30)),
        give_up: s.and_then(|s| s.duration("give_up")),
    };
    if let Some(s) = s {
        if retry.max < retry.initial {
            s.wrong("max", "must not be shorter than `initial`");
        }
        s.finish();
    }
    retry
}

fn headers(s: &Section) -> Headers {
    let mut headers = Vec::new();
    for (name, value) in s.table("headers").unwrap_or_default() {
        match Header::parse(&name, &value) {
            Ok(header) => headers.push(header),
            Err(message) => s.wrong(&format!("headers.{name}"), message),
        }
    }
    Headers(headers)
}

fn compression(s: &Section, gzip: bool) -> Compression {
    s.parsed("compression", |t| match t {
        "none" => Ok(Compression::None),
        "gzip" if gzip => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        _ if gzip => Err(format!("{t:?} must be none, gzip or zstd")),
        _ => Err(format!("{t:?} must be none or zstd")),
    })
    .unwrap_or(Compression::None)
}

fn file_exporter(s: &Section) -> Option<FileExporter> {
    let format = s.parsed("format", |t| match t {
        "proto" => Ok(FileFormat::Proto),
        "json" => Ok(FileFormat::Json),
        _ => Err(format!("{t:?} must be proto or json")),
    });
    let compression = compression(s, false);
    let path = required(s, "path", "the file to write");
    s.finish();
    Some(FileExporter {
        path: path?.into(),
        format: format.unwrap_or(FileFormat::Proto),
        compression,
    })
}

//! From the YAML tree to checked settings: every key, default and rule in one place.

mod exporters;

use super::reader::{Problems, Section};
use super::*;
use phoenix_engine::yaml;

const MIB: usize = 1024 * 1024;
/// Worker 0 merges what all of them hold: beyond this it is what limits.
const MOST_WORKERS: usize = 64;
/// Used where no cgroup limits the process.
const DEFAULT_MEMORY: usize = 256 * MIB;

/// Checks the whole tree.
///
/// # Errors
/// Every mistake, with its path.
pub fn check(root: yaml::Node) -> Result<Settings, Vec<Problem>> {
    let problems = Problems::default();
    let root = Section::root(root, problems.clone());
    let limits = limits(&root);
    let settings = Settings {
        node: node(&root),
        receivers: receivers(&root),
        exporters: exporters::exporters(&root, limits.memory),
        pipeline_file: pipeline(&root),
        control_plane: control_plane(&root),
        state: root.text("state").map(PathBuf::from),
        admin: address(&root, "admin").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8889))),
        limits,
        workers: workers(&root),
        drain: root.duration("drain").unwrap_or(Duration::from_secs(20)),
    };
    whole(&root, &settings);
    root.finish();
    drop(root);
    let found = problems.take();
    if found.is_empty() {
        Ok(settings)
    } else {
        Err(found)
    }
}

/// Workers: a number, or `auto` for one a core, at most [`MOST_WORKERS`].
fn workers(root: &Section) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // More than two a core only take turns.
    let most = (2 * cores).min(MOST_WORKERS);
    let read = |text: &str| match text.parse::<usize>() {
        _ if text == "auto" => Ok(cores.min(MOST_WORKERS)),
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => Err(format!(
            "{text:?} must be `auto` or a whole number from 1 to {most}: a worker is a core, and this machine gives {cores}"
        )),
    };
    root.parsed("workers", read).unwrap_or(1)
}

/// Rules that concern several sections.
fn whole(root: &Section, settings: &Settings) {
    let r = &settings.receivers;
    if r.otlp.is_none() && r.host.is_none() && r.file.is_none() && !root.has("receivers") {
        root.wrong(
            "receivers",
            "none is set; add `otlp: { grpc: \"127.0.0.1:4317\" }`, `host:` or `file:`",
        );
    }
    let to = &settings.exporters;
    if to.otlp.is_none() && to.remote_write.is_none() && to.file.is_none() && !root.has("exporters")
    {
        root.wrong(
            "exporters",
            "none is set, so every point would be lost; add `otlp: { endpoint: ... }`, `remote_write: { endpoint: ... }` or `file: { path: ... }`",
        );
    }
    if settings.pipeline_file.is_some() && settings.control_plane.is_some() {
        root.wrong(
            "pipeline",
            "plans come from a file or from the control plane, not from both; remove one",
        );
    }
    if settings.control_plane.is_some() && settings.state.is_none() {
        root.wrong(
            "state",
            "a folder is needed with control_plane, for the credential and the last good plan",
        );
    }
    if settings.limits.in_flight > settings.limits.memory / 2 {
        root.wrong(
            "limits.in_flight",
            format!(
                "{} bytes is more than half of limits.memory ({}); lower it or raise the memory",
                settings.limits.in_flight, settings.limits.memory
            ),
        );
    }
}

fn node(root: &Section) -> Node {
    let own = |key: &str, s: Option<&Section>| s.and_then(|s| s.text(key));
    let section = root.section("node");
    let s = section.as_ref();
    let node = Node {
        name: own("name", s).unwrap_or_else(host_name),
        labels: s.and_then(|s| s.table("labels")).unwrap_or_default(),
        tenant: own("tenant", s).unwrap_or_else(|| "default".to_owned()),
        cluster: own("cluster", s).unwrap_or_else(|| "default".to_owned()),
        keys: s
            .and_then(|s| s.texts("keys"))
            .unwrap_or_else(|| phoenix_engine::engine::Settings::default().node_keys),
    };
    if node.name.is_empty() {
        root.wrong("node.name", "is empty and the host has no name; give one");
    }
    if let Some(s) = s {
        s.finish();
    }
    node
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|n| n.trim().to_owned())
        .unwrap_or_default()
}

fn receivers(root: &Section) -> Receivers {
    let Some(section) = root.section("receivers") else {
        return Receivers::default();
    };
    let receivers = Receivers {
        otlp: section.section("otlp").map(|s| otlp_receiver(&s)),
        host: section.section("host").map(|s| host_receiver(&s)),
        file: section.section("file").and_then(|s| {
            let path = required(&s, "path", "the capture to read").map(PathBuf::from);
            s.finish();
            path
        }),
    };
    if !["otlp", "host", "file"].iter().any(|k| section.has(k)) {
        root.wrong(
            "receivers",
            "is empty; add `otlp: { grpc: \"127.0.0.1:4317\" }`, `host:` or `file:`",
        );
    }
    section.finish();
    receivers
}

fn otlp_receiver(s: &Section) -> OtlpReceiver {
    let both_absent = !s.has("grpc") && !s.has("http");
    let default = |port| both_absent.then(|| SocketAddr::from(([127, 0, 0, 1], port)));
    let receiver = OtlpReceiver {
        grpc: address(s, "grpc").or(default(4317)),
        http: address(s, "http").or(default(4318)),
        max_request: s.size("max_request").unwrap_or(16 * MIB),
    };
    s.finish();
    receiver
}

fn host_receiver(s: &Section) -> HostReceiver {
    let rules = |key: &str| {
        let Some(s) = s.section(key) else {
            return ProcessRules::default();
        };
        let rules = ProcessRules {
            names: s.texts("names").unwrap_or_default(),
            owners: s.texts("owners").unwrap_or_default(),
            command_lines: s.texts("command_lines").unwrap_or_default(),
        };
        s.finish();
        rules
    };
    let receiver = HostReceiver {
        every: s.duration("every").unwrap_or(Duration::from_secs(10)),
        root_path: s.text("root_path").unwrap_or_else(|| "/".to_owned()).into(),
        include: rules("include"),
        exclude: rules("exclude"),
    };
    s.finish();
    receiver
}

fn pipeline(root: &Section) -> Option<PathBuf> {
    let s = root.section("pipeline")?;
    let path = required(&s, "file", "the pipeline document to run");
    s.finish();
    path.map(PathBuf::from)
}

fn control_plane(root: &Section) -> Option<ControlPlane> {
    let s = root.section("control_plane")?;
    let endpoint = endpoint(&s, "endpoint", "http://127.0.0.1:7070");
    let plane = ControlPlane {
        token_file: s.text("token_file").map(PathBuf::from),
        reconnect_max: s
            .duration("reconnect_max")
            .unwrap_or(crate::control::RECONNECT_MAX),
        tls: tls(&s, endpoint.as_ref()),
        endpoint: endpoint.clone().unwrap_or_default(),
    };
    s.finish();
    endpoint.map(|_| plane)
}

/// A URL whose transport is safe, or was asked for by `insecure: true`.
fn endpoint(s: &Section, key: &str, example: &str) -> Option<http::Uri> {
    let insecure = s.flag("insecure").unwrap_or(false);
    let text = required(s, key, &format!("the address to send to, like {example}"))?;
    let uri = match text.parse::<http::Uri>() {
        Ok(uri) if uri.host().is_some() => uri,
        _ => {
            s.wrong(key, format!("{text:?} is no URL; write it like {example}"));
            return None;
        }
    };
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if insecure || loopback(uri.host().unwrap_or_default()) => {}
        Some("http") => s.wrong(
            key,
            "would send metrics in plain text over the network; use https://, or ask for it with `insecure: true`",
        ),
        _ => s.wrong(key, format!("{text:?} must begin with http:// or https://")),
    }
    Some(uri)
}

fn loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn tls(s: &Section, endpoint: Option<&http::Uri>) -> Tls {
    let Some(t) = s.section("tls") else {
        return Tls::default();
    };
    let tls = Tls {
        ca_file: t.text("ca_file").map(PathBuf::from),
        cert_file: t.text("cert_file").map(PathBuf::from),
        key_file: t.text("key_file").map(PathBuf::from),
    };
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        t.wrong(
            "cert_file",
            "a client certificate needs cert_file and key_file",
        );
    }
    if endpoint.is_some_and(|e| e.scheme_str() == Some("http")) {
        s.wrong(
            "tls",
            "has no effect on an http:// endpoint; write https:// or remove it",
        );
    }
    t.finish();
    tls
}

fn limits(root: &Section) -> Limits {
    let section = root.section("limits");
    let s = section.as_ref();
    let memory = s.and_then(|s| s.size("memory")).unwrap_or_else(|| {
        crate::limits::cgroup_memory().map_or(DEFAULT_MEMORY, |limit| limit / 5 * 4)
    });
    let limits = Limits {
        memory,
        series: s.and_then(|s| s.count("series", 1)).unwrap_or(200_000),
        in_flight: s
            .and_then(|s| s.size("in_flight"))
            .unwrap_or((64 * MIB).min(memory / 4)),
    };
    if let Some(s) = s {
        s.finish();
    }
    limits
}

fn address(s: &Section, key: &str) -> Option<SocketAddr> {
    s.parsed(key, |t| {
        t.parse::<SocketAddr>().map_err(|_| {
            format!("{t:?} is no address; write it as \"127.0.0.1:4317\" or \"[::1]:4317\"")
        })
    })
}

fn required(s: &Section, key: &str, what: &str) -> Option<String> {
    let text = s.text(key);
    if text.is_none() && !s.has(key) {
        s.wrong(key, format!("is missing: {what}"));
    }
    text
}

//! The Kubernetes manifest: what it says is what the agent understands.

use phoenix_tests::harness::{binary, project};
use serde::Deserialize;
use serde_yaml::Value;
use std::process::Command;

fn documents() -> Vec<Value> {
    let text = std::fs::read_to_string(project("deploy/kubernetes/agent.yaml")).expect("manifest");
    let all = serde_yaml::Deserializer::from_str(&text);
    all.map(|d| Value::deserialize(d).expect("YAML")).collect()
}

fn of_kind(kind: &str) -> Value {
    let found = documents().into_iter().find(|d| d["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in the manifest"))
}

#[test]
fn the_agent_takes_the_settings_of_the_manifest() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("agent.yaml");
    let settings = of_kind("ConfigMap")["data"]["agent.yaml"]
        .as_str()
        .expect("settings")
        .to_owned();
    std::fs::write(&file, settings).expect("written");
    let out = Command::new(binary("phoenix-agent"))
        .args(["--check", "--settings", file.to_str().expect("UTF-8")])
        .output()
        .expect("the agent runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn the_grace_period_is_longer_than_the_drain() {
    let pod = of_kind("DaemonSet")["spec"]["template"]["spec"].clone();
    let grace = pod["terminationGracePeriodSeconds"]
        .as_u64()
        .expect("grace");
    // The agent's default, `drain: 20s`.
    assert!(grace > 20, "{grace} s");
    let container = &pod["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert!(container[probe]["httpGet"]["path"].is_string(), "{probe}");
    }
    assert!(container["resources"]["limits"]["memory"].is_string());
    let volumes = pod["volumes"].as_sequence().expect("volumes");
    for path in ["/proc", "/var/lib/phoenix"] {
        assert!(
            volumes.iter().any(|v| v["hostPath"]["path"] == path),
            "{path} is a host path"
        );
    }
}

//! Who may know whom, and what must never enter the tree.

use phoenix_tests::harness::project;
use std::collections::{BTreeMap, BTreeSet};

/// Folder, package, and the packages of ours that it may depend on (tests and benches: everything).
const ALLOWED: [(&str, &str, &[&str]); 9] = [
    ("agent/engine", "phoenix-engine", &[]),
    ("proto", "phoenix-proto", &[]),
    (
        "agent",
        "phoenix-agent",
        &["phoenix-engine", "phoenix-proto"],
    ),
    (
        "control-plane/analysis",
        "phoenix-analysis",
        &["phoenix-engine"],
    ),
    (
        "control-plane",
        "phoenix-control-plane",
        &["phoenix-engine", "phoenix-proto", "phoenix-analysis"],
    ),
    (
        "control-plane/operator",
        "phoenix-operator",
        &["phoenix-engine", "phoenix-proto"],
    ),
    // Its tests know the engine, too; the model itself must not.
    ("tests/model", "phoenix-model", &[]),
    ("tests/simulator", "phoenix-simulator", &["phoenix-proto"]),
    (
        "control-plane/cli",
        "phoenix-cli",
        &[
            "phoenix-agent",
            "phoenix-analysis",
            "phoenix-control-plane",
            "phoenix-engine",
            "phoenix-proto",
            "phoenix-simulator",
        ],
    ),
];

fn manifest(folder: &str) -> Option<toml::Table> {
    let text = std::fs::read_to_string(project(folder).join("Cargo.toml")).ok()?;
    Some(text.parse().expect("Cargo.toml is TOML"))
}

fn names(table: &toml::Table, section: &str) -> BTreeSet<String> {
    table
        .get(section)
        .and_then(|s| s.as_table())
        .map(|t| t.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn crates_know_only_whom_they_may() {
    let mut checked = 0;
    for (folder, package, allowed) in ALLOWED {
        let Some(table) = manifest(folder) else {
            continue;
        };
        assert_eq!(table["package"]["name"].as_str(), Some(package), "{folder}");
        let ours: Vec<_> = names(&table, "dependencies")
            .into_iter()
            .filter(|n| n.starts_with("phoenix-"))
            .collect();
        for name in ours {
            assert!(
                allowed.contains(&name.as_str()),
                "{package} must not depend on {name}"
            );
        }
        checked += 1;
    }
    assert!(checked >= 7, "only {checked} crates found");
}

#[test]
fn every_member_has_its_rule() {
    let root = manifest(".").expect("root manifest");
    let members = root["workspace"]["members"].as_array().expect("members");
    for member in members.iter().filter_map(|m| m.as_str()) {
        let known = ALLOWED.iter().any(|(folder, ..)| *folder == member);
        assert!(
            known || ["tests", "benches"].contains(&member),
            "{member} has no dependency rule"
        );
    }
}

#[test]
fn the_pure_crates_have_no_async_clock_network_file_or_thread() {
    let crates = [
        "tokio",
        "hyper",
        "tracing",
        "rand",
        "futures-util",
        "tonic",
        "reqwest",
        "axum",
    ];
    for folder in ["agent/engine", "control-plane/analysis"] {
        let table = manifest(folder).expect("manifest");
        let used = names(&table, "dependencies");
        for forbidden in crates {
            assert!(!used.contains(forbidden), "{folder} depends on {forbidden}");
        }
        let words = [
            "std::time::Instant",
            "SystemTime",
            "std::fs",
            "std::net",
            "std::thread",
            "async fn",
            "static mut",
        ];
        for (path, text) in super::files::rust_files(&project(folder).join("src")) {
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in words {
                assert!(!product.contains(word), "{} uses {word}", path.display());
            }
        }
    }
}

#[test]
fn versions_are_pinned_in_the_workspace_only() {
    for (folder, ..) in ALLOWED
        .iter()
        .chain([&("tests", "", &[][..]), &("benches", "", &[][..])])
    {
        let Some(table) = manifest(folder) else {
            continue;
        };
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(entries) = table.get(section).and_then(|s| s.as_table()) else {
                continue;
            };
            for (name, value) in entries {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(
                    inherited,
                    "{folder}: {name} does not take its version from the workspace"
                );
            }
        }
        assert!(
            table.get("features").is_none(),
            "{folder} has cargo features"
        );
    }
}

#[test]
fn one_tls_provider_and_no_second_library_for_one_job() {
    let lock: toml::Table = std::fs::read_to_string(project("Cargo.lock"))
        .expect("lock")
        .parse()
        .expect("TOML");
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for package in lock["package"].as_array().expect("packages") {
        *versions
            .entry(package["name"].as_str().expect("name"))
            .or_default() += 1;
    }
    for forbidden in [
        "aws-lc-sys",
        "openssl-sys",
        "native-tls",
        "rusqlite",
        "diesel",
        "serde_yml",
    ] {
        assert!(
            !versions.contains_key(forbidden),
            "{forbidden} came into the tree"
        );
    }
    for single in [
        "tonic",
        "prost",
        "hyper",
        "axum",
        "tokio",
        "rustls",
        "sqlx",
        "opentelemetry-proto",
        "serde_yaml",
    ] {
        assert_eq!(versions.get(single), Some(&1), "{single}: one version");
    }
}

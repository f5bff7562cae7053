//! Size and shape of source files.

use phoenix_tests::harness::project;
use std::path::{Path, PathBuf};

const CODE: [&str; 6] = [
    "proto/src",
    "agent",
    "control-plane",
    "tests",
    "benches",
    "examples",
];

/// Every `.rs` file below a folder, generated ones left out.
pub fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !["gen", "target", "node_modules", "dist"]
                .iter()
                .any(|n| name == *n)
            {
                found.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push((
                path.clone(),
                std::fs::read_to_string(&path).expect("source"),
            ));
        }
    }
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    let files: Vec<_> = CODE
        .iter()
        .flat_map(|folder| rust_files(&project(folder)))
        .collect();
    assert!(files.len() > 40, "only {} files found", files.len());
    files
}

#[test]
fn no_file_has_more_than_600_lines_of_code() {
    for (path, text) in sources() {
        let code = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with("//"))
            .count();
        assert!(
            code <= 600,
            "{} has {code} lines of code; one idea a file",
            path.display()
        );
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{} does not start with //!",
            path.display()
        );
        let said = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("//!")
            .trim();
        assert!(
            !said.is_empty(),
            "{} says nothing in its first line",
            path.display()
        );
    }
}

#[test]
fn mod_rs_is_not_used() {
    for (path, _) in sources() {
        assert!(!path.ends_with("mod.rs"), "{}", path.display());
    }
}

#[test]
fn nothing_is_left_undone_in_the_sources() {
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
    ];
    for (path, text) in sources() {
        for word in &words {
            assert!(
                !text.contains(word.as_str()),
                "{} contains {word}",
                path.display()
            );
        }
    }
}

//! The README's first command.

use phoenix_tests::harness::binary;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_tells_the_whole_story_and_its_figures_are_the_sinks() {
    let words = [
        "aa passed",
        "shadow passed",
        "ramp",
        "bake",
        "promote",
        "sinks",
        "saving",
        "3 of 3",
        "worth in a month",
        "list price of",
    ];
    tell(&[], &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_of_a_harmful_candidate_ends_with_the_baseline_and_a_quarantine() {
    let words = [
        "reject",
        "cpu-by-executable",
        "quarantined",
        "stopped in shadow",
    ];
    tell(&["--harm"], &words).await;
}

async fn tell(args: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().expect("folder");
    let child = Command::new(binary("phoenix"))
        .arg("demo")
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let out = tokio::time::timeout(Duration::from_secs(300), child)
        .await
        .expect("ends")
        .expect("runs");
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{text}");
    for word in words {
        assert!(
            text.contains(word),
            "the story does not mention {word}:\n{text}"
        );
    }
}

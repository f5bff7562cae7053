//! The README's first command.

use phoenix_tests::harness::binary;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_tells_the_whole_story_and_its_figures_are_the_sinks() {
    let folder = tempfile::tempdir().expect("folder");
    let child = Command::new(binary("phoenix"))
        .arg("demo")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let out = tokio::time::timeout(Duration::from_secs(150), child)
        .await
        .expect("ends")
        .expect("runs");
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{text}");
    for word in ["baseline", "candidate", "promote", "sink", "saving"] {
        assert!(
            text.contains(word),
            "the story does not mention {word}:\n{text}"
        );
    }
}

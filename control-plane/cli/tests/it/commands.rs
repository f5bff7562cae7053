//! Commands against a real server: documents in, objects out, errors that help.

use crate::actor::{Actor, Manner};
use crate::server::{Server, assignment, command, experiment, finish, pipeline};
use std::time::Instant;

#[test]
fn without_a_server_or_a_token_it_says_what_to_start_or_set() {
    let run = |url: &str, token: Option<&str>| {
        let mut command = command();
        command.args(["get", "pipelines", "--url", url]);
        if let Some(token) = token {
            command.env("PHOENIX_TOKEN", token);
        }
        finish(command, "")
    };
    let nobody = run("http://127.0.0.1:1", Some("x"));
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.stderr.contains("phoenix serve") && nobody.stderr.contains("PHOENIX_URL"),
        "{nobody:?}"
    );
    let none = run("http://127.0.0.1:1", None);
    assert!(none.stderr.contains("PHOENIX_TOKEN"), "{none:?}");
    let server = Server::start();
    let wrong = run(&format!("http://{}", server.address), Some("wrong"));
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.stderr.contains("does not know this token"),
        "{wrong:?}"
    );
}

#[test]
fn documents_are_applied_in_the_order_that_they_need_and_shown_again() {
    let server = Server::start();
    let all = experiment("e", "steps: [{ step: shadow, minWindows: 3 }]")
        + &assignment("all", "base")
        + &pipeline("base", "")
        + &pipeline("cut", "a.*");
    let said = server.apply(&all);
    let first: Vec<&str> = said.lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(
        first,
        [
            "pipeline/base",
            "pipeline/cut",
            "assignment/all",
            "experiment/e"
        ],
        "{said}"
    );
    let again = server.apply(&all);
    assert!(again.contains("pipeline/base unchanged"), "{again}");

    let pipelines = server.phoenix(&["get", "pipelines", "-o", "json"]).json();
    assert_eq!(pipelines.as_array().unwrap().len(), 2);
    let table = server.phoenix(&["get", "pipelines"]).good();
    assert!(
        table.starts_with("NAME") && table.contains("base"),
        "{table}"
    );
    assert!(
        !table.contains('\u{1b}'),
        "no colours where no terminal is: {table}"
    );
    let yaml = server
        .phoenix(&["get", "assignment", "all", "-o", "yaml"])
        .good();
    assert!(yaml.contains("pipeline: base"), "{yaml}");
    let history = server.phoenix(&["history", "all"]).good();
    assert!(history.contains("applied"), "{history}");
    let shown = server.phoenix(&["get", "pipeline", "cut"]).good();
    assert!(shown.contains("metric: \"a.*\""), "{shown}");

    let used = server.phoenix(&["delete", "pipeline", "base"]);
    assert_eq!(used.code, 1, "it is assigned: {used:?}");
    for (kind, name) in [
        ("experiment", "e"),
        ("assignment", "all"),
        ("pipeline", "base"),
    ] {
        server.phoenix(&["delete", kind, name]).good();
    }
    let gone = server.phoenix(&["get", "pipeline", "base"]);
    assert!(
        gone.code == 1 && gone.stderr.contains("no pipeline base"),
        "{gone:?}"
    );
}

#[test]
fn every_mistake_is_told_with_file_and_path_and_nothing_is_sent() {
    let server = Server::start();
    let file = server.file("bad.yaml");
    let text = pipeline("good", "a.*")
        + "---\napiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: bad }\nspec: { stages: [ { id: a, filter: { drp: [] } } ] }\n"
        + "---\napiVersion: phoenix/v1\nkind: Assignment\nmetadata: { name: Bad Name }\nspec: { pipeline: '' }\n"
        + "---\nkind: Nothing\n";
    std::fs::write(&file, text).unwrap();
    let run = server.phoenix(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(run.code, 1);
    for part in [
        "bad.yaml (document 2): spec.stages[0].filter.drp",
        "(document 3): metadata.name",
        "(document 3): spec.pipeline",
        "(document 4): kind",
    ] {
        assert!(
            run.stderr.contains(part),
            "{part} is missing in {}",
            run.stderr
        );
    }
    let none = server.phoenix(&["get", "pipelines", "-o", "json"]).json();
    assert_eq!(none.as_array().unwrap().len(), 0);
    // What only the server can know is told with the document's origin.
    let refused = server.phoenix_with(&["apply", "-f", "-"], &assignment("all", "unknown"));
    assert!(
        refused.code == 1
            && refused.stderr.contains("standard input")
            && refused.stderr.contains("unknown"),
        "{refused:?}"
    );
}

#[test]
fn two_documents_of_one_name_are_refused_with_both_places() {
    let server = Server::start();
    let file = server.file("twice.yaml");
    let text = pipeline("p", "a.*") + &assignment("p", "p") + &pipeline("p", "b.*");
    std::fs::write(&file, text).unwrap();
    let run = server.phoenix(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(run.code, 1);
    for part in [
        "nothing was sent",
        "twice.yaml (document 3): metadata.name: pipeline/p",
        "twice.yaml (document 1), too",
    ] {
        assert!(run.stderr.contains(part), "{part} in {}", run.stderr);
    }
    let none = server.phoenix(&["get", "pipelines", "-o", "json"]).json();
    assert_eq!(none.as_array().unwrap().len(), 0);
}

#[test]
fn a_folder_is_applied_and_a_dry_run_changes_nothing() {
    let server = Server::start();
    let folder = server.file("docs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.yaml"), assignment("all", "base")).unwrap();
    std::fs::write(folder.join("p.yml"), pipeline("base", "")).unwrap();
    std::fs::write(folder.join("notes.txt"), "not a document").unwrap();
    let folder = folder.to_str().unwrap();
    let dry = server.phoenix(&["apply", "--dry-run", "-f", folder]).good();
    assert!(dry.contains("would be created"), "{dry}");
    assert_eq!(
        server.phoenix(&["get", "pipelines"]).good(),
        "no pipelines\n"
    );
    server.phoenix(&["apply", "-f", folder]).good();
    assert!(
        server
            .phoenix(&["get", "assignments"])
            .good()
            .contains("all agents")
    );
}

#[test]
fn a_diff_shows_what_would_change_and_what_did() {
    let server = Server::start();
    let old = pipeline("p", "a.*");
    server.apply(&old);
    let diff = |text: &str, more: &[&str]| {
        let mut arguments = vec!["diff", "-f", "-"];
        arguments.extend(more);
        server.phoenix_with(&arguments, text)
    };
    let comment = old.replace("---\n", "---\n# the same\n");
    assert_eq!(diff(&comment, &["--exit-code"]).good(), "no difference\n");
    let new = pipeline("p", "b.*");
    let changed = diff(&new, &["--exit-code"]);
    assert_eq!(changed.code, 1);
    assert!(
        changed.stdout.contains("-spec:") && changed.stdout.contains("b.*"),
        "{changed:?}"
    );
    assert_eq!(diff(&new, &[]).code, 0);
    server.apply(&new);
    let versions = server
        .phoenix(&["history", "pipeline/p", "-o", "json"])
        .json();
    let hash = |n: usize| versions[n]["hash"].as_str().unwrap()[..12].to_owned();
    let two = server.phoenix(&["diff", &hash(1), &hash(0)]).good();
    assert!(two.contains("a.*") && two.contains("b.*"), "{two}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_is_done_when_the_connected_agents_run_it_and_else_says_who_does_not() {
    let server = Server::start();
    server.apply(&(pipeline("one", "a.*") + &pipeline("two", "b.*") + &assignment("all", "one")));
    server.apply(&assignment("all", "two"));
    let token = server.enrol_token();
    let actor = |node: &'static str, stubborn| {
        let manner = Manner {
            stubborn,
            ..Manner::default()
        };
        Actor::start(server.address, &token, node, manner)
    };
    let _n1 = actor("n1", false).await;
    let _n2 = actor("n2", false).await;
    let agents = || server.phoenix(&["agents", "-o", "json"]).json();
    let connected = |n: usize| {
        agents()
            .as_array()
            .is_some_and(|all| all.iter().filter(|a| a["connected"] == true).count() == n)
    };
    while !connected(2) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let began = Instant::now();
    let said = server.phoenix(&["rollback", "all"]).good();
    assert!(said.contains("2 of 2 connected agents run it"), "{said}");
    assert!(began.elapsed().as_secs() < 10);
    let table = server.phoenix(&["agents"]).good();
    assert!(table.contains("n1") && table.contains("yes"), "{table}");

    let _n3 = actor("n3", true).await;
    while !connected(3) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let versions = server
        .phoenix(&["history", "pipeline/two", "-o", "json"])
        .json();
    let to = versions[0]["hash"].as_str().unwrap().to_owned();
    let run = server.phoenix(&["rollback", "all", "--to", &to, "--timeout", "1"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("2 of 3 connected agents") && run.stderr.contains("n3"),
        "{run:?}"
    );
}

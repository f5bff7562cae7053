//! `phoenix judge`: windows in a file, judged offline by what the server judges with.

use crate::books;
use crate::documents;
use crate::experiment::explained;
use crate::output::{coloured, percent, table, text};
use crate::validate;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use phoenix_analysis::{Measure, Verdict, Window};
use phoenix_control_plane::documents::{ExperimentSpec, parse_experiment};
use phoenix_control_plane::driver::offline;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Judge windows offline: one verdict for every experiment id in the file.
#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// The experiment document.
    #[arg(long, short, value_name = "FILE")]
    experiment: PathBuf,
    /// Windows, one JSON object a line, as `phoenix experiment windows` prints them; `-`: standard input.
    #[arg(value_name = "WINDOWS")]
    windows: PathBuf,
    /// How the verdicts are printed; json: one object a line.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Windows of one experiment, by its id.
type Group = (String, Vec<Window>);

/// Judges and prints; the verdicts are in the order in which the experiments appear.
///
/// # Errors
/// The document is wrong, a file cannot be read, or a line is no window.
pub fn run(args: &JudgeArgs) -> anyhow::Result<ExitCode> {
    let Some(spec) = read_document(&args.experiment)? else {
        return Ok(ExitCode::FAILURE);
    };
    let groups = groups(read_windows(&args.windows)?);
    if groups.is_empty() {
        bail!("{} holds no window", documents::called(&args.windows));
    }
    let verdicts = judge_all(&spec, groups);
    match args.output {
        Format::Json => {
            for (id, verdict) in &verdicts {
                println!("{}", serde_json::to_string(&named(id, verdict)?)?);
            }
        }
        Format::Table => print!("{}", shown(&verdicts)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn read_document(path: &Path) -> anyhow::Result<Option<ExperimentSpec>> {
    let document = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the experiment {}", path.display()))?;
    let read = books::included(&document, path).and_then(|text| parse_experiment(&text));
    match read {
        Ok(document) => Ok(Some(document.spec)),
        Err(problems) => {
            for problem in &problems {
                eprintln!("{}", validate::line(path, problem));
            }
            Ok(None)
        }
    }
}

/// Every line, read on all cores.
fn read_windows(path: &Path) -> anyhow::Result<Vec<Window>> {
    let name = documents::called(path);
    let all = documents::bytes(path)
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other))
        .with_context(|| format!("cannot read the windows {name}"))?;
    let lines: Vec<(usize, &str)> = all
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    let parts = on_all_cores(lines, |(n, line)| {
        serde_json::from_str::<Window>(line)
            .with_context(|| format!("{name}:{}: not a window (docs/window.schema.json)", n + 1))
    });
    parts.into_iter().collect()
}

fn groups(windows: Vec<Window>) -> Vec<Group> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for window in windows {
        let place = match places.get(&window.experiment) {
            Some(place) => *place,
            None => {
                places.insert(window.experiment.clone(), groups.len());
                groups.push((window.experiment.clone(), Vec::new()));
                groups.len() - 1
            }
        };
        if let Some((_, of)) = groups.get_mut(place) {
            of.push(window);
        }
    }
    groups
}

fn judge_all(spec: &ExperimentSpec, groups: Vec<Group>) -> Vec<(String, Verdict)> {
    on_all_cores(groups, |(id, mut windows)| {
        let verdict = offline::verdict(spec, &mut windows);
        (id, verdict)
    })
}

/// In the order of `work`.
fn on_all_cores<T: Send, R: Send>(mut work: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = work.len().div_ceil(cores).max(1);
    let mut shares: Vec<Vec<T>> = Vec::new();
    while !work.is_empty() {
        let rest = work.split_off(share.min(work.len()));
        shares.push(std::mem::replace(&mut work, rest));
    }
    let act = &act;
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|part| scope.spawn(move || part.into_iter().map(act).collect::<Vec<R>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// A verdict with the id that it is about in front.
fn named(id: &str, verdict: &Verdict) -> anyhow::Result<Value> {
    let mut value = json!({ "experiment": id });
    if let (Value::Object(all), Value::Object(fields)) =
        (&mut value, serde_json::to_value(verdict)?)
    {
        all.extend(fields);
    }
    Ok(value)
}

/// One experiment with all its reasons, several as a table.
fn shown(verdicts: &[(String, Verdict)]) -> anyhow::Result<String> {
    if let [(_, verdict)] = verdicts {
        return Ok(explained(&serde_json::to_value(verdict)?));
    }
    let mut all = Vec::new();
    for (id, verdict) in verdicts {
        let value = serde_json::to_value(verdict)?;
        let saving = format!("/savings/{}", verdict.asked.goal.saving.name());
        // Of money there is no figure but its bounds.
        let (found, low, high) = match verdict.asked.goal.saving {
            Measure::Money => (
                String::new(),
                "/money/0/share/low".into(),
                "/money/0/share/high".into(),
            ),
            _ => (
                format!("{saving}/saving"),
                format!("{saving}/lower"),
                format!("{saving}/upper"),
            ),
        };
        all.push(vec![
            id.clone(),
            coloured(verdict.outcome.name()),
            match found.is_empty() {
                true => "-".into(),
                false => percent(&value, &found),
            },
            percent(&value, &low),
            percent(&value, &high),
            text(&value, "/windows/used"),
            verdict.reason.clone(),
        ]);
    }
    let head = [
        "experiment",
        "verdict",
        "saving",
        "at least",
        "at most",
        "windows",
        "reason",
    ];
    Ok(table(&head, all))
}

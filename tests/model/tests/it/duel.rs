//! One case through engine and model, call by call.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use phoenix_engine::compile::{self, compile};
use phoenix_engine::document::{Matcher, parse_matchers};
use phoenix_engine::engine::{Emitted, Engine, Settings, for_each_point};
use phoenix_engine::ledger::Ledger;
use phoenix_engine::prometheus::samples;
use phoenix_engine::report::{ArmFigures, Report};
use phoenix_model::reference::compare::{Look, clock, differences, row};
use phoenix_model::reference::point::{Point, points};
use phoenix_model::reference::{self, Account, Counts, Model};
use phoenix_model::traffic::pipelines::Parts;
use phoenix_model::traffic::{Action, Case, Choice, encode};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings of the engine for generated traffic.
pub fn settings(began: u64) -> Settings {
    Settings {
        node: "n1".into(),
        began,
        ..Settings::default()
    }
}

/// The same for a case: some refuse points with more than three attributes.
pub fn settings_of(case: &Case) -> Settings {
    let mut settings = settings(case.began);
    if case.seed % 5 == 4 {
        settings.limits.attributes = 3;
    }
    settings
}

/// The same for the model.
pub fn model_settings(settings: &Settings) -> reference::Settings {
    reference::Settings {
        node: settings.node.clone(),
        node_keys: settings.node_keys.clone(),
        fleet_seed: settings.fleet_seed,
        began: settings.began,
        attributes: settings.limits.attributes,
        value_bytes: settings.limits.value_bytes,
    }
}

fn scope(metrics: &[String]) -> Vec<Matcher> {
    let matcher = |name: &String| format!("{{\"metric\": \"{name}\"}}");
    let all: Vec<String> = metrics.iter().map(matcher).collect();
    parse_matchers(&format!("[{}]", all.join(","))).expect("matchers")
}

/// The plan of a choice for both; nothing where the engine refuses it.
pub fn plans(case: &Case, choice: &Choice) -> Option<(Arc<compile::Plan>, reference::Plan)> {
    let yaml = |at: usize| case.pipelines[at].yaml();
    let compiled = |at: usize| compile(&yaml(at)).ok();
    let candidate = match choice.candidate {
        None => None,
        Some(at) => Some(compile::Candidate {
            pipeline: compiled(at)?,
            experiment: "exp-1".into(),
            division: match &choice.split {
                None => compile::Division::Shadow,
                Some((entity, percent)) => compile::Division::Split {
                    entity: entity.clone(),
                    percent: *percent,
                },
            },
            protect: Vec::new(),
            scope: scope(&choice.scope),
        }),
    };
    let plan = compile::Plan::new(compiled(choice.baseline)?, candidate).ok()?;
    let model = reference::Plan {
        baseline: yaml(choice.baseline),
        candidate: choice.candidate.map(|at| reference::Candidate {
            document: yaml(at),
            experiment: "exp-1".into(),
            split: choice.split.clone(),
            scope: choice.scope.clone(),
        }),
    };
    Some((plan, model))
}

/// How closely the points of a case can be compared.
pub fn look(case: &Case) -> Look {
    // Of inputs of several weights the order of addition is open, too.
    let marks = [
        "aggregate",
        "every",
        "fraction",
        "histogram: {",
        "temporality: {",
        "topk:",
        "limit:",
    ];
    let stateful = |stage: &&String| marks.iter().any(|mark| stage.contains(mark));
    let in_a_row = |parts: &Parts| parts.stages.iter().filter(stateful).count() > 1;
    if case.pipelines.iter().any(in_a_row) {
        Look::InARow
    } else {
        Look::Closely
    }
}

/// Points of emitted bytes.
pub fn decoded(bytes: &Bytes) -> Result<Vec<Point>, String> {
    let request = ExportMetricsServiceRequest::decode(bytes.clone());
    Ok(points(&request.map_err(|e| {
        format!("the engine wrote no valid OTLP: {e}")
    })?))
}

/// Runs a case in both; the first difference, if there is one.
pub fn duel(case: &Case) -> Result<(), String> {
    let Some((plan, model_plan)) = plans(case, &case.first) else {
        return Ok(());
    };
    let settings = settings_of(case);
    let mut model = Model::new(model_plan, model_settings(&settings));
    let mut engine = Engine::new(settings, plan, case.began);
    let mut now = case.began;
    let (mut swapped, mut written) = (false, [0, 0]);
    let look = look(case);
    for (at, action) in case.actions.iter().enumerate() {
        let (emitted, expected) = match action {
            Action::Feed {
                points,
                shape,
                now: t,
            } => {
                now = *t;
                let bytes = Bytes::from(encode(points, *shape));
                let request = ExportMetricsServiceRequest::decode(bytes.clone())
                    .map_err(|e| format!("call {at}: the generator wrote no valid OTLP: {e}"))?;
                let fed = engine
                    .feed(&bytes, now)
                    .map_err(|e| format!("call {at}: the engine refused the request: {e}"))?;
                (fed.emitted, model.feed(&request, now))
            }
            Action::Tick { now: t } => {
                now = *t;
                (engine.tick(now), model.tick(now))
            }
            Action::Swap { to, now: t } => {
                let Some((plan, model_plan)) = plans(case, to) else {
                    continue;
                };
                now = *t;
                swapped = true;
                (engine.swap(plan, now), model.swap(model_plan, now))
            }
        };
        count(&mut written, &emitted)?;
        check(&emitted, &expected, &engine, &model, swapped, look)
            .and_then(|()| counted(written, &engine.figures(), &case.first, swapped))
            .map_err(|why| format!("call {at} at {}:\n{why}", clock(now)))?;
    }
    check(
        &engine.finish(now),
        &model.finish(now),
        &engine,
        &model,
        swapped,
        look,
    )
    .map_err(|why| format!("finish at {}:\n{why}", clock(now)))?;
    Ok(())
}

/// Adds the Prometheus samples of both streams, as they are read from the bytes.
fn count(written: &mut [u64; 2], emitted: &Emitted) -> Result<(), String> {
    for (sum, bytes) in written.iter_mut().zip([&emitted.out, &emitted.shadow]) {
        for_each_point(bytes, |_, point| *sum += samples(point)).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// The arms' own count of samples is that of the bytes. A swap can make it another arm's.
fn counted(
    [out, shadow]: [u64; 2],
    figures: &Report,
    plan: &Choice,
    swapped: bool,
) -> Result<(), String> {
    let own = |arm: &ArmFigures| arm.samples.map(|(_, left)| left);
    let said = (
        own(&figures.baseline),
        figures.candidate.as_ref().and_then(own),
    );
    let (Some(baseline), Some(candidate)) = said else {
        return Ok(());
    };
    let (said, seen) = match plan.split {
        Some(_) => ([baseline + candidate, 0], [out + shadow, 0]),
        None => ([baseline, candidate], [out, shadow]),
    };
    if swapped || said == seen {
        return Ok(());
    }
    Err(format!(
        "samples: the arms counted {said:?}, the bytes hold {seen:?}"
    ))
}

fn check(
    emitted: &Emitted,
    expected: &reference::Output,
    engine: &Engine,
    model: &Model,
    swapped: bool,
    look: Look,
) -> Result<(), String> {
    let mut lines = Vec::new();
    for (what, bytes, n, points) in [
        ("out", &emitted.out, emitted.points, &expected.out),
        (
            "shadow",
            &emitted.shadow,
            emitted.shadow_points,
            &expected.shadow,
        ),
    ] {
        let got = decoded(bytes)?;
        if got.len() as u64 != n {
            lines.push(format!("{what}: says {n} points, wrote {}", got.len()));
        }
        lines.extend(
            differences(points, &got, look)
                .into_iter()
                .map(|l| format!("{what}: {l}")),
        );
    }
    let figures = engine.figures();
    let (baseline, candidate) = model.accounts();
    let (notes, candidate_notes) = model.counts();
    lines.extend(arm(
        "baseline",
        &figures.baseline,
        &baseline,
        &notes,
        swapped,
    ));
    if let (Some(figures), Some(account), Some(notes)) =
        (&figures.candidate, &candidate, &candidate_notes)
    {
        lines.extend(arm("candidate", figures, account, notes, swapped));
    }
    if lines.is_empty() {
        Ok(())
    } else {
        Err(lines.join("\n"))
    }
}

fn arm(
    name: &str,
    figures: &ArmFigures,
    account: &Account,
    notes: &BTreeMap<String, Counts>,
    swapped: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    if figures.ledger.imbalance() != 0 {
        lines.push(format!(
            "{name}: the ledger does not balance: {:?}",
            figures.ledger
        ));
    }
    assert_eq!(
        account.imbalance(),
        0,
        "the model's own account: {account:?}"
    );
    // Figures of an arm that changed its pipeline or its role are not one account any more.
    if swapped {
        return lines;
    }
    let said = as_account(&figures.ledger);
    if said != *account {
        lines.push(format!(
            "{name} ledger: model {account:?}\n       engine {said:?}"
        ));
    }
    for stage in &figures.stages {
        let model = notes.get(&stage.id).cloned().unwrap_or_default();
        let begins_anew = stage.kind == "temporality";
        let more = BEGINS_ANEW.iter().filter(|_| begins_anew);
        for note in NOTES.iter().chain(more).copied() {
            let engine = stage.counts.get(note).copied().unwrap_or(0);
            let model = model.get(note).copied().unwrap_or(0);
            if engine != model {
                lines.push(format!(
                    "{name} {} {note}: model {model} engine {engine}",
                    stage.id
                ));
            }
        }
    }
    lines
}

/// Notes of totals that begin anew: the model does not tell them of an aggregation.
const BEGINS_ANEW: [&str; 2] = ["bounds_changed", "saturated"];

/// Notes that both must count alike.
const NOTES: [&str; 32] = [
    "admitted",
    "attribute_exists",
    "not_constant",
    "transformed",
    "baselined",
    "bounds_unknown",
    "drop[0]",
    "drop[1]",
    "drop[2]",
    "drop_when",
    "duplicate",
    "exemplars_dropped",
    "future",
    "keep",
    "growth",
    "late",
    "negative",
    "not_a_gauge",
    "new_series",
    "no_entity",
    "not_aggregated",
    "not_added",
    "not_monotonic",
    "one_bound",
    "other_type",
    "out_of_order",
    "over_budget",
    "reset",
    "reset_anomaly",
    "start_drift",
    "unfit",
    "unspecified_temporality",
];

fn as_account(ledger: &Ledger) -> Account {
    let reason = |name: &str| -> &'static str {
        ["late", "nan", "not_foldable"]
            .into_iter()
            .find(|known| *known == name)
            .unwrap_or("another reason")
    };
    Account {
        received: ledger.received,
        exported: ledger.exported,
        filtered: ledger.filtered,
        merged: ledger.merged,
        sampled_out: ledger.sampled_out,
        suppressed: ledger.suppressed,
        rejected: ledger.rejected,
        dropped: ledger
            .dropped
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(name, n)| (reason(name), *n))
            .collect(),
        held: u64::try_from(ledger.held).unwrap_or(u64::MAX),
    }
}

/// A case for a person: pipelines, then calls with their points.
pub fn describe(case: &Case) -> String {
    let mut text = format!("began {}, first {:?}\n", clock(case.began), case.first);
    for (i, parts) in case.pipelines.iter().enumerate() {
        if !parts.stages.is_empty() || !parts.protect.is_empty() {
            text += &format!("pipeline {i}:\n{}", parts.yaml());
        }
    }
    for (at, action) in case.actions.iter().enumerate() {
        match action {
            Action::Tick { now } => text += &format!("call {at}: tick {}\n", clock(*now)),
            Action::Swap { to, now } => {
                text += &format!("call {at}: swap {} {to:?}\n", clock(*now))
            }
            Action::Feed {
                points: sent,
                shape,
                now,
            } => {
                let plain = *shape == Default::default();
                let odd = if plain {
                    String::new()
                } else {
                    format!(" as {shape:?}")
                };
                text += &format!("call {at}: feed {}{odd}\n", clock(*now));
                let request = phoenix_model::traffic::request(sent);
                for point in points(&request) {
                    text += &format!("    {}\n", row(&point));
                }
            }
        }
    }
    text
}

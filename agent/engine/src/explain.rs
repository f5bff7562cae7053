//! "What happens to this series and why": read from routes.
//!
//! Series keep no attributes. From when somebody asks, the requests that are fed are kept for a while
//! (`heard`) and looked through; a series that has not spoken in them is not found.

mod heard;

use crate::arm::Arm;
use crate::compile::Stage;
use crate::engine::Limits;
use crate::identity::Canonical;
use crate::route::{End, Path, Route};
use crate::series::Table;
use crate::stage::gate::Verdict;
use crate::view::SeriesView;
use crate::wire::index::Index;
use crate::wire::walk::{NoMemo, walk};
use hashbrown::HashSet;
pub use heard::Heard;

/// Answer to "what happens to this series and why".
#[derive(Debug, Clone, serde::Serialize)]
pub struct Explanation {
    /// Metric name.
    pub metric: String,
    /// Attributes of point, scope and resource, as text.
    pub attributes: Vec<(String, String)>,
    /// `baseline` or `candidate`.
    pub arm: &'static str,
    /// `exported`, `filtered`, `aggregated`, `rewritten`, `sampled`, `sampled_out`, `suppressed`,
    /// `protected`, `kept`, `folded`; at a gate that of its last point.
    pub fate: String,
    /// Stage id that decides, if one does.
    pub stage: Option<String>,
    /// The rule in that stage (`drop[0]`).
    pub rule: Option<String>,
    /// One sentence.
    pub why: String,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Metric name, if it matters.
    pub metric: Option<&'a str>,
    /// Attributes that must have these texts, wherever they are.
    pub attributes: &'a [(String, String)],
    /// At most so many answers.
    pub limit: usize,
}

impl Question<'_> {
    fn matches(&self, series: &SeriesView<'_>) -> bool {
        self.metric.is_none_or(|name| name == series.metric.name)
            && self.attributes.iter().all(|(key, text)| {
                series
                    .lookup(key)
                    .is_some_and(|v| v.text() == text.as_str())
            })
    }
}

impl Heard {
    /// Answers from the routes of the series that match, newest first.
    pub fn explain(
        &self,
        question: &Question<'_>,
        table: &Table,
        arms: &[&Arm],
        fleet_seed: u64,
    ) -> Vec<Explanation> {
        let mut answers = Vec::new();
        let mut known = HashSet::new();
        let mut canonical = Canonical::default();
        let mut index = Index::default();
        for request in self.newest_first() {
            if walk(request, &Limits::default(), &mut NoMemo, &mut index).is_err() {
                continue;
            }
            for point in &index.points {
                if answers.len() >= question.limit {
                    return answers;
                }
                let Some(series) = index.series(point, request) else {
                    continue;
                };
                if !question.matches(&series) {
                    continue;
                }
                let identity = canonical.identity(&series, fleet_seed);
                if known.insert(identity) {
                    answers.extend(
                        arms.iter()
                            .filter_map(|arm| answer(identity, &series, table, arm)),
                    );
                }
            }
        }
        answers.truncate(question.limit);
        answers
    }
}

fn answer(
    identity: u128,
    series: &SeriesView<'_>,
    table: &Table,
    arm: &Arm,
) -> Option<Explanation> {
    let entry = table.get(table.find(identity)?)?;
    let route = entry.routes.of(arm.side);
    let path = arm.path(route)?;
    if path.way.end == End::Other {
        return None;
    }
    let told = tell(arm, route, path);
    Some(Explanation {
        metric: series.metric.name.into(),
        attributes: attributes(series),
        arm: if arm.side == 0 {
            "baseline"
        } else {
            "candidate"
        },
        ..told
    })
}

/// What a route says of its series. A gate decides point by point: its last decision is told, and
/// where that was to let pass, what the stages behind do.
fn tell(arm: &Arm, route: &Route, path: &Path) -> Explanation {
    let stage = arm.pipeline.stages.get(usize::from(path.way.stage));
    let id = stage.map_or("", |stage| &stage.id);
    if let Some(at) = arm.at_gate(route)
        && let Some((fate, rule, why)) = withheld(at.last, id)
    {
        return Explanation {
            metric: String::new(),
            attributes: Vec::new(),
            arm: "",
            fate: fate.into(),
            stage: Some(id.into()),
            rule,
            why,
        };
    }
    if let Some(at) = arm.at_gate(route)
        && let Some(behind) = arm.path(&at.further)
    {
        let told = tell(arm, &at.further, behind);
        let why = format!(
            "{}; `{id}` decides point by point and let the last one pass",
            told.why
        );
        return Explanation { why, ..told };
    }
    // A stage that only takes a copy decides nothing; it is named before the one that does.
    if let Some(further) = arm.beside(route)
        && let Some(behind) = arm.path(further)
    {
        let told = tell(arm, further, behind);
        let why = copied(path, arm, route) + &told.why;
        return Explanation { why, ..told };
    }
    let (fate, why) = fate(path, id, arm, route);
    let decided = path.way.end != End::Emit;
    Explanation {
        metric: String::new(),
        attributes: Vec::new(),
        arm: "",
        fate: fate.into(),
        stage: stage.filter(|_| decided).map(|stage| stage.id.clone()),
        rule: Some(path.way.rule.name()).filter(|rule| !rule.is_empty()),
        why,
    }
}

/// What to say of a series whose last point a gate held back.
fn withheld(last: Verdict, stage: &str) -> Option<(&'static str, Option<String>, String)> {
    Some(match last {
        Verdict::Pass => return None,
        Verdict::Filtered(rule) => (
            "filtered",
            Some(rule.name()),
            format!(
                "rule {} of filter `{stage}`, which decides point by point, dropped its last point",
                rule.name()
            ),
        ),
        Verdict::Suppressed => (
            "suppressed",
            None,
            format!("`{stage}` held its last point back: it said nothing new"),
        ),
        Verdict::SampledOut => (
            "sampled_out",
            None,
            format!("`{stage}` did not keep its last point"),
        ),
    })
}

/// What a stage that keeps the original does with it.
fn copied(path: &Path, arm: &Arm, route: &Route) -> String {
    let stage = arm.pipeline.stages.get(usize::from(path.way.stage));
    let into = arm.output_of(route).map_or("", |place| place.name);
    let id = stage.map_or("", |stage| &stage.id);
    format!("aggregate `{id}` merges a copy into `{into}`; ")
}

fn fate(path: &Path, stage: &str, arm: &Arm, route: &Route) -> (&'static str, String) {
    match path.way.end {
        End::Emit if path.way.protected => (
            "protected",
            "a rule of `protect` matches: no stage touches it".into(),
        ),
        End::Emit if route.guise != 0 => {
            let by: Vec<String> = arm.transforms(path).map(|id| format!("`{id}`")).collect();
            let name = arm.written_name(route).unwrap_or_default();
            (
                "exported",
                format!("transform {} makes it a series of `{name}`", by.join(", ")),
            )
        }
        End::Emit => {
            let notes: Vec<&str> = path.way.notes.iter().map(|(_, reason)| *reason).collect();
            let why = if notes.is_empty() {
                "no stage changes it".into()
            } else {
                format!("it passes every stage ({})", notes.join(", "))
            };
            ("exported", why)
        }
        End::Filtered => {
            let rule = path.way.rule.name();
            (
                "filtered",
                format!("rule {rule} of filter `{stage}` drops it"),
            )
        }
        End::SampledOut => (
            "sampled_out",
            format!("its entity is not in the share that sample `{stage}` keeps"),
        ),
        End::Hold => (
            "sampled",
            format!("sample `{stage}` lets the last point of each window pass"),
        ),
        End::Absorb => {
            let into = arm.output_of(route).map_or_else(String::new, |place| {
                format!(" into `{}`, with {} live inputs", place.name, place.inputs)
            });
            ("aggregated", format!("aggregate `{stage}` merges it{into}"))
        }
        End::Gate => ("exported", format!("`{stage}` decides point by point")),
        End::Rewrite => rewritten(path, stage, arm),
        End::Fold => match arm.stands(route) {
            Some(false) => ("kept", format!("`{stage}` lets it stay as it is")),
            Some(true) => (
                "kept",
                format!("`{stage}` lets it stay; it was folded before and is counted anew since"),
            ),
            None => (
                "folded",
                format!("`{stage}` does not let it stay: it is folded with others, or filtered"),
            ),
        },
        End::Other => ("exported", "the other arm has it".into()),
    }
}

/// Of a stage that writes points anew: how it goes on is told where no later stage keeps them.
fn rewritten(path: &Path, stage: &str, arm: &Arm) -> (&'static str, String) {
    let at = usize::from(path.way.stage);
    let kind = arm.pipeline.stages.get(at).map_or("", Stage::kind);
    let then = path.way.then.and_then(|number| arm.path_of(number));
    let later = then.and_then(|path| arm.pipeline.stages.get(usize::from(path.way.stage)));
    let on = match (then.map(|path| path.way.end), later) {
        (Some(End::Emit), _) => "it leaves at once".into(),
        (Some(_), Some(later)) => format!("then {} `{}` drops it", later.kind(), later.id),
        _ => "the later stages decide about it".into(),
    };
    let why = format!("{kind} `{stage}` writes each of its points anew; {on}");
    ("rewritten", why)
}

fn attributes(series: &SeriesView<'_>) -> Vec<(String, String)> {
    series
        .point_attributes()
        .chain(series.scope_attributes())
        .chain(series.resource_attributes())
        .map(|(key, value)| (key.to_string(), value.text().into_owned()))
        .collect()
}

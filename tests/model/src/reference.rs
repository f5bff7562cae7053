//! The reference model: the rules of the pipeline, plain, slow and obviously right.
//!
//! It works on decoded requests and shares no code with the engine. Where it and the engine
//! differ, one of them is wrong. Every series and every window is a map entry; nothing is cached.

mod aggregate;
mod arm;
pub mod compare;
pub mod document;
mod epoch;
pub mod explicit;
pub mod exponential;
mod filter;
mod fold;
mod folded;
mod histogram;
pub mod identity;
mod idle;
pub mod matcher;
pub mod number;
pub mod point;
pub mod progress;
mod quantise;
mod quiet;
mod ranking;
mod sample;
mod temporality;
mod tracker;
pub mod transform;
mod weight;
mod window;

use arm::{Arm, Clock, Ended, track};
use document::Document;
use folded::Folded;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use point::{Data, Point, points};
use std::collections::BTreeMap;
use std::rc::Rc;
use tracker::Tracker;

/// Counts by reason.
pub type Counts = BTreeMap<&'static str, u64>;

/// What a node gives its model at the start.
#[derive(Debug, Clone)]
pub struct Settings {
    pub node: String,
    pub node_keys: Vec<String>,
    pub fleet_seed: u64,
    pub began: u64,
    /// Attributes of one point, resource or scope; more rejects the points.
    pub attributes: usize,
    /// Bytes of one attribute's text; more rejects the points.
    pub value_bytes: usize,
}

/// What runs: one pipeline, or two and how traffic is divided.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub baseline: String,
    pub candidate: Option<Candidate>,
}

/// The second arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub document: String,
    pub experiment: String,
    /// Entity keys and percent of a split; a shadow without. Without a key the node as a whole.
    pub split: Option<(Vec<String>, f64)>,
    /// Names of the metrics that it is about; empty: all. The others are the baseline's alone.
    pub scope: Vec<String>,
}

impl Candidate {
    fn is_about(&self, point: &Point) -> bool {
        self.scope.is_empty() || self.scope.contains(&point.identity.name)
    }

    /// In a split: whether a point is the candidate's.
    fn takes(&self, point: &Point) -> Option<bool> {
        let (entity, percent) = self.split.as_ref()?;
        let share = percent / 100.0;
        let place = match entity.is_empty() {
            true => Some(0.0),
            false => point.identity.place(entity, &self.experiment),
        };
        Some(self.is_about(point) && place.is_some_and(|u| u < share))
    }
}

/// The exact account of an arm's points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    pub received: u64,
    pub exported: u64,
    pub filtered: u64,
    pub merged: i64,
    pub sampled_out: u64,
    pub suppressed: u64,
    pub rejected: u64,
    pub dropped: Counts,
    pub held: u64,
}

/// What leaves in one call.
#[derive(Debug, Clone, Default)]
pub struct Output {
    pub out: Vec<Point>,
    pub shadow: Vec<Point>,
}

/// The model of one engine.
#[derive(Debug)]
pub struct Model {
    settings: Rc<Settings>,
    plan: Plan,
    baseline: Arm,
    candidate: Option<Arm>,
    raw: Tracker,
    now: u64,
    /// What last spoke before this has expired under an earlier plan.
    forgotten: u64,
}

/// Reads a document; the model is only given valid ones.
pub fn read(document: &str) -> Document {
    let mut document: Document = serde_yaml::from_str(document).expect("a valid pipeline document");
    document.wait_for_those_before();
    document
}

impl Model {
    pub fn new(plan: Plan, settings: Settings) -> Model {
        let settings = Rc::new(settings);
        let created = 0;
        Model {
            baseline: Arm::new(read(&plan.baseline), &settings, created),
            candidate: plan
                .candidate
                .as_ref()
                .map(|c| Arm::new(read(&c.document), &settings, created)),
            raw: Tracker::default(),
            now: 0,
            forgotten: 0,
            plan,
            settings,
        }
    }

    fn clock(&self) -> Clock {
        let arms = std::iter::once(&self.baseline).chain(&self.candidate);
        let patience = arms.filter_map(Arm::expiry).max();
        Clock {
            now: self.now,
            expiry: patience
                .unwrap_or(300_000_000_000)
                .min(self.now - self.forgotten),
        }
    }

    fn is_shadow(&self) -> bool {
        let candidate = self.plan.candidate.as_ref();
        candidate.is_some_and(|c| c.split.is_none())
    }

    pub fn feed(&mut self, request: &ExportMetricsServiceRequest, now: u64) -> Output {
        let mut output = self.tick(now);
        for point in points(request) {
            if self.is_refused(&point) {
                for arm in [Some(&mut self.baseline), self.candidate.as_mut()]
                    .into_iter()
                    .flatten()
                {
                    arm.account.received += 1;
                    arm.account.rejected += 1;
                }
                continue;
            }
            let clock = self.clock();
            let before = track(&mut self.raw, &point, clock);
            let second = self.plan.candidate.as_ref();
            let shadow = self.is_shadow() && second.is_some_and(|c| c.is_about(&point));
            let split = second.and_then(|c| c.takes(&point));
            match (split, &mut self.candidate) {
                (Some(true), Some(arm)) => output.out.extend(arm.receive(&point, &before, clock)),
                (_, candidate) => {
                    output
                        .out
                        .extend(self.baseline.receive(&point, &before, clock));
                    if let (true, Some(arm)) = (shadow, candidate) {
                        output.shadow.extend(arm.receive(&point, &before, clock));
                    }
                }
            }
        }
        let (shadow, clock) = (self.is_shadow(), self.clock());
        output.out.extend(self.baseline.flush(clock));
        if let Some(arm) = &mut self.candidate {
            let to = if shadow {
                &mut output.shadow
            } else {
                &mut output.out
            };
            to.extend(arm.flush(clock));
        }
        output
    }

    /// A number point without a value and without the flag for it, or more than the limits allow.
    fn is_refused(&self, point: &Point) -> bool {
        let id = &point.identity;
        let says_nothing = point.data == Data::Nothing && !point.ended();
        says_nothing
            || [&id.attributes, &id.scope_attributes, &id.resource]
                .into_iter()
                .any(|level| {
                    level.len() > self.settings.attributes
                        || level.iter().any(|(_, value)| match value {
                            identity::Val::Str(s) => s.len() > self.settings.value_bytes,
                            identity::Val::Bytes(b) => b.len() > self.settings.value_bytes,
                            _ => false,
                        })
                })
    }

    pub fn tick(&mut self, now: u64) -> Output {
        self.now = self.now.max(now);
        self.close(false)
    }

    pub fn finish(&mut self, now: u64) -> Output {
        self.now = self.now.max(now);
        self.close(true)
    }

    fn close(&mut self, everything: bool) -> Output {
        let mut output = Output {
            out: self.baseline.close(self.clock(), everything),
            shadow: Vec::new(),
        };
        let (shadow, clock) = (self.is_shadow(), self.clock());
        if let Some(arm) = &mut self.candidate {
            let points = arm.close(clock, everything);
            let to = if shadow {
                &mut output.shadow
            } else {
                &mut output.out
            };
            to.extend(points);
        }
        output
    }

    /// Runs another plan from `now` on.
    pub fn swap(&mut self, plan: Plan, now: u64) -> Output {
        let mut output = self.tick(now);
        let now = self.now;
        let clock = self.clock();
        self.forgotten = now.saturating_sub(clock.expiry);
        let was_shadow = self.is_shadow();
        let role = |plan: &Plan| {
            let candidate = plan.candidate.as_ref();
            candidate.map(|c| (read(&c.document), c.experiment.clone()))
        };
        let stays = role(&self.plan).is_some() && role(&self.plan) == role(&plan);
        let mut old_candidate = self.candidate.take();
        let document = read(&plan.baseline);
        // A candidate that exported and is now the baseline keeps its state, unless the baseline
        // was the same and goes on.
        let serves = |arm: &Arm| arm.document == document && self.baseline.document != document;
        let promoted = !stays && !was_shadow && old_candidate.as_ref().is_some_and(serves);
        // Where the division changes, entities change their arm, and with them outputs: what both
        // arms wrote ends. A promoted candidate's outputs stay its own.
        let division = |plan: &Plan| {
            let candidate = plan.candidate.as_ref()?;
            let (mut keys, percent) = candidate.split.clone()?;
            keys.sort();
            let scope = candidate.scope.clone();
            Some((candidate.experiment.clone(), keys, percent, scope))
        };
        let keep = division(&self.plan) == division(&plan);
        let mut ended = self
            .baseline
            .end(Some(&document).filter(|_| keep && !promoted), clock);
        let mut of_candidate = old_candidate.as_mut().map_or_else(Ended::default, |arm| {
            let document = arm.document.clone();
            arm.end(Some(&document).filter(|_| stays && keep || promoted), clock)
        });
        output.out.append(&mut ended.points);
        let to = if was_shadow {
            &mut output.shadow
        } else {
            &mut output.out
        };
        to.append(&mut of_candidate.points);
        // What was folded, in the output and in what a candidate wrote: who lets it pass does not tell it again.
        let mut folded = std::mem::take(&mut ended.folded);
        let folded_there = std::mem::take(&mut of_candidate.folded);
        if !was_shadow {
            folded.unite(&folded_there);
        }
        let cut_at = ended.cut_at.max(of_candidate.cut_at);
        if promoted {
            let arm = old_candidate.take().expect("a candidate");
            (self.baseline, ended) = (arm, std::mem::take(&mut of_candidate));
        }
        let (raw, settings) = (&self.raw, &self.settings);
        self.baseline.begin(document, ended, raw, settings, &folded);
        if promoted {
            self.baseline.begin_outputs_at(cut_at);
        }
        self.plan = plan;
        let splits = self.plan.candidate.is_some() && !self.is_shadow();
        let (raw, settings) = (&self.raw, &self.settings);
        if let Some(mut arm) = old_candidate.filter(|_| stays) {
            let before = if splits { folded } else { folded_there };
            let document = arm.document.clone();
            arm.begin(document, of_candidate, raw, settings, &before);
            self.candidate = Some(arm);
        } else if let Some(candidate) = &self.plan.candidate {
            // A shadow begins with nothing.
            let before = if splits { folded } else { Folded::default() };
            let mut arm = Arm::new(pass_through(), settings, now);
            let nothing = arm.end(None, clock);
            arm.begin(read(&candidate.document), nothing, raw, settings, &before);
            self.candidate = Some(arm);
        }
        output
    }

    /// The baseline's account, and the candidate's while there is one.
    pub fn accounts(&self) -> (Account, Option<Account>) {
        (
            self.baseline.account(),
            self.candidate.as_ref().map(Arm::account),
        )
    }

    /// Notes of both arms by stage id.
    pub fn counts(&self) -> (BTreeMap<String, Counts>, Option<BTreeMap<String, Counts>>) {
        (
            self.baseline.counts(),
            self.candidate.as_ref().map(Arm::counts),
        )
    }
}

fn pass_through() -> Document {
    read("apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: none }\nspec: { stages: [] }\n")
}

impl Account {
    /// What the account cannot explain; 0 when it balances.
    pub fn imbalance(&self) -> i128 {
        let dropped: u64 = self.dropped.values().sum();
        let out =
            self.exported + self.filtered + self.sampled_out + self.suppressed + self.rejected;
        i128::from(self.received) - i128::from(out + dropped + self.held) - i128::from(self.merged)
    }
}

//! `transform`: what a series is called from here on. Decided once a series, when its route is
//! resolved: later stages are shown the changed series, and a point is written anew only where it
//! leaves or is kept.
//!
//! The series behind a transform goes on being followed under the identity that it came with: its
//! last point, its increments and its seat in an aggregation are its own, whatever it is called.

mod edit;
pub mod guise;
mod normalise;

use crate::aggregate::adds_up;
use crate::compile::{Change, Transform, key_value};
use crate::document::Level;
use crate::identity::put_value;
use crate::view::SeriesView;
use crate::wire::attributes::{key_value as read, raw_attributes};
use crate::wire::otlp::{resource, scope};
use crate::wire::{AnyValue, write};
use edit::{Edit, edit, put_attributes};
use std::borrow::Cow;

/// Reason: the transform changed something of the series.
pub const TRANSFORMED: &str = "transformed";
/// Reason: the key that an attribute was to get is there already.
const ATTRIBUTE_EXISTS: &str = "attribute_exists";
/// Reason: the attribute that was to be removed has another value.
const NOT_CONSTANT: &str = "not_constant";
/// Reason: the aggregation behind cannot add up what would become one.
const NOT_AGGREGATED: &str = crate::aggregate::NOT_AGGREGATED;

/// A series under change: what differs from the one it is made of. Reused.
#[derive(Debug, Default)]
pub struct Draft {
    /// Body of the `Resource`.
    resource: Option<Vec<u8>>,
    /// Body of the `InstrumentationScope`.
    scope: Option<Vec<u8>>,
    /// Attribute fields of a point.
    point: Option<Vec<u8>>,
    name: Option<String>,
}

/// What an operation comes to for one series.
enum Outcome<'a> {
    Nothing,
    Note(&'static str),
    Name(String),
    Add(Level, &'a str, Cow<'a, [u8]>),
    Rekey(Level, &'a str, &'a str),
    Value(Level, &'a str, Cow<'a, [u8]>),
    Remove(Level, &'a str),
}

impl Draft {
    /// Whether anything is.
    pub fn is_changed(&self) -> bool {
        self.name.is_some()
            || self.point.is_some()
            || self.scope.is_some()
            || self.resource.is_some()
    }

    /// The series as it is now.
    pub fn view<'a>(&'a self, base: &SeriesView<'a>) -> SeriesView<'a> {
        let mut view = *base;
        if let Some(resource) = &self.resource {
            view.resource = resource;
        }
        if let Some(scope) = &self.scope {
            view.scope = scope;
        }
        if let Some(point) = &self.point {
            view.point = point;
        }
        if let Some(name) = &self.name {
            view.metric.name = name;
        }
        view
    }

    /// Does what a transform does to a series that it matches. Reasons to count go to `notes`.
    pub fn apply(
        &mut self,
        transform: &Transform,
        base: &SeriesView<'_>,
        mut note: impl FnMut(&'static str),
    ) {
        let mut changed = false;
        for step in &transform.steps {
            let view = self.view(base);
            let outcome = outcome(&step.change, &view);
            let merged = step.merged.as_ref();
            let lossy = merged.is_some_and(|m| !adds_up(&view.metric, &m.functions, m.extracts));
            match outcome {
                Outcome::Nothing => {}
                Outcome::Note(reason) => note(reason),
                _ if lossy => note(NOT_AGGREGATED),
                outcome => {
                    let done = perform(&outcome, &view);
                    self.keep(done);
                    changed = true;
                }
            }
        }
        if changed {
            note(TRANSFORMED);
        }
    }

    fn keep(&mut self, done: Done) {
        match done {
            Done::Name(name) => self.name = Some(name),
            Done::Level(Level::Resource, body) => self.resource = Some(body),
            Done::Level(Level::Scope, body) => self.scope = Some(body),
            Done::Level(Level::Point, body) => self.point = Some(body),
        }
    }
}

/// What has changed.
enum Done {
    Name(String),
    Level(Level, Vec<u8>),
}

fn perform(outcome: &Outcome<'_>, view: &SeriesView<'_>) -> Done {
    let added;
    let (level, change) = match outcome {
        Outcome::Name(name) => return Done::Name(name.clone()),
        Outcome::Add(level, key, value) => {
            added = key_value(key, value);
            (*level, Edit::Add(&added))
        }
        Outcome::Rekey(level, from, to) => (*level, Edit::Rekey(from, to)),
        Outcome::Value(level, key, value) => (*level, Edit::Value(key, value)),
        Outcome::Remove(level, key) => (*level, Edit::Remove(key)),
        // Not asked for.
        Outcome::Nothing | Outcome::Note(_) => return Done::Name(view.metric.name.into()),
    };
    let mut out = Vec::new();
    match level {
        Level::Point => {
            put_attributes(
                view.point,
                view.metric.kind.attributes_field(),
                change,
                &mut out,
            );
        }
        Level::Scope => edit(view.scope, scope::ATTRIBUTES, change, false, &mut out),
        Level::Resource => edit(view.resource, resource::ATTRIBUTES, change, true, &mut out),
    }
    Done::Level(level, out)
}

/// What an operation comes to.
fn outcome<'a>(change: &'a Change, view: &SeriesView<'a>) -> Outcome<'a> {
    let exists = |key: &str| find(view, key).is_some();
    match change {
        Change::Metric(name) => match name.apply(view.metric.name) {
            Some(name) => Outcome::Name(name),
            None => Outcome::Nothing,
        },
        Change::Rekey { from, to } => match find(view, from) {
            None => Outcome::Nothing,
            Some(_) if exists(to) => Outcome::Note(ATTRIBUTE_EXISTS),
            Some((level, _)) => Outcome::Rekey(level, from, to),
        },
        Change::Set {
            key,
            value,
            level,
            overwrite,
        } => match find(view, key) {
            None => Outcome::Add(*level, key, Cow::Borrowed(value)),
            Some((_, has)) if same(has, value) => Outcome::Nothing,
            Some((level, _)) if *overwrite => Outcome::Value(level, key, Cow::Borrowed(value)),
            Some(_) => Outcome::Note(ATTRIBUTE_EXISTS),
        },
        Change::Copy { from, to, level } => match find(view, from) {
            None => Outcome::Nothing,
            Some(_) if exists(to) => Outcome::Note(ATTRIBUTE_EXISTS),
            Some((own, _)) => {
                let value = raw_value(view, own, from);
                Outcome::Add(level.unwrap_or(own), to, Cow::Borrowed(value))
            }
        },
        Change::Remove {
            key,
            constant,
            level,
        } => {
            let found = match level {
                Some(level) => find_on(view, *level, key).map(|value| (*level, value)),
                None => find(view, key),
            };
            match found {
                None => Outcome::Nothing,
                Some((level, has)) if same(has, constant) => Outcome::Remove(level, key),
                Some(_) => Outcome::Note(NOT_CONSTANT),
            }
        }
        Change::Normalise { key, how } => {
            let Some((level, AnyValue::String(text))) = find(view, key) else {
                return Outcome::Nothing;
            };
            match how.apply(text) {
                None => Outcome::Nothing,
                Some(new) => {
                    let mut value = Vec::new();
                    write::put_str(&mut value, crate::wire::otlp::any_value::STRING, &new);
                    Outcome::Value(level, key, Cow::Owned(value))
                }
            }
        }
        Change::Classify {
            key,
            level,
            rules,
            otherwise,
        } => {
            let first = rules.iter().find(|(matcher, _)| matcher.matches(view));
            match first.map(|(_, class)| class).or(otherwise.as_ref()) {
                None => Outcome::Nothing,
                Some(_) if exists(key) => Outcome::Note(ATTRIBUTE_EXISTS),
                Some(class) => Outcome::Add(*level, key, Cow::Borrowed(class)),
            }
        }
    }
}

const LEVELS: [Level; 3] = [Level::Point, Level::Scope, Level::Resource];

/// Message body of a level, and the field of its attributes.
fn body_of<'a>(view: &SeriesView<'a>, level: Level) -> (&'a [u8], u32) {
    match level {
        Level::Point => (view.point, view.metric.kind.attributes_field()),
        Level::Scope => (view.scope, scope::ATTRIBUTES),
        Level::Resource => (view.resource, resource::ATTRIBUTES),
    }
}

fn find_on<'a>(view: &SeriesView<'a>, level: Level, key: &str) -> Option<AnyValue<'a>> {
    let (body, number) = body_of(view, level);
    raw_attributes(body, number)
        .map(read)
        .find_map(|(k, value)| (k == key).then_some(value))
}

/// An attribute as a lookup finds it, and its level.
fn find<'a>(view: &SeriesView<'a>, key: &str) -> Option<(Level, AnyValue<'a>)> {
    LEVELS
        .into_iter()
        .find_map(|level| Some((level, find_on(view, level, key)?)))
}

/// The `AnyValue` body of an attribute.
fn raw_value<'a>(view: &SeriesView<'a>, level: Level, key: &str) -> &'a [u8] {
    let (body, number) = body_of(view, level);
    raw_attributes(body, number)
        .find(|raw| read(raw).0 == key)
        .and_then(|raw| {
            crate::wire::fields(raw)
                .filter(|f| f.number == crate::wire::otlp::key_value::VALUE)
                .last()?
                .value
                .bytes()
        })
        .unwrap_or_default()
}

/// Whether a value is the one that was written, type and all.
fn same(value: AnyValue<'_>, body: &[u8]) -> bool {
    let canonical = |value| {
        let mut out = Vec::new();
        put_value(&mut out, value);
        out
    };
    canonical(value) == canonical(AnyValue::of(body))
}

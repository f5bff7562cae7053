//! The changed identity of a series whose points are written anew, kept while the series speaks.

use super::Draft;
use crate::Nanos;
use crate::identity::Canonical;
use crate::series::names::Names;
use crate::splice::assemble::{Shared, Surroundings};
use crate::view::{MetricType, MetricView, SeriesView, Temporality};
use crate::wire::index::{Index, PointEntry};
use crate::wire::otlp::{data, metric, resource_metrics, scope_metrics};
use crate::wire::{fields, write};
use hashbrown::HashMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// What a series is called behind the transforms on its way.
#[derive(Debug)]
pub struct Guise {
    /// Identity of the series as it came.
    source: u128,
    /// Memo key of what surrounded it.
    source_key: u128,
    /// The changed identity.
    pub identity: u128,
    /// Number of the changed metric name.
    pub metric: u32,
    /// Resource, scope and metric.
    pub around: Arc<Surroundings>,
    /// Attribute fields of its points; `None` where they are as they came.
    attributes: Option<Box<[u8]>>,
    kind: MetricType,
}

/// Where a point lies and what it is called there.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The request.
    pub data: &'a [u8],
    /// Its index.
    pub index: &'a Index,
    /// The point.
    pub point: &'a PointEntry,
    /// Identity of its series as it came.
    pub identity: u128,
    /// What it is called already.
    pub guise: Option<&'a Guise>,
}

impl Origin<'_> {
    /// Memo key of what surrounds the point.
    fn key(&self) -> u128 {
        let of = self.index.metrics.get(self.point.metric as usize);
        of.map_or(0, |metric| metric.key)
    }
}

impl Guise {
    /// The series, with the body of one of its points.
    pub fn view<'a>(&'a self, point: &'a [u8]) -> SeriesView<'a> {
        let around = &*self.around;
        let (resource, resource_schema_url) = parts(
            around.resource(),
            resource_metrics::RESOURCE,
            resource_metrics::SCHEMA_URL,
        );
        let (scope, scope_schema_url) = parts(
            around.scope(),
            scope_metrics::SCOPE,
            scope_metrics::SCHEMA_URL,
        );
        SeriesView {
            resource,
            resource_schema_url,
            scope,
            scope_schema_url,
            metric: self.metric_view(),
            point: self.attributes.as_deref().unwrap_or(point),
        }
    }

    fn metric_view(&self) -> MetricView<'_> {
        let (head, tail) = (self.around.head(), self.around.tail());
        let mut view = MetricView {
            name: "",
            description: "",
            unit: "",
            kind: self.kind,
            temporality: Temporality::Unspecified,
            monotonic: false,
            head,
            tail,
        };
        for field in fields(head).chain(fields(tail)) {
            match field.number {
                metric::NAME => view.name = field.value.str(),
                metric::DESCRIPTION => view.description = field.value.str(),
                metric::UNIT => view.unit = field.value.str(),
                _ => {}
            }
        }
        for field in fields(self.around.data()) {
            match (field.number, self.kind) {
                (_, MetricType::Gauge | MetricType::Summary) => {}
                (data::TEMPORALITY, _) => view.temporality = Temporality::of(field.value.bits()),
                (data::MONOTONIC, MetricType::Sum) => view.monotonic = field.value.bits() != 0,
                _ => {}
            }
        }
        view
    }

    /// The metric's name.
    pub fn name(&self) -> &str {
        self.metric_view().name
    }

    /// Appends a point's body with the changed attributes.
    pub fn put_body(&self, point: &PointEntry, bytes: &[u8], out: &mut Vec<u8>) {
        let body = point.at.body().of(bytes);
        let Some(attributes) = &self.attributes else {
            out.extend_from_slice(body);
            return;
        };
        // One contiguous run; where there is none the changed ones come last.
        let (start, end) = if point.attributes.is_empty() {
            (body.len(), body.len())
        } else {
            let offset = |at: u32| at.saturating_sub(point.at.body) as usize;
            (offset(point.attributes.start), offset(point.attributes.end))
        };
        out.extend_from_slice(body.get(..start).unwrap_or_default());
        out.extend_from_slice(attributes);
        out.extend_from_slice(body.get(end..).unwrap_or_default());
    }

    fn bytes(&self) -> usize {
        size_of::<Guise>() + self.attributes.as_ref().map_or(0, |a| a.len())
    }
}

/// A nested message and the schema_url beside it.
fn parts(body: &[u8], message: u32, url: u32) -> (&[u8], &str) {
    let (mut inner, mut text) = (&[][..], "");
    for field in fields(body) {
        if field.number == message {
            inner = field.value.bytes().unwrap_or_default();
        } else if field.number == url {
            text = field.value.str();
        }
    }
    (inner, text)
}

#[derive(Debug)]
struct Slot {
    guise: Arc<Guise>,
    seen: Nanos,
}

/// Guises of one arm, by number; 0 is none.
#[derive(Debug, Default)]
pub struct Guises {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    around: HashMap<u128, Arc<Surroundings>>,
    shared: Shared,
    /// Changed identities that leave, and the series that does.
    claims: HashMap<u128, u128>,
    swept: Nanos,
}

impl Guises {
    /// The guise of a series, if that is still what surrounds it.
    pub fn get(&mut self, number: u32, origin: &Origin<'_>, now: Nanos) -> Option<&Arc<Guise>> {
        let slot = self.slots.get_mut(number.checked_sub(1)? as usize)?;
        let slot = slot.as_mut()?;
        slot.seen = now;
        let fits = slot.guise.source == origin.identity && slot.guise.source_key == origin.key();
        fits.then_some(&slot.guise)
    }

    /// The guise with this number.
    pub fn peek(&self, number: u32) -> Option<&Guise> {
        let slot = self.slots.get(number.checked_sub(1)? as usize)?;
        slot.as_ref().map(|slot| &*slot.guise)
    }

    /// Keeps a guise; its number. `leaves`: its points go to the output.
    pub fn keep(&mut self, guise: Arc<Guise>, leaves: bool, now: Nanos) -> u32 {
        if leaves {
            self.claims.entry(guise.identity).or_insert(guise.source);
        }
        let slot = Some(Slot { guise, seen: now });
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.slots.get_mut(number as usize) {
                    *place = slot;
                }
                number
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        number + 1
    }

    /// Forgets a guise.
    pub fn free(&mut self, number: u32) {
        let Some(number) = number.checked_sub(1) else {
            return;
        };
        let slot = self.slots.get_mut(number as usize).and_then(Option::take);
        if let Some(slot) = slot {
            self.disclaim(slot.guise.identity, slot.guise.source);
            self.free.push(number);
        }
    }

    /// The series no longer leaves under this identity.
    pub fn disclaim(&mut self, identity: u128, source: u128) {
        if self.claims.get(&identity) == Some(&source) {
            self.claims.remove(&identity);
        }
    }

    /// A series leaves under this identity, which a stage gave it; forgotten with the plan.
    pub fn claim(&mut self, identity: u128, source: u128) {
        self.claims.entry(identity).or_insert(source);
    }

    /// Whether another series leaves under this identity.
    pub fn claimed(&self, identity: u128, source: u128) -> bool {
        self.claims
            .get(&identity)
            .is_some_and(|claimed| *claimed != source)
    }

    /// Forgets all: another plan begins.
    pub fn clear(&mut self) {
        *self = Guises::default();
    }

    /// Frees what has been silent for longer than `expiry`, once every quarter of it.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos) {
        if self.slots.is_empty() || now.saturating_sub(self.swept) < expiry / 4 {
            return;
        }
        self.swept = now;
        for number in 0..self.slots.len() {
            let slot = self.slots.get(number).and_then(Option::as_ref);
            if slot.is_some_and(|slot| now.saturating_sub(slot.seen) > expiry) {
                self.free(number as u32 + 1);
            }
        }
        self.around
            .retain(|_, around| Arc::strong_count(around) > 1);
        self.shared.sweep();
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let own: usize = self.slots.iter().flatten().map(|s| s.guise.bytes()).sum();
        let around: usize = self.around.values().map(|around| around.bytes()).sum();
        own + around
            + self.slots.capacity() * size_of::<Option<Slot>>()
            + self.claims.capacity() * 33
            + self.shared.bytes()
    }

    /// The guise of a series that `draft` has changed.
    pub fn make(
        &mut self,
        draft: &Draft,
        origin: &Origin<'_>,
        view: &SeriesView<'_>,
        (canonical, names): (&mut Canonical, &mut Names),
        fleet_seed: u64,
    ) -> Option<Guise> {
        let of = origin.index.metrics.get(origin.point.metric as usize)?;
        let kept = origin.guise.and_then(|guise| guise.attributes.as_deref());
        let attributes = draft.point.as_deref().or(kept).map(Box::from);
        Some(Guise {
            source: origin.identity,
            source_key: of.key,
            identity: canonical.identity(view, fleet_seed),
            metric: names.number(view.metric.name),
            around: self.surround(draft, origin)?,
            attributes,
            kind: of.kind?,
        })
    }

    fn surround(&mut self, draft: &Draft, origin: &Origin<'_>) -> Option<Arc<Surroundings>> {
        let fresh;
        let base = match origin.guise {
            Some(guise) => &*guise.around,
            None => {
                let shared = &mut Shared::default();
                fresh = Surroundings::of(origin.index, origin.point, origin.data, shared)?;
                &fresh
            }
        };
        let resource = with(
            base.resource(),
            resource_metrics::RESOURCE,
            draft.resource.as_deref(),
        );
        let scope = with(base.scope(), scope_metrics::SCOPE, draft.scope.as_deref());
        let name = draft.name.as_ref().map(String::as_bytes);
        let head = with(base.head(), metric::NAME, name);
        let tail = match name {
            Some(_) => without(base.tail(), metric::NAME),
            None => base.tail().to_vec(),
        };
        let resource_key = xxh3_128(&resource);
        let scope_key = below(resource_key, &[&scope]);
        let field = base.data_field().to_le_bytes();
        let key = below(scope_key, &[&field, &head, &tail, base.data()]);
        if let Some(known) = self.around.get(&key) {
            return Some(known.clone());
        }
        let around = Arc::new(Surroundings::new(
            [resource_key, scope_key, key],
            self.shared.intern(resource_key, &resource),
            self.shared.intern(scope_key, &scope),
            (head.into(), tail.into()),
            (base.data_field(), base.data().into()),
        ));
        self.around.insert(key, around.clone());
        Some(around)
    }
}

/// A key of the content below another.
fn below(above: u128, parts: &[&[u8]]) -> u128 {
    let mut bytes = above.to_le_bytes().to_vec();
    for part in parts {
        bytes.extend_from_slice(&part.len().to_le_bytes());
        bytes.extend_from_slice(part);
    }
    xxh3_128(&bytes)
}

/// A body whose field `number` holds something else, where there is something else.
fn with(body: &[u8], number: u32, new: Option<&[u8]>) -> Vec<u8> {
    let Some(new) = new else {
        return body.to_vec();
    };
    let mut out = Vec::with_capacity(body.len() + new.len());
    write::put_bytes(&mut out, number, new);
    out.append(&mut without(body, number));
    out
}

fn without(body: &[u8], number: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for field in fields(body).filter(|field| field.number != number) {
        out.extend_from_slice(body.get(field.start..field.end).unwrap_or_default());
    }
    out
}

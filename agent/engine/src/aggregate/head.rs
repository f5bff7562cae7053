//! What an output carries beside its value: built once from its first input, encoded as OTLP.

use super::rules::{Kind, NODE_KEY, Part, Rules};
use crate::document::Function;
use crate::identity::{self, MetricIdentity};
use crate::view::{MetricType, SeriesView, Temporality};
use crate::wire::attributes::{key_value, raw_attributes};
use crate::wire::otlp::{entity_ref, metric, resource, scope, scope_metrics};
use crate::wire::{AnyValue, fields, write};
use hashbrown::HashSet;
use std::sync::Arc;

/// Identity, place and attributes of an output, pre-encoded.
#[derive(Debug)]
pub struct Head {
    /// Identity of the output's series, as of any other.
    pub identity: u128,
    /// The bytes that the identity is the hash of.
    pub canonical: Box<[u8]>,
    /// Body of the `Resource`.
    pub resource: Arc<[u8]>,
    /// `ResourceMetrics.schema_url` of the first input.
    pub resource_url: Arc<[u8]>,
    /// Fields of `ScopeMetrics` beside its metrics: scope and schema_url.
    pub scope: Arc<[u8]>,
    /// Fields of `Metric` before its data: name, description, unit.
    pub metric: Arc<[u8]>,
    /// Fields of `Metric` after its data: metadata.
    pub metadata: Arc<[u8]>,
    /// The output's name.
    pub name: Arc<[u8]>,
    /// The output's type.
    pub kind: MetricType,
    /// The output's temporality.
    pub temporality: Temporality,
    /// Of sums.
    pub monotonic: bool,
    /// Fields of the point: its attributes.
    pub attributes: Box<[u8]>,
}

/// One kept attribute: key, value, and its `KeyValue` body.
type Kept<'a> = (&'a str, AnyValue<'a>, &'a [u8]);

/// Builds heads; equal parts of different heads share their memory.
#[derive(Debug, Default)]
pub struct Heads {
    shared: HashSet<Arc<[u8]>>,
    canonical: Vec<u8>,
    buffer: Vec<u8>,
}

/// A head that is not built yet: its identity and what is kept.
pub struct Draft<'a> {
    pub identity: u128,
    resource: Vec<Kept<'a>>,
    scope: Vec<Kept<'a>>,
    point: Vec<Kept<'a>>,
    name: std::borrow::Cow<'a, str>,
    unit: &'a str,
    kind: MetricType,
    temporality: Temporality,
    monotonic: bool,
    series: SeriesView<'a>,
}

impl Heads {
    /// Which attributes the output of a series keeps, and its identity. The canonical bytes stay
    /// in [`Heads::canonical`] until the next draft.
    pub fn draft<'a>(
        &mut self,
        series: &SeriesView<'a>,
        (kind, part): (Kind, Part),
        rules: &'a Rules,
        overflow: Option<&'a [u8]>,
    ) -> Draft<'a> {
        let metric = &series.metric;
        let kept = |body, field| {
            let mut kept: Vec<Kept<'a>> = raw_attributes(body, field)
                .map(|raw| (key_value(raw), raw))
                .filter(|((key, _), _)| rules.keys.keeps(key))
                .map(|((key, value), raw)| (key, value, raw))
                .collect();
            sort(&mut kept);
            kept
        };
        let mut draft = Draft {
            identity: 0,
            resource: kept(series.resource, resource::ATTRIBUTES),
            scope: kept(series.scope, scope::ATTRIBUTES),
            point: kept(series.point, metric.kind.attributes_field()),
            name: rules.name(metric.name, (kind, part)),
            unit: match (kind, part) {
                (Kind::Gauge(Function::Count), _) | (_, Part::Count) => "1",
                _ => metric.unit,
            },
            kind: metric.kind,
            temporality: metric.temporality,
            monotonic: metric.monotonic,
            series: *series,
        };
        if part != Part::Whole {
            (draft.kind, draft.temporality) = (MetricType::Sum, Temporality::Cumulative);
            draft.monotonic = true;
        }
        if let Some(raw) = &rules.mark {
            let (key, value) = key_value(raw);
            draft.point.retain(|(known, _, _)| *known != key);
            draft.point.push((key, value, raw));
            sort(&mut draft.point);
        }
        if let Some(raw) = overflow {
            let (key, value) = key_value(raw);
            draft.resource.clear();
            draft.point = vec![(key, value, raw)];
        }
        add_node(&mut draft.resource, rules);
        self.canonical.clear();
        draft.put_canonical(&mut self.canonical);
        draft.identity = identity::hash(&self.canonical, rules.fleet_seed);
        draft
    }

    /// The canonical bytes of the last draft.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Builds the head of the last draft.
    pub fn build(&mut self, draft: &Draft<'_>, rules: &Rules) -> Head {
        let view = &draft.series;
        let resource = self.share(|out| {
            put_attributes(out, resource::ATTRIBUTES, &draft.resource);
            put_entity_refs(out, view.resource, rules);
        });
        let scope = self.share(|out| draft.put_scope(out));
        let metric = self.share(|out| {
            put_text(out, metric::NAME, &draft.name);
            put_text(out, metric::DESCRIPTION, view.metric.description);
            put_text(out, metric::UNIT, draft.unit);
        });
        let metadata = self.share(|out| {
            for raw in view.metric.metadata() {
                write::put_bytes(out, metric::METADATA, raw);
            }
        });
        let mut attributes = Vec::new();
        put_attributes(&mut attributes, draft.kind.attributes_field(), &draft.point);
        Head {
            identity: draft.identity,
            canonical: self.canonical.as_slice().into(),
            resource,
            resource_url: self
                .share(|out| out.extend_from_slice(view.resource_schema_url.as_bytes())),
            scope,
            metric,
            metadata,
            name: self.share(|out| out.extend_from_slice(draft.name.as_bytes())),
            kind: draft.kind,
            temporality: draft.temporality,
            monotonic: draft.monotonic,
            attributes: attributes.into(),
        }
    }

    fn share(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> Arc<[u8]> {
        self.buffer.clear();
        fill(&mut self.buffer);
        if let Some(known) = self.shared.get(self.buffer.as_slice()) {
            return known.clone();
        }
        let part: Arc<[u8]> = self.buffer.as_slice().into();
        self.shared.insert(part.clone());
        part
    }

    /// Forgets parts that no head has any more.
    pub fn sweep(&mut self) {
        self.shared.retain(|part| Arc::strong_count(part) > 1);
    }

    /// Estimate of the bytes of shared parts.
    pub fn bytes(&self) -> usize {
        self.shared.iter().map(|part| part.len() + 40).sum()
    }
}

impl Draft<'_> {
    fn put_canonical(&self, out: &mut Vec<u8>) {
        let pairs = |kept: &[Kept<'_>], out: &mut Vec<u8>| {
            identity::put_count(out, kept.len());
            for (key, value, _) in kept {
                identity::put_text(out, key.as_bytes());
                identity::put_value(out, *value);
            }
        };
        pairs(&self.resource, out);
        let (name, version) = self.series.scope_name_version();
        identity::put_text(out, name.as_bytes());
        identity::put_text(out, version.as_bytes());
        pairs(&self.scope, out);
        identity::put_metric(
            out,
            &MetricIdentity {
                name: &self.name,
                unit: self.unit,
                kind: self.kind,
                temporality: self.temporality,
                monotonic: self.monotonic,
            },
        );
        pairs(&self.point, out);
    }

    fn put_scope(&self, out: &mut Vec<u8>) {
        let (name, version) = self.series.scope_name_version();
        let open = write::begin(out, scope_metrics::SCOPE);
        put_text(out, scope::NAME, name);
        put_text(out, scope::VERSION, version);
        put_attributes(out, scope::ATTRIBUTES, &self.scope);
        write::end(out, open);
        put_text(out, scope_metrics::SCHEMA_URL, self.series.scope_schema_url);
    }
}

/// By key, then by value, as in canonical form.
fn sort(kept: &mut [Kept<'_>]) {
    kept.sort_by_key(|(key, ..)| *key);
    for same in kept.chunk_by_mut(|a, b| a.0 == b.0) {
        if same.len() > 1 {
            same.sort_by_cached_key(|(_, value, _)| identity::encoded(*value));
        }
    }
}

/// Adds the node's name to a resource that keeps none of the node keys.
fn add_node<'a>(kept: &mut Vec<Kept<'a>>, rules: &'a Rules) {
    let Some(raw) = &rules.node else { return };
    let is_node = |key: &str| key == NODE_KEY || rules.node_keys.iter().any(|k| k == key);
    if !kept.iter().any(|(key, _, _)| is_node(key)) {
        let (key, value) = key_value(raw);
        let at = kept.partition_point(|(k, _, _)| *k < key);
        kept.insert(at, (key, value, raw));
    }
}

fn put_attributes(out: &mut Vec<u8>, field: u32, kept: &[Kept<'_>]) {
    for (_, _, raw) in kept {
        write::put_bytes(out, field, raw);
    }
}

fn put_text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        write::put_str(out, field, text);
    }
}

/// References to entities none of whose keys was removed.
fn put_entity_refs(out: &mut Vec<u8>, body: &[u8], rules: &Rules) {
    for reference in raw_attributes(body, resource::ENTITY_REFS) {
        let whole = fields(reference)
            .filter(|f| matches!(f.number, entity_ref::ID_KEYS | entity_ref::DESCRIPTION_KEYS))
            .all(|f| rules.keys.keeps(f.value.str()));
        if whole {
            write::put_bytes(out, resource::ENTITY_REFS, reference);
        }
    }
}

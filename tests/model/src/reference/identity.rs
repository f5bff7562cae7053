//! Who a series is: plain structs, compared by value; and the published hashes, written out a
//! second time so that a mistake in the engine's cannot hide.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

/// A typed attribute value. Doubles by their bits, maps sorted by key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Val {
    Empty,
    Str(String),
    Bool(bool),
    Int(i64),
    Double(u64),
    Array(Vec<Val>),
    Map(Attributes),
    Bytes(Vec<u8>),
}

/// Attributes sorted by key, then by the bytes of the value.
pub type Attributes = Vec<(String, Val)>;

/// What a point measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Gauge = 1,
    Sum = 2,
    Histogram = 3,
    Exponential = 4,
    Summary = 5,
}

/// What a point relates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Temporality {
    Unspecified = 0,
    Delta = 1,
    Cumulative = 2,
}

/// A series. Equal identities are one stream of points.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub name: String,
    pub unit: String,
    pub kind: Kind,
    pub temporality: Temporality,
    pub monotonic: bool,
    pub attributes: Attributes,
    pub scope_name: String,
    pub scope_version: String,
    pub scope_attributes: Attributes,
    pub resource: Attributes,
}

impl Identity {
    /// The value under `key`: on the point, then the scope, then the resource.
    pub fn lookup(&self, key: &str) -> Option<&Val> {
        [&self.attributes, &self.scope_attributes, &self.resource]
            .into_iter()
            .find_map(|level| level.iter().find(|(k, _)| k == key).map(|(_, v)| v))
    }

    /// The canonical 128-bit identity; here only to break the ties of `last`.
    pub fn hash128(&self, fleet_seed: u64) -> u128 {
        let mut b = Vec::new();
        put_attributes(&mut b, &self.resource);
        put_bytes(&mut b, self.scope_name.as_bytes());
        put_bytes(&mut b, self.scope_version.as_bytes());
        put_attributes(&mut b, &self.scope_attributes);
        put_bytes(&mut b, self.name.as_bytes());
        put_bytes(&mut b, self.unit.as_bytes());
        b.push(self.kind as u8);
        b.push(self.temporality as u8);
        b.push(u8::from(self.monotonic));
        put_attributes(&mut b, &self.attributes);
        xxhash_rust::xxh3::xxh3_128_with_seed(&b, fleet_seed)
    }

    /// Where the entity of this series falls in [0, 1); nothing when it lacks one of the keys.
    pub fn place(&self, keys: &[String], id: &str) -> Option<f64> {
        let mut keys = keys.to_vec();
        keys.sort();
        let mut b = Vec::new();
        for key in &keys {
            put_bytes(&mut b, key.as_bytes());
            put_value(&mut b, self.lookup(key)?);
        }
        let seed = xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), 0);
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&b, seed);
        Some((hash >> 11) as f64 / (1u64 << 53) as f64)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    out.extend_from_slice(&(attributes.len() as u32).to_le_bytes());
    for (key, value) in attributes {
        put_bytes(out, key.as_bytes());
        put_value(out, value);
    }
}

/// The canonical bytes of a value.
pub fn put_value(out: &mut Vec<u8>, value: &Val) {
    match value {
        Val::Empty => out.push(0),
        Val::Str(s) => {
            out.push(1);
            put_bytes(out, s.as_bytes());
        }
        Val::Bool(b) => out.extend_from_slice(&[2, u8::from(*b)]),
        Val::Int(i) => {
            out.push(3);
            out.extend_from_slice(&i.to_le_bytes());
        }
        Val::Double(bits) => {
            out.push(4);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Val::Array(values) => {
            out.push(5);
            out.extend_from_slice(&(values.len() as u32).to_le_bytes());
            values.iter().for_each(|v| put_value(out, v));
        }
        Val::Map(entries) => {
            out.push(6);
            put_attributes(out, entries);
        }
        Val::Bytes(bytes) => {
            out.push(7);
            put_bytes(out, bytes);
        }
    }
}

/// Reads OTLP attributes into their sorted form.
pub fn attributes(list: &[KeyValue]) -> Attributes {
    let mut all: Attributes = list
        .iter()
        .map(|kv| (kv.key.clone(), kv.value.as_ref().map_or(Val::Empty, value)))
        .collect();
    sort(&mut all);
    all
}

/// Sorts by key, then by the bytes of the value.
pub fn sort(attributes: &mut Attributes) {
    attributes.sort_by_cached_key(|(key, value)| {
        let mut bytes = Vec::new();
        put_value(&mut bytes, value);
        (key.clone(), bytes)
    });
}

fn value(any: &AnyValue) -> Val {
    use any_value::Value;
    match &any.value {
        None | Some(Value::StringValueStrindex(_)) => Val::Empty,
        Some(Value::StringValue(s)) => Val::Str(s.clone()),
        Some(Value::BoolValue(b)) => Val::Bool(*b),
        Some(Value::IntValue(i)) => Val::Int(*i),
        Some(Value::DoubleValue(d)) => Val::Double(d.to_bits()),
        Some(Value::ArrayValue(a)) => Val::Array(a.values.iter().map(value).collect()),
        Some(Value::KvlistValue(l)) => Val::Map(attributes(&l.values)),
        Some(Value::BytesValue(b)) => Val::Bytes(b.clone()),
    }
}

impl std::fmt::Display for Val {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Val::Empty => write!(f, "()"),
            Val::Str(s) => write!(f, "{s}"),
            Val::Bool(b) => write!(f, "{b}"),
            Val::Int(i) => write!(f, "{i}"),
            Val::Double(bits) => write!(f, "{}", f64::from_bits(*bits)),
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |a: &Attributes| {
            let part = |(k, v): &(String, Val)| match v {
                // A text 7 is not the number 7.
                Val::Str(s) => format!("{k}={s:?}"),
                other => format!("{k}={other}"),
            };
            let parts: Vec<String> = a.iter().map(part).collect();
            parts.join(",")
        };
        write!(
            f,
            "{}[{}]{:?}/{:?}{}{{{}}}",
            self.name,
            self.unit,
            self.kind,
            self.temporality,
            if self.monotonic { "/mono" } else { "" },
            list(&self.attributes)
        )?;
        write!(
            f,
            " scope {}@{}{{{}}} resource {{{}}}",
            self.scope_name,
            self.scope_version,
            list(&self.scope_attributes),
            list(&self.resource)
        )
    }
}

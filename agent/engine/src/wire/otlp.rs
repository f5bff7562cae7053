//! Field numbers of the OTLP metrics messages (opentelemetry-proto 1.x).

/// `ExportMetricsServiceRequest` and `MetricsData`.
pub mod request {
    /// repeated ResourceMetrics
    pub const RESOURCE_METRICS: u32 = 1;
}

/// `ResourceMetrics`.
pub mod resource_metrics {
    /// Resource
    pub const RESOURCE: u32 = 1;
    /// repeated ScopeMetrics
    pub const SCOPE_METRICS: u32 = 2;
    /// string
    pub const SCHEMA_URL: u32 = 3;
}

/// `Resource`.
pub mod resource {
    /// repeated KeyValue
    pub const ATTRIBUTES: u32 = 1;
    /// uint32
    pub const DROPPED_ATTRIBUTES_COUNT: u32 = 2;
    /// repeated EntityRef
    pub const ENTITY_REFS: u32 = 3;
}

/// `EntityRef`.
pub mod entity_ref {
    /// string
    pub const SCHEMA_URL: u32 = 1;
    /// string
    pub const TYPE: u32 = 2;
    /// repeated string
    pub const ID_KEYS: u32 = 3;
    /// repeated string
    pub const DESCRIPTION_KEYS: u32 = 4;
}

/// `ScopeMetrics`.
pub mod scope_metrics {
    /// InstrumentationScope
    pub const SCOPE: u32 = 1;
    /// repeated Metric
    pub const METRICS: u32 = 2;
    /// string
    pub const SCHEMA_URL: u32 = 3;
}

/// `InstrumentationScope`.
pub mod scope {
    /// string
    pub const NAME: u32 = 1;
    /// string
    pub const VERSION: u32 = 2;
    /// repeated KeyValue
    pub const ATTRIBUTES: u32 = 3;
    /// uint32
    pub const DROPPED_ATTRIBUTES_COUNT: u32 = 4;
}

/// `Metric`.
pub mod metric {
    /// string
    pub const NAME: u32 = 1;
    /// string
    pub const DESCRIPTION: u32 = 2;
    /// string
    pub const UNIT: u32 = 3;
    /// Gauge
    pub const GAUGE: u32 = 5;
    /// Sum
    pub const SUM: u32 = 7;
    /// Histogram
    pub const HISTOGRAM: u32 = 9;
    /// ExponentialHistogram
    pub const EXPONENTIAL_HISTOGRAM: u32 = 10;
    /// Summary
    pub const SUMMARY: u32 = 11;
    /// repeated KeyValue
    pub const METADATA: u32 = 12;
}

/// `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram`, `Summary`: the same numbers in all.
pub mod data {
    /// repeated point
    pub const DATA_POINTS: u32 = 1;
    /// AggregationTemporality
    pub const TEMPORALITY: u32 = 2;
    /// bool (Sum only)
    pub const MONOTONIC: u32 = 3;
}

/// What all points share.
pub mod point {
    /// fixed64
    pub const START: u32 = 2;
    /// fixed64
    pub const TIME: u32 = 3;
    /// Bit 0 of `flags`: the series has ended, there is no value.
    pub const NO_RECORDED_VALUE: u32 = 1;
}

/// `NumberDataPoint`.
pub mod number_point {
    /// double
    pub const AS_DOUBLE: u32 = 4;
    /// repeated Exemplar
    pub const EXEMPLARS: u32 = 5;
    /// sfixed64
    pub const AS_INT: u32 = 6;
    /// repeated KeyValue
    pub const ATTRIBUTES: u32 = 7;
    /// uint32
    pub const FLAGS: u32 = 8;
}

/// `HistogramDataPoint`.
pub mod histogram_point {
    /// fixed64
    pub const COUNT: u32 = 4;
    /// optional double
    pub const SUM: u32 = 5;
    /// repeated fixed64
    pub const BUCKET_COUNTS: u32 = 6;
    /// repeated double
    pub const EXPLICIT_BOUNDS: u32 = 7;
    /// repeated Exemplar
    pub const EXEMPLARS: u32 = 8;
    /// repeated KeyValue
    pub const ATTRIBUTES: u32 = 9;
    /// uint32
    pub const FLAGS: u32 = 10;
    /// optional double
    pub const MIN: u32 = 11;
    /// optional double
    pub const MAX: u32 = 12;
}

/// `ExponentialHistogramDataPoint`.
pub mod exponential_point {
    /// repeated KeyValue
    pub const ATTRIBUTES: u32 = 1;
    /// fixed64
    pub const COUNT: u32 = 4;
    /// optional double
    pub const SUM: u32 = 5;
    /// sint32
    pub const SCALE: u32 = 6;
    /// fixed64
    pub const ZERO_COUNT: u32 = 7;
    /// Buckets
    pub const POSITIVE: u32 = 8;
    /// Buckets
    pub const NEGATIVE: u32 = 9;
    /// uint32
    pub const FLAGS: u32 = 10;
    /// repeated Exemplar
    pub const EXEMPLARS: u32 = 11;
    /// optional double
    pub const MIN: u32 = 12;
    /// optional double
    pub const MAX: u32 = 13;
    /// double
    pub const ZERO_THRESHOLD: u32 = 14;
}

/// `ExponentialHistogramDataPoint.Buckets`.
pub mod buckets {
    /// sint32
    pub const OFFSET: u32 = 1;
    /// repeated uint64 (varint)
    pub const BUCKET_COUNTS: u32 = 2;
}

/// `SummaryDataPoint`.
pub mod summary_point {
    /// fixed64
    pub const COUNT: u32 = 4;
    /// double
    pub const SUM: u32 = 5;
    /// repeated ValueAtQuantile
    pub const QUANTILE_VALUES: u32 = 6;
    /// repeated KeyValue
    pub const ATTRIBUTES: u32 = 7;
    /// uint32
    pub const FLAGS: u32 = 8;
}

/// `Exemplar`.
pub mod exemplar {
    /// fixed64
    pub const TIME: u32 = 2;
    /// double
    pub const AS_DOUBLE: u32 = 3;
    /// bytes
    pub const SPAN_ID: u32 = 4;
    /// bytes
    pub const TRACE_ID: u32 = 5;
    /// sfixed64
    pub const AS_INT: u32 = 6;
    /// repeated KeyValue
    pub const FILTERED_ATTRIBUTES: u32 = 7;
}

/// `KeyValue` and `KeyValueList`.
pub mod key_value {
    /// string
    pub const KEY: u32 = 1;
    /// AnyValue
    pub const VALUE: u32 = 2;
    /// int32 (profiles only; means nothing in metrics)
    pub const KEY_STRINDEX: u32 = 3;
}

/// `AnyValue`; its array and list hold their items in field 1.
pub mod any_value {
    /// string
    pub const STRING: u32 = 1;
    /// bool
    pub const BOOL: u32 = 2;
    /// int64
    pub const INT: u32 = 3;
    /// double
    pub const DOUBLE: u32 = 4;
    /// ArrayValue
    pub const ARRAY: u32 = 5;
    /// KeyValueList
    pub const KVLIST: u32 = 6;
    /// bytes
    pub const BYTES: u32 = 7;
    /// int32 (profiles only; means nothing in metrics)
    pub const STRING_STRINDEX: u32 = 8;
    /// repeated AnyValue (in ArrayValue), repeated KeyValue (in KeyValueList)
    pub const ITEMS: u32 = 1;
}

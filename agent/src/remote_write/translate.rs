//! From an OTLP request to time series.

use super::exemplar::exemplars;
use super::histogram::native;
use super::{Exemplar, Family, Native, STALE, Sample, Series, Told};
use phoenix_engine::Nanos;
use phoenix_engine::aggregate::explicit::Explicit;
use phoenix_engine::aggregate::exponential::Exponential;
use phoenix_engine::aggregate::read::{read_explicit, read_exponential, read_summary};
use phoenix_engine::engine::{Refusal, for_each_point};
use phoenix_engine::prometheus::{
    Kind, Labels, NAME, Naming, Unfit, family, float, labels, target_labels, unit_words,
};
use phoenix_engine::view::{PointView, SeriesView};
use phoenix_engine::wire::fields;
use phoenix_engine::wire::otlp::summary_point;
use std::collections::{BTreeMap, HashMap};

/// `ValueAtQuantile`: double quantile = 1, double value = 2.
const QUANTILE: u32 = 1;
const QUANTILE_VALUE: u32 = 2;

/// What a request became.
#[derive(Debug, Default)]
pub struct Translation {
    /// In the order in which they first spoke.
    pub series: Vec<Series>,
    /// What is told of their metrics.
    pub families: Vec<Family>,
    /// `target_info` of each resource, at its newest point.
    pub targets: Vec<Series>,
    /// Points that have no form, by `Unfit as usize`.
    pub unfit: [u64; Unfit::ALL.len()],
}

impl Translation {
    /// Points that have no form in Prometheus.
    pub fn unfit_points(&self) -> u64 {
        self.unfit.iter().sum()
    }
}

/// Translates a request. `external` labels go on every series that has none of the same name.
///
/// # Errors
/// The request is no OTLP.
pub fn translate(
    request: &[u8],
    naming: &Naming,
    external: &BTreeMap<String, String>,
) -> Result<Translation, Refusal> {
    let mut work = Work {
        naming,
        external,
        out: Translation::default(),
        series: HashMap::new(),
        families: HashMap::new(),
        targets: BTreeMap::new(),
        explicit: Explicit::default(),
        exponential: Exponential::default(),
    };
    for_each_point(request, |series, point| {
        if let Err(unfit) = work.point(series, point) {
            work.out.unfit[unfit as usize] += 1;
        }
    })?;
    Ok(work.finish())
}

struct Work<'a> {
    naming: &'a Naming,
    external: &'a BTreeMap<String, String>,
    out: Translation,
    series: HashMap<Vec<(String, String)>, usize>,
    families: HashMap<String, usize>,
    targets: BTreeMap<Labels, i64>,
    explicit: Explicit,
    exponential: Exponential,
}

/// A point on its way: what all its samples share.
struct Common<'a> {
    family: usize,
    name: &'a str,
    labels: Labels,
    time: i64,
    start: i64,
    stale: bool,
}

/// Milliseconds, as Prometheus has times.
pub fn millis(nanos: Nanos) -> i64 {
    (nanos / 1_000_000) as i64
}

impl Work<'_> {
    fn point(&mut self, series: &SeriesView<'_>, point: &PointView<'_>) -> Result<(), Unfit> {
        let kind = Kind::of(&series.metric)?;
        let name = family(&series.metric).ok_or(Unfit::NoName)?;
        let mut common = Common {
            family: self.family(&name, kind, series),
            name: &name,
            labels: labels(series, self.naming),
            time: millis(point.time),
            start: millis(point.start),
            stale: point.no_recorded_value(),
        };
        self.add_external(&mut common.labels);
        let taken = match kind {
            Kind::Counter | Kind::Gauge => self.number(&common, point, kind == Kind::Counter),
            Kind::Histogram => self.histogram(&common, point),
            Kind::NativeHistogram => self.native(&common, point),
            Kind::Summary => self.summary(&common, point),
        };
        taken?;
        self.target(series, common.time);
        Ok(())
    }

    fn add_external(&self, labels: &mut Labels) {
        for (name, text) in self.external {
            labels.entry(name.clone()).or_insert_with(|| text.clone());
        }
    }

    fn family(&mut self, name: &str, kind: Kind, series: &SeriesView<'_>) -> usize {
        if let Some(known) = self.families.get(name) {
            return *known;
        }
        let number = self.out.families.len();
        self.out.families.push(Family {
            name: name.to_owned(),
            kind: kind.into(),
            help: series.metric.description.to_owned(),
            unit: unit_words(series.metric.unit),
        });
        self.families.insert(name.to_owned(), number);
        number
    }

    fn number(
        &mut self,
        common: &Common<'_>,
        point: &PointView<'_>,
        counter: bool,
    ) -> Result<(), Unfit> {
        let value = match point.number {
            _ if common.stale => f64::from_bits(STALE),
            Some(number) => number.as_f64(),
            None => return Err(Unfit::NoValue),
        };
        let series = self.series(common, "", None);
        series.samples.push(Sample {
            value,
            time: common.time,
            start: if counter { common.start } else { 0 },
        });
        if counter {
            series.exemplars.extend(exemplars(point));
        }
        Ok(())
    }

    fn histogram(&mut self, common: &Common<'_>, point: &PointView<'_>) -> Result<(), Unfit> {
        let mut read = std::mem::take(&mut self.explicit);
        read_explicit(point.body, &mut read);
        let mut by_bound: BTreeMap<usize, Vec<Exemplar>> = BTreeMap::new();
        for exemplar in exemplars(point) {
            let bound = read.bounds.partition_point(|b| *b < exemplar.value);
            by_bound.entry(bound).or_default().push(exemplar);
        }
        let mut below = 0u64;
        for (number, bound) in read.bounds.iter().enumerate() {
            below = below.saturating_add(read.counts.get(number).copied().unwrap_or(0));
            // The last bucket is the next one.
            if *bound == f64::INFINITY {
                continue;
            }
            let le = float(*bound);
            let series = self.sample(common, "_bucket", Some(("le", &le)), below as f64);
            series
                .exemplars
                .extend(by_bound.remove(&number).unwrap_or_default());
        }
        let all = self.sample(common, "_bucket", Some(("le", "+Inf")), read.count as f64);
        all.exemplars.extend(by_bound.into_values().flatten());
        all.exemplars.sort_by_key(|exemplar| exemplar.time);
        // What ends a histogram has no sum any more, and that series ends, too.
        if let Some(sum) = read.sum.or(common.stale.then_some(0.0)) {
            self.sample(common, "_sum", None, sum);
        }
        self.sample(common, "_count", None, read.count as f64);
        self.explicit = read;
        Ok(())
    }

    fn native(&mut self, common: &Common<'_>, point: &PointView<'_>) -> Result<(), Unfit> {
        let mut read = std::mem::take(&mut self.exponential);
        read_exponential(point.body, &mut read);
        let made = native(&read, (common.time, common.start), common.stale);
        self.exponential = read;
        let series = self.series(common, "", None);
        series.histograms.push(made?);
        series.exemplars.extend(exemplars(point));
        Ok(())
    }

    fn summary(&mut self, common: &Common<'_>, point: &PointView<'_>) -> Result<(), Unfit> {
        let at = fields(point.body)
            .filter(|field| field.number == summary_point::QUANTILE_VALUES)
            .filter_map(|field| field.value.bytes());
        for body in at {
            let (mut quantile, mut value) = (0.0, 0.0);
            for field in fields(body) {
                match field.number {
                    QUANTILE => quantile = field.value.double(),
                    QUANTILE_VALUE => value = field.value.double(),
                    _ => {}
                }
            }
            let quantile = float(quantile);
            self.sample(common, "", Some(("quantile", &quantile)), value);
        }
        let (sum, count) = read_summary(point.body);
        self.sample(common, "_sum", None, sum);
        self.sample(common, "_count", None, count as f64);
        Ok(())
    }

    /// Adds a sample of a counter that is part of a histogram or summary.
    fn sample(
        &mut self,
        common: &Common<'_>,
        suffix: &str,
        extra: Option<(&str, &str)>,
        value: f64,
    ) -> &mut Series {
        let stale = common.stale;
        let series = self.series(common, suffix, extra);
        series.samples.push(Sample {
            value: if stale { f64::from_bits(STALE) } else { value },
            time: common.time,
            // A quantile is no counter.
            start: match extra {
                Some(("quantile", _)) => 0,
                _ => common.start,
            },
        });
        series
    }

    fn series(
        &mut self,
        common: &Common<'_>,
        suffix: &str,
        extra: Option<(&str, &str)>,
    ) -> &mut Series {
        let mut labels = common.labels.clone();
        labels.insert(NAME.to_owned(), format!("{}{suffix}", common.name));
        if let Some((name, text)) = extra {
            labels.insert(name.to_owned(), text.to_owned());
        }
        let labels: Vec<_> = labels.into_iter().collect();
        let all = &mut self.out.series;
        let number = *self.series.entry(labels).or_insert_with_key(|labels| {
            all.push(Series::new(labels.clone(), common.family));
            all.len() - 1
        });
        // The number was given when the series was put there.
        &mut all[number]
    }

    fn target(&mut self, series: &SeriesView<'_>, time: i64) {
        if let Some(mut labels) = target_labels(series) {
            self.add_external(&mut labels);
            labels.insert(NAME.to_owned(), "target_info".to_owned());
            let newest = self.targets.entry(labels).or_insert(time);
            *newest = time.max(*newest);
        }
    }

    fn finish(mut self) -> Translation {
        for series in &mut self.out.series {
            // What is sent must be in the order of time; points of one request may not be.
            series.samples.sort_by_key(|sample| sample.time);
            series.histograms.sort_by_key(|histogram| histogram.time);
            series.exemplars.sort_by_key(|exemplar| exemplar.time);
        }
        if !self.targets.is_empty() {
            let number = self.out.families.len();
            self.out.families.push(Family {
                name: "target_info".to_owned(),
                kind: Told::Info,
                help: "Target metadata".to_owned(),
                unit: String::new(),
            });
            for (labels, time) in self.targets {
                let mut series = Series::new(labels.into_iter().collect(), number);
                series.samples.push(Sample {
                    value: 1.0,
                    time,
                    start: 0,
                });
                self.out.targets.push(series);
            }
        }
        self.out
    }
}

impl Series {
    fn new(labels: Vec<(String, String)>, family: usize) -> Series {
        Series {
            labels,
            family,
            samples: Vec::<Sample>::new(),
            histograms: Vec::<Native>::new(),
            exemplars: Vec::new(),
        }
    }
}

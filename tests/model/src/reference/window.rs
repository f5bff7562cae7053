//! Outputs of an aggregate stage: open windows, totals, and what is written.

use super::aggregate::{Input, Spoken};
use super::document::Function;
use super::explicit::common;
use super::identity::Identity;
use super::number::{Num, Total};
use super::point::{Company, Data, Point};
use super::progress::Amount;
use super::weight::{self, Totals};
use opentelemetry_proto::tonic::metrics::v1::Exemplar;
use std::collections::BTreeMap;
use std::rc::Rc;

/// How the points of an output are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Increments of monotonic sums and histograms.
    Cumulative,
    /// The latest values of non-monotonic sums.
    Latest,
    Delta,
    Gauge(Function),
}

/// What one window of one output holds.
#[derive(Debug, Clone, Default)]
pub struct Window {
    pub absorbed: u64,
    /// An input said that it has no value any more.
    pub flagged: bool,
    pub exemplars: Vec<Exemplar>,
    /// Exemplars that were not kept.
    pub surplus: u64,
    added: Option<Amount>,
    /// The same of inputs of other weights than 1.
    weighted: Vec<(f64, Amount)>,
    /// Gauges: per input the last value (time, arrival).
    lasts: BTreeMap<Rc<Identity>, (u64, u64, Num)>,
    all: Vec<Num>,
}

/// One output series.
#[derive(Debug, Clone)]
pub struct Output {
    pub identity: Rc<Identity>,
    pub windows: BTreeMap<u64, Window>,
    way: Counted,
    company: Company,
    start: u64,
    last_written: Option<u64>,
    total: Option<Amount>,
    /// Of inputs of other weights than 1.
    totals: Totals,
    /// Bounds that all its inputs had in common so far.
    bounds: Option<Vec<f64>>,
    /// A non-monotonic sum that was a double stays one.
    double: bool,
    /// The clock when an input last spoke.
    pub seen: u64,
}

impl Window {
    pub fn add(&mut self, amount: &Amount) {
        self.added = Some(match &self.added {
            None => amount.fitted(),
            Some(have) => have.plus(amount).expect("asked before"),
        });
    }

    pub fn observe(&mut self, input: &Rc<Identity>, time: u64, arrival: u64, value: Num) {
        self.all.push(value);
        let entry = self
            .lasts
            .entry(input.clone())
            .or_insert((time, arrival, value));
        if (time, arrival) >= (entry.0, entry.1) {
            *entry = (time, arrival, value);
        }
    }

    /// An input goes on elsewhere.
    pub fn forget(&mut self, input: &Rc<Identity>) {
        self.lasts.remove(input);
    }

    /// Keeps the last four.
    pub fn keep_exemplars(&mut self, more: &[Exemplar]) {
        self.exemplars.extend(more.iter().cloned());
        let surplus = self.exemplars.len().saturating_sub(4);
        self.exemplars.drain(..surplus);
        self.surplus += surplus as u64;
    }

    /// Histograms at the bounds that all inputs had in common until now, whichever spoke first.
    fn reduce_to(&mut self, bounds: &[f64]) {
        let weighted = self.weighted.iter_mut().map(|(_, amount)| amount);
        for amount in weighted.chain(&mut self.added) {
            if let Amount::Explicit(e) = amount {
                *e = e.rebucket(bounds);
            }
        }
    }

    fn join(&mut self, later: Window) {
        self.absorbed += later.absorbed;
        self.flagged |= later.flagged;
        self.surplus += later.surplus;
        self.keep_exemplars(&later.exemplars);
        if let Some(amount) = &later.added {
            self.add(amount);
        }
        for (weight, amount) in &later.weighted {
            weight::add(&mut self.weighted, *weight, amount);
        }
        for (input, (time, arrival, value)) in later.lasts {
            let entry = self.lasts.entry(input).or_insert((time, arrival, value));
            if (time, arrival) >= (entry.0, entry.1) {
                *entry = (time, arrival, value);
            }
        }
        self.all.extend(later.all);
    }

    fn gauge(&self, function: Function, seed: u64) -> Option<Num> {
        let values = || self.lasts.values().map(|(_, _, n)| *n);
        let double = self.all.iter().any(|n| n.is_double());
        let typed = |n: Num| if double { n.widened() } else { n };
        let mut sum = Total::default();
        values().for_each(|n| sum.add(n));
        let inputs = self.lasts.len();
        if inputs == 0 {
            return None;
        }
        match function {
            Function::Sum => Some(typed(sum.number())),
            Function::Mean => Some(Num::Double(sum.number_as_f64() / inputs as f64)),
            Function::Count => Some(Num::Int(inputs as i64)),
            Function::Min => self
                .all
                .iter()
                .copied()
                .min_by(|a, b| a.compare(*b))
                .map(typed),
            Function::Max => self
                .all
                .iter()
                .copied()
                .max_by(|a, b| a.compare(*b))
                .map(typed),
            Function::Last => self
                .lasts
                .iter()
                .max_by_key(|(id, (time, _, _))| (*time, id.hash128(seed)))
                .map(|(_, (_, _, n))| typed(*n)),
        }
    }
}

impl Output {
    pub fn new(identity: Rc<Identity>, way: Counted, company: Rc<Company>, start: u64) -> Output {
        Output {
            identity,
            windows: BTreeMap::new(),
            way,
            company: (*company).clone(),
            start,
            last_written: None,
            total: None,
            totals: Totals::default(),
            bounds: None,
            double: false,
            seen: 0,
        }
    }

    /// Another input: the resource's schema stays if all agree.
    pub fn meet(&mut self, company: &Company) {
        if self.company.resource_schema_url != company.resource_schema_url {
            self.company.resource_schema_url = String::new();
        }
    }

    /// Whether its bounds have something in common with what came so far.
    pub fn can_add(&self, amount: &Amount) -> bool {
        match (amount, &self.bounds) {
            (Amount::Explicit(e), Some(bounds)) => common(&e.bounds, bounds).is_some(),
            _ => true,
        }
    }

    /// Adds to a window.
    pub fn add(&mut self, end: u64, amount: &Amount, weight: f64) {
        let mut amount = amount.clone();
        if let Amount::Explicit(e) = &mut amount {
            let bounds = match &self.bounds {
                None => e.bounds.clone(),
                Some(bounds) => common(&e.bounds, bounds).expect("asked before"),
            };
            *e = e.rebucket(&bounds);
            self.bounds = Some(bounds);
        }
        let window = self.windows.entry(end).or_default();
        if weight == 1.0 {
            window.add(&amount);
        } else {
            weight::add(&mut window.weighted, weight, &amount);
        }
    }

    /// All open windows become one.
    pub fn fold(&mut self) {
        let mut folded: Option<Window> = None;
        for (_, window) in std::mem::take(&mut self.windows) {
            match &mut folded {
                None => folded = Some(window),
                Some(f) => f.join(window),
            }
        }
        if let Some(window) = folded {
            self.windows.insert(u64::MAX, window);
        }
    }

    /// The points of a window: what it gained, if it has something to say, and its end. `window_start`: what a
    /// delta covers from. `gap`: how long behind its last value it ends,
    /// if it says so.
    pub fn write(
        &mut self,
        mut window: Window,
        end: u64,
        (stamp, gap): (u64, Option<u64>),
        window_start: u64,
        inputs: &[&Input],
        seed: u64,
    ) -> Vec<Point> {
        let previous = self.last_written.unwrap_or(0).max(self.start);
        let all_ended = window.flagged && !inputs.is_empty() && inputs.iter().all(|i| i.ended);
        if let Some(bounds) = &self.bounds {
            window.reduce_to(bounds);
        }
        if let Some(step) = self.totals.step(&window.weighted) {
            window.add(&step);
        }
        let gains = match self.way {
            Counted::Gauge(_) => !window.lasts.is_empty(),
            Counted::Cumulative | Counted::Delta => window.added.is_some(),
            Counted::Latest => false,
        };
        let data = match self.way {
            Counted::Cumulative => {
                self.count_up(window.added.as_ref(), previous);
                self.total.as_ref().map(Amount::data)
            }
            Counted::Latest => latest(inputs, end, stamp).map(|n| {
                self.double |= n.is_double();
                Data::Number(if self.double { n.widened() } else { n })
            }),
            Counted::Delta => window.added.as_ref().map(Amount::data),
            Counted::Gauge(function) => window.gauge(function, seed).map(Data::Number),
        };
        let (data, flags) = match (all_ended, data) {
            (true, _) if !gains => (Data::Nothing, 1),
            (_, Some(data)) => (data, 0),
            (_, None) => return Vec::new(),
        };
        self.last_written = Some(stamp);
        let start = match self.way {
            Counted::Delta => window_start.min(stamp),
            Counted::Gauge(_) => 0,
            Counted::Cumulative | Counted::Latest => {
                // A late point may be of a time before the start: it is told from just before it.
                self.start = self.start.min(stamp.saturating_sub(1));
                self.start
            }
        };
        let point = Point {
            identity: self.identity.clone(),
            company: Rc::new(self.company.clone()),
            start,
            time: stamp,
            flags,
            data,
            exemplars: window.exemplars,
        };
        let Some(gap) = gap.filter(|_| all_ended && gains) else {
            return vec![point];
        };
        let end = Point {
            start: match self.way {
                Counted::Delta => stamp,
                _ => start,
            },
            time: stamp.saturating_add(gap),
            flags: 1,
            data: Data::Nothing,
            exemplars: Vec::new(),
            ..point.clone()
        };
        vec![point, end]
    }

    /// The total takes a window's increments. An epoch ends where integers overflow and where the
    /// bounds change; the next holds these increments and starts where the last point was written.
    fn count_up(&mut self, added: Option<&Amount>, previous: u64) {
        let Some(added) = added else { return };
        let Some(total) = &self.total else {
            self.total = Some(added.clone());
            return;
        };
        let sum = total.plus(added);
        let closes = match (&sum, total) {
            (Some(Amount::Number(n)), _) => n.overflows(),
            (Some(Amount::Explicit(new)), Amount::Explicit(old)) => new.bounds != old.bounds,
            (None, _) => true,
            _ => false,
        };
        match sum {
            Some(sum) if !closes => self.total = Some(sum),
            Some(Amount::Explicit(new)) => {
                self.start = previous;
                self.total = Some(match added {
                    Amount::Explicit(a) => Amount::Explicit(a.rebucket(&new.bounds)),
                    other => other.clone(),
                });
            }
            _ => {
                self.start = previous;
                self.total = Some(added.clone());
            }
        }
    }
}

/// The sum of the latest values of live inputs of a non-monotonic sum.
fn latest(inputs: &[&Input], end: u64, stamp: u64) -> Option<Num> {
    let mut sum: Option<Total> = None;
    for input in inputs {
        let known = input.history.iter().filter(|s| s.window <= end);
        let Some(last) = known.max_by_key(|s| (s.window, s.time)) else {
            continue;
        };
        let near = |s: &Spoken| s.gap > 0 && stamp.saturating_sub(s.time) <= 2 * s.gap;
        if last.window == end || near(last) {
            sum.get_or_insert_with(Total::default).add(last.value);
        }
    }
    sum.map(|s| s.number())
}

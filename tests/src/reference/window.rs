//! Outputs of an aggregate stage: open windows, totals, and what is written.

use super::aggregate::Input;
use super::document::Function;
use super::identity::Identity;
use super::number::{Num, Total};
use super::point::{Company, Data, Point};
use super::progress::Amount;
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
    pub exemplars: Vec<Exemplar>,
    added: Option<Amount>,
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
}

impl Window {
    pub fn add(&mut self, amount: &Amount) {
        self.added = Some(match &self.added {
            None => amount.clone(),
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

    fn join(&mut self, later: Window) {
        self.absorbed += later.absorbed;
        self.exemplars.extend(later.exemplars);
        if let Some(amount) = &later.added {
            self.add(amount);
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
        }
    }

    /// Another input: the resource's schema stays if all agree.
    pub fn meet(&mut self, company: &Company) {
        if self.company.resource_schema_url != company.resource_schema_url {
            self.company.resource_schema_url = String::new();
        }
    }

    /// Whether bounds have something in common with what is there.
    pub fn can_add(&self, end: u64, amount: &Amount) -> bool {
        let window = self.windows.get(&end).and_then(|w| w.added.as_ref());
        // What this window and the total have in common must stay common with the new amount.
        let mut sum = Some(amount.clone());
        for have in [self.total.as_ref(), window].into_iter().flatten() {
            sum = sum.and_then(|s| s.plus(have));
        }
        sum.is_some()
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

    /// The point of a window, if it has something to say. `earliest`: the window's start and the
    /// stage's creation.
    pub fn write(
        &mut self,
        window: Window,
        end: u64,
        stamp: u64,
        earliest: (u64, u64),
        inputs: &[&Input],
        seed: u64,
    ) -> Option<Point> {
        let previous = self.last_written.unwrap_or(self.start);
        let all_ended =
            !inputs.is_empty() && inputs.iter().all(|i| i.ended.is_some_and(|at| at <= end));
        let mut start = self.start;
        let data = match self.way {
            Counted::Cumulative => {
                self.count_up(window.added.as_ref(), previous);
                start = self.start;
                self.total.as_ref().map(Amount::data)
            }
            Counted::Latest => latest(inputs, end, stamp).map(Data::Number),
            Counted::Delta => {
                start = earliest.0.max(earliest.1);
                window.added.as_ref().map(Amount::data)
            }
            Counted::Gauge(function) => {
                start = 0;
                window.gauge(function, seed).map(Data::Number)
            }
        };
        let (data, flags) = match (all_ended, data) {
            (true, _) => (Data::Nothing, 1),
            (false, Some(data)) => (data, 0),
            (false, None) => return None,
        };
        self.last_written = Some(stamp);
        Some(Point {
            identity: self.identity.clone(),
            company: Rc::new(self.company.clone()),
            start,
            time: stamp,
            flags,
            data,
            exemplars: window.exemplars,
        })
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
        let known: Vec<_> = input.history.iter().filter(|(w, _, _)| *w <= end).collect();
        let Some((window, time, value)) = known.last() else {
            continue;
        };
        let gap = known.len().checked_sub(2).map(|i| time - known[i].1);
        // Folded windows are those that had not ended.
        let spoke = *window == end || end == u64::MAX && *window > stamp;
        let live = spoke || gap.is_some_and(|gap| stamp.saturating_sub(*time) <= 2 * gap);
        if live {
            sum.get_or_insert_with(Total::default).add(*value);
        }
    }
    sum.map(|s| s.number())
}

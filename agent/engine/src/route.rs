//! Routes: what a plan does with a series, decided once, when it first speaks under the plan.
//!
//! A [`Path`] is a way through the stages that many series share: where it begins, where it ends and
//! what is counted on the way. A [`Route`] is one series' path, with its place in the stage where the
//! path ends. Points are counted on the path alone; what every stage saw is summed up when figures
//! are asked for, so that a point costs the same however many stages there are.

use crate::aggregate::Seat;

/// Where a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Written to the output.
    Emit,
    /// Dropped by a rule of a filter.
    Filtered,
    /// Not kept by a sample stage.
    SampledOut,
    /// Held by a `sample every` until its window closes.
    Hold,
    /// Taken into an aggregation.
    Absorb,
    /// At a gate, which decides point by point; what passes goes on by a route that the gate keeps.
    Gate,
    /// Written anew.
    Rewrite,
    /// At a `topk` or `limit`: it stays as it is, or is folded.
    Fold,
    /// Belongs to the other arm of a split.
    Other,
}

/// A rule of a filter: `drop[n]`, `keep` for what no keep rule matches, or `drop_when`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No rule: the path does not end in a filter.
    None,
    /// `drop[n]`
    Drop(u16),
    /// `keep`
    Keep,
    /// `drop_when`
    Entity,
    /// Of a `topk` that filters what does not stay.
    Others,
}

impl Rule {
    /// The name in figures.
    pub fn name(self) -> String {
        match self {
            Rule::None => String::new(),
            Rule::Drop(index) => format!("drop[{index}]"),
            Rule::Keep => "keep".into(),
            Rule::Entity => "drop_when".into(),
            Rule::Others => "others".into(),
        }
    }
}

/// A way through the stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// First stage that sees it: 0 for received points, one more than the stage for its outputs.
    pub entry: u16,
    /// The stage where it ends; the number of stages when it goes through all.
    pub stage: u16,
    /// Where it ends.
    pub end: End,
    /// The rule that ends it.
    pub rule: Rule,
    /// Protected by the arm's own pipeline: beats every stage.
    pub protected: bool,
    /// In the protected set that is measured in both arms.
    pub measured: bool,
    /// Outside the comparison: out of scope or, in a split, without a key of the entity.
    pub unassigned: bool,
    /// Of a stage that rewrites: number of the path of the rewritten points, where no later stage
    /// keeps anything of them.
    pub then: Option<u32>,
    /// Counted for every point: stage and reason.
    pub notes: Vec<(u16, &'static str)>,
}

/// A way and what went over it since the last cut.
#[derive(Debug, Clone)]
pub struct Path {
    /// The way.
    pub way: Way,
    /// Points.
    pub points: u64,
    /// Distinct series.
    pub series: u64,
    /// Their Prometheus samples; counted outside the comparison only.
    pub samples: u64,
}

/// All ways that series of one arm take.
#[derive(Debug, Default)]
pub struct Paths {
    list: Vec<Path>,
}

impl Paths {
    /// The number of a way.
    pub fn number(&mut self, way: Way) -> u32 {
        if let Some(known) = self.list.iter().position(|path| path.way == way) {
            return known as u32;
        }
        self.list.push(Path {
            way,
            points: 0,
            series: 0,
            samples: 0,
        });
        (self.list.len() - 1) as u32
    }

    /// The path with this number.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Path> {
        self.list.get_mut(number as usize)
    }

    /// The path with this number.
    pub fn get(&self, number: u32) -> Option<&Path> {
        self.list.get(number as usize)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.list.iter()
    }

    /// Begins to count anew.
    pub fn reset(&mut self) {
        for path in &mut self.list {
            (path.points, path.series, path.samples) = (0, 0, 0);
        }
    }
}

/// A series' place in the stage where its path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// None needed.
    None,
    /// In a `sample every`.
    Held(crate::stage::every::Ticket),
    /// In an aggregation.
    Seat(Seat),
    /// At a gate: the series' number in the stage's table.
    Slot(u32),
    /// In a stage that rewrites.
    Turned(crate::stage::rewrite::Ticket),
    /// At a `topk` or `limit`.
    Fold(crate::stage::fold::Ticket),
}

/// One series' way through one arm.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Of the plan it was resolved under; 0 for none.
    pub generation: u32,
    /// Number of its path.
    pub path: u32,
    /// Its place where the path ends.
    pub place: Place,
    /// What its points are called where the path ends, in the arm's guises; 0 for what they came as.
    pub guise: u32,
    /// Window in which it last came in.
    pub in_stamp: u32,
    /// Window in which it was last written.
    pub out_stamp: u32,
}

/// One series' ways through both arms. Nearly always there is one arm, so that the candidate's way has
/// its own place in memory.
#[derive(Debug)]
pub struct Routes {
    /// Through the baseline, or the one arm.
    pub baseline: Route,
    candidate: Option<Box<Route>>,
}

impl Routes {
    /// To be resolved.
    pub fn new(baseline: Route) -> Routes {
        Routes {
            baseline,
            candidate: None,
        }
    }

    /// The way through the arm of a side.
    #[inline]
    pub fn of(&self, side: usize) -> &Route {
        match &self.candidate {
            _ if side == 0 => &self.baseline,
            Some(candidate) => candidate,
            None => &Route::VOID,
        }
    }

    /// The way through the arm of a side.
    #[inline]
    pub fn of_mut(&mut self, side: usize) -> &mut Route {
        if side == 0 {
            return &mut self.baseline;
        }
        self.candidate.get_or_insert_with(|| Box::new(Route::VOID))
    }

    /// When the series came in and went out last, by arm.
    pub fn stamps(&self) -> [(u32, u32); 2] {
        [0, 1].map(|side| {
            let route = self.of(side);
            (route.in_stamp, route.out_stamp)
        })
    }

    /// Sets these.
    pub fn set_stamps(&mut self, stamps: [(u32, u32); 2]) {
        for (side, stamps) in stamps.into_iter().enumerate() {
            if self.stamps()[side] != stamps {
                let route = self.of_mut(side);
                (route.in_stamp, route.out_stamp) = stamps;
            }
        }
    }

    /// Both must be resolved; their stamps stay.
    pub fn void(&mut self) {
        self.baseline.generation = 0;
        if let Some(candidate) = &mut self.candidate {
            candidate.generation = 0;
        }
    }

    /// There is no candidate any more.
    pub fn forget_candidate(&mut self) {
        self.candidate = None;
    }
}

impl Route {
    /// A route that must be resolved.
    pub const VOID: Route = Route {
        generation: 0,
        path: 0,
        place: Place::None,
        guise: 0,
        in_stamp: 0,
        out_stamp: 0,
    };
}

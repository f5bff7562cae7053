//! What one point brings into its window: read, checked, not yet added.

use super::explicit::{Explicit, shares_bounds};
use super::exponential::Exponential;
use super::group::Group;
use super::number::{Total, is_finite, is_nan};
use super::read::{read_explicit, read_exponential};
use super::rules::Kind;
use crate::input::{Increment, Observation};
use crate::view::{MetricType, Number, PointView};

/// What a point brings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Intake<'a> {
    /// Nothing: it has no value, or is no newer than what is known.
    Nothing,
    /// To be added.
    Total(Total),
    /// Of a summary: sum and count, to be added.
    Pair(Total, Total),
    /// To be held as the input's latest.
    Value(Number),
    /// To be added.
    Explicit(&'a Explicit),
    /// To be added.
    Exponential(&'a Exponential),
}

impl<'a> Intake<'a> {
    /// What goes to the seat's own output, and what to that of a summary's count.
    pub fn halves(self) -> (Intake<'a>, Intake<'a>) {
        match self {
            Intake::Pair(sum, count) => (Intake::Total(sum), Intake::Total(count)),
            whole => (whole, Intake::Nothing),
        }
    }
}

/// Why a point brings nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// NaN, or infinite where values are added.
    NotANumber,
    /// It cannot be added to this output: it goes on as it is.
    Passes,
}

/// Reused buffers of points that no input has read.
#[derive(Debug, Default)]
pub struct Scratch {
    explicit: Explicit,
    exponential: Exponential,
}

impl Scratch {
    /// What a point with a value brings to its group.
    pub fn intake<'a>(
        &'a mut self,
        group: &Group,
        point: &PointView<'_>,
        observation: Option<&Observation<'a>>,
    ) -> Result<Intake<'a>, Fault> {
        match observation.map(|o| (o.increment, o.advanced)) {
            Some((Increment::NotANumber, _)) => Err(Fault::NotANumber),
            Some((Increment::Unfit, _)) => Err(Fault::Passes),
            Some((Increment::Number(total), _)) => Ok(Intake::Total(total)),
            Some((Increment::Summary(sum, count), _)) => Ok(Intake::Pair(sum, count)),
            Some((Increment::Explicit(h), _)) => explicit(group, h),
            Some((Increment::Exponential(h), _)) => Ok(Intake::Exponential(h)),
            Some((Increment::None, advanced)) => self.nothing_added(group, point, advanced),
            None => self.whole(group, point),
        }
    }

    /// A cumulative point that adds 0 still has a shape: its bounds or scale are the output's too.
    fn nothing_added<'a>(
        &'a mut self,
        group: &Group,
        point: &PointView<'_>,
        advanced: bool,
    ) -> Result<Intake<'a>, Fault> {
        if !advanced {
            return Ok(Intake::Nothing);
        }
        match group.kind {
            // Also a baseline tells whether its series counts in ints or doubles.
            Kind::Monotonic if point.kind == MetricType::Summary => {
                Ok(Intake::Pair(Total::Double(0.0), Total::default()))
            }
            Kind::Monotonic => match point.number {
                Some(Number::Double(_)) => Ok(Intake::Total(Total::Double(0.0))),
                _ => Ok(Intake::Total(Total::default())),
            },
            Kind::Level => point.number.map(Intake::Value).ok_or(Fault::Passes),
            Kind::Explicit { .. } => {
                read_explicit(point.body, &mut self.explicit);
                self.explicit.zero();
                explicit(group, &self.explicit)
            }
            Kind::Exponential { .. } => {
                read_exponential(point.body, &mut self.exponential);
                self.exponential.zero();
                Ok(Intake::Exponential(&self.exponential))
            }
            _ => Ok(Intake::Nothing),
        }
    }

    /// A gauge or delta point: it stands for itself.
    fn whole<'a>(&'a mut self, group: &Group, point: &PointView<'_>) -> Result<Intake<'a>, Fault> {
        let finite = |sum: Option<f64>| sum.is_none_or(f64::is_finite);
        match (group.kind, point.number) {
            (Kind::Explicit { .. }, _) => {
                read_explicit(point.body, &mut self.explicit);
                if !finite(self.explicit.sum) {
                    return Err(Fault::NotANumber);
                }
                explicit(group, &self.explicit)
            }
            (Kind::Exponential { .. }, _) => {
                read_exponential(point.body, &mut self.exponential);
                if !finite(self.exponential.sum) {
                    return Err(Fault::NotANumber);
                }
                Ok(Intake::Exponential(&self.exponential))
            }
            (_, None) => Err(Fault::Passes),
            (_, Some(n)) if is_nan(n) => Err(Fault::NotANumber),
            (kind, Some(n)) if kind.adds_values() && !is_finite(n) => Err(Fault::NotANumber),
            (Kind::Gauge(_) | Kind::Level, Some(n)) => Ok(Intake::Value(n)),
            (_, Some(n)) => Ok(Intake::Total(n.into())),
        }
    }
}

/// A histogram, if it can be added to what the group has.
fn explicit<'a>(group: &Group, h: &'a Explicit) -> Result<Intake<'a>, Fault> {
    let shares = |bounds: &Vec<f64>| shares_bounds(bounds, &h.bounds);
    if h.is_well_formed() && group.bounds.as_ref().is_none_or(shares) {
        Ok(Intake::Explicit(h))
    } else {
        Err(Fault::Passes)
    }
}

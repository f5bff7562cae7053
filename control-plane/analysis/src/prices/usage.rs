//! What is used in a month, extrapolated from what was seen.

use super::MONTH_HOURS;
use crate::criteria::Mode;
use crate::verdict::{Saving, Savings, Verdict};

/// One figure of ours in a month: without and with what is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Without it: the fleet on the baseline.
    pub before: f64,
    /// With it.
    pub after: f64,
    /// With it, if the saving is as large as it may be; `None`: not known.
    pub least: Option<f64>,
    /// With it, if the saving is as small as it may be; `None`: not known.
    pub most: Option<f64>,
}

/// Figures of a month; `None`: not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Distinct series, the mean of the windows that were seen.
    pub series: Option<Use>,
    /// Prometheus samples.
    pub samples: Option<Use>,
    /// OTLP data points.
    pub points: Option<Use>,
    /// Uncompressed OTLP bytes.
    pub bytes: Option<Use>,
    /// Hours that were seen.
    pub hours: f64,
}

impl Use {
    /// What was counted, exactly, both times.
    pub fn counted(before: f64, after: f64) -> Use {
        Use {
            before,
            after,
            least: Some(after),
            most: Some(after),
        }
    }

    /// The same, so many times.
    pub fn times(self, factor: f64) -> Use {
        let scale = |n: Option<f64>| n.map(|n| n * factor);
        Use {
            before: self.before * factor,
            after: self.after * factor,
            least: scale(self.least),
            most: scale(self.most),
        }
    }
}

impl Usage {
    /// Of one stretch of time, counted exactly: what came in, and what went out.
    /// Distinct series are those of the stretch.
    pub fn counted(
        hours: f64,
        series: Option<(u64, u64)>,
        samples: Option<(u64, u64)>,
        points: (u64, u64),
        bytes: (u64, u64),
    ) -> Usage {
        let counted = |(before, after): (u64, u64)| Use::counted(before as f64, after as f64);
        let month = |volume: Use| (hours > 0.0).then(|| volume.times(MONTH_HOURS / hours));
        Usage {
            series: series.map(counted),
            samples: samples.and_then(|s| month(counted(s))),
            points: month(counted(points)),
            bytes: month(counted(bytes)),
            hours,
        }
    }

    /// Of the windows that a verdict stands on.
    pub fn of(verdict: &Verdict) -> Usage {
        let asked = &verdict.asked;
        Usage::over(
            &verdict.savings,
            (verdict.windows.used, asked.window_ms),
            asked.mode,
        )
    }

    /// Of so many windows of a length in milliseconds.
    pub fn over(savings: &Savings, (windows, length): (u64, u64), mode: Mode) -> Usage {
        let windows = windows as f64;
        let hours = windows * length as f64 / 3_600_000.0;
        if windows <= 0.0 || hours <= 0.0 {
            return Usage::default();
        }
        let month = |saving: &Saving| volume(saving, mode).map(|u| u.times(MONTH_HOURS / hours));
        Usage {
            series: volume(&savings.series, mode).map(|u| u.times(1.0 / windows)),
            samples: month(&savings.samples),
            points: month(&savings.points),
            bytes: month(&savings.bytes),
            hours,
        }
    }
}

/// The fleet's volume on the baseline, and on the candidate. Where each arm had its own part of what
/// came in, the baseline's is taken for all of it.
fn volume(saving: &Saving, mode: Mode) -> Option<Use> {
    let baseline = saving.baseline? as f64;
    let before = match mode {
        Mode::Shadow => baseline,
        Mode::Split | Mode::Nodes => {
            let own = saving.baseline_in? as f64;
            let all = own + saving.candidate_in? as f64;
            if own <= 0.0 {
                return None;
            }
            baseline * all / own
        }
    };
    let rest = |share: Option<f64>| share.map(|share| before * (1.0 - share));
    Some(Use {
        before,
        after: rest(saving.saving)?,
        least: rest(saving.upper),
        most: rest(saving.lower),
    })
}

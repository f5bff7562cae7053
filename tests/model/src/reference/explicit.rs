//! Explicit histograms: common bounds, increments, sums.

/// Buckets with explicit bounds. `counts` has one more entry than `bounds`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explicit {
    pub bounds: Vec<f64>,
    pub counts: Vec<u64>,
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// Bounds that both have; nothing when they have none in common (and are not the same).
pub fn common(a: &[f64], b: &[f64]) -> Option<Vec<f64>> {
    if a == b {
        return Some(a.to_vec());
    }
    let both: Vec<f64> = a.iter().copied().filter(|x| b.contains(x)).collect();
    (!both.is_empty()).then_some(both)
}

/// What does not fit is the most that fits.
pub fn total(a: u64, b: &u64) -> u64 {
    a.saturating_add(*b)
}

impl Explicit {
    /// The same observations in fewer buckets; `to` is a subset of the bounds.
    pub fn rebucket(&self, to: &[f64]) -> Explicit {
        let mut counts = vec![0; to.len() + 1];
        for (i, n) in self.counts.iter().enumerate() {
            // A bucket goes where its upper bound goes; the last one is unbounded.
            let upper = self.bounds.get(i).copied().unwrap_or(f64::INFINITY);
            let at = to.iter().position(|b| upper <= *b).unwrap_or(to.len());
            counts[at] = total(counts[at], n);
        }
        Explicit {
            bounds: to.to_vec(),
            counts,
            ..self.clone()
        }
    }

    /// No observations, in these buckets.
    pub fn emptied(&self) -> Explicit {
        Explicit {
            counts: vec![0; self.counts.len()],
            count: 0,
            sum: self.sum.map(|_| 0.0),
            min: None,
            max: None,
            ..self.clone()
        }
    }

    /// Whether counts have fallen since `earlier`.
    pub fn fell_since(&self, earlier: &Explicit) -> bool {
        if self.count < earlier.count {
            return true;
        }
        let Some(bounds) = common(&self.bounds, &earlier.bounds) else {
            return false;
        };
        let (now, before) = (self.rebucket(&bounds), earlier.rebucket(&bounds));
        now.counts.iter().zip(&before.counts).any(|(n, b)| n < b)
    }

    /// What was observed since `earlier`, on the common bounds. Nothing when there are none.
    pub fn since(&self, earlier: &Explicit) -> Option<Explicit> {
        let bounds = common(&self.bounds, &earlier.bounds)?;
        let (now, before) = (self.rebucket(&bounds), earlier.rebucket(&bounds));
        let counts = now.counts.iter().zip(&before.counts).map(|(n, b)| n - b);
        Some(Explicit {
            counts: counts.collect(),
            bounds,
            count: self.count - earlier.count,
            sum: self.sum.zip(earlier.sum).map(|(n, b)| n - b),
            min: None,
            max: None,
        })
    }

    /// Both together on the common bounds. Nothing when there are none.
    pub fn plus(&self, other: &Explicit) -> Option<Explicit> {
        let bounds = common(&self.bounds, &other.bounds)?;
        let (a, b) = (self.rebucket(&bounds), other.rebucket(&bounds));
        let counts = a.counts.iter().zip(&b.counts);
        Some(Explicit {
            counts: counts.map(|(x, y)| total(*x, y)).collect(),
            bounds,
            count: total(self.count, &other.count),
            sum: self.sum.zip(other.sum).map(|(x, y)| x + y),
            min: self.min.zip(other.min).map(|(x, y)| x.min(y)),
            max: self.max.zip(other.max).map(|(x, y)| x.max(y)),
        })
    }
}

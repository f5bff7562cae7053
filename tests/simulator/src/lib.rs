//! Seeded fleets and workloads with known truth.

//! Statistics and the judge: windows and criteria in, a verdict with reasons out. Pure.

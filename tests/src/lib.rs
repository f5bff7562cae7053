//! Harness for scenarios that run the real binaries.

//! Protobuf on the wire: a bounds-checked cursor, OTLP field numbers, attribute views, writing.
//!
//! How to use it:
//! - a request (or any message body) is read with [`cursor::Cursor`]: `next()` gives one field at a
//!   time, as `Result<Option<Field>, WireError>`. Nothing is copied;
//! - once a body was validated (everything that reaches a stage was), [`cursor::fields`] walks it
//!   without errors, and [`attributes::attributes`] gives `(key, value)` pairs of the repeated
//!   `KeyValue` field with the given number;
//! - messages are written with [`write`]: `put_*` appends one field, `begin`/`end` wrap a nested
//!   message whose length is not known yet.
//!
//! Field numbers are the constants of [`otlp`].

pub mod attributes;
pub mod check;
pub mod cursor;
pub mod index;
pub mod normalise;
pub mod otlp;
pub mod walk;
pub mod write;

pub use attributes::{AnyValue, attributes};
pub use cursor::{Cursor, Field, Value, WireError, fields};

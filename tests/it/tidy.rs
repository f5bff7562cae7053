//! Rules of the house that a compiler does not check.

mod dependencies;
mod files;
mod generated;

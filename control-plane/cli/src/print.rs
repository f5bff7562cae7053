//! `println!` and its kin for every command: a reader that goes away (`phoenix ... | head`) ends the
//! command without a word, where those of the standard library panic.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// What shells show of a command that a closed pipe ended: 128 + SIGPIPE.
const CLOSED_PIPE: u8 = 141;

/// Nobody reads what is printed. Unwinds, so that what was started (the demo's processes) is ended.
struct Closed;

macro_rules! println {
    () => { $crate::print::to(std::io::stdout().lock(), format_args!("\n")) };
    ($($part:tt)*) => {
        $crate::print::to(std::io::stdout().lock(), format_args!("{}\n", format_args!($($part)*)))
    };
}
macro_rules! print {
    ($($part:tt)*) => { $crate::print::to(std::io::stdout().lock(), format_args!($($part)*)) };
}
macro_rules! eprintln {
    () => { $crate::print::to(std::io::stderr().lock(), format_args!("\n")) };
    ($($part:tt)*) => {
        $crate::print::to(std::io::stderr().lock(), format_args!("{}\n", format_args!($($part)*)))
    };
}

/// Prints. A closed pipe ends the command; another failure (a full disk) has nobody to be told to.
pub fn to(mut out: impl Write, text: Arguments<'_>) {
    let printed = out.write_fmt(text).and_then(|()| out.flush());
    if printed.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        std::panic::resume_unwind(Box::new(Closed));
    }
}

/// Runs a command until it ends, or until nobody reads what it prints.
pub fn until_closed(command: impl FnOnce() -> ExitCode) -> ExitCode {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(command)) {
        Ok(code) => code,
        Err(payload) if payload.is::<Closed>() => ExitCode::from(CLOSED_PIPE),
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

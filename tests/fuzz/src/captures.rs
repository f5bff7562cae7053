//! Any bytes as a capture: messages or an error with its offset, never a panic; it ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phoenix_agent::capture::Reader;
use std::io::Cursor;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let source = Cursor::new(data.to_vec());
    let Ok(reader) = Reader::new(Path::new("fuzz"), source) else {
        return;
    };
    let mut failed = false;
    for message in reader {
        assert!(!failed, "a message behind an error");
        match message {
            Ok(_) => {}
            Err(error) => {
                assert!(!error.to_string().is_empty());
                failed = true;
            }
        }
    }
});

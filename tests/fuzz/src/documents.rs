//! Any text as a pipeline document: problems or a pipeline, never a panic; what compiles has one
//! canonical form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phoenix_engine::compile::compile;

fuzz_target!(|text: &str| {
    match compile(text) {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            for problem in problems {
                assert!(!problem.message.is_empty(), "a problem without words");
            }
        }
        Ok(pipeline) => {
            let again =
                compile(&pipeline.document.canonical()).expect("the canonical form compiles");
            assert_eq!(
                again.hash, pipeline.hash,
                "the canonical form is another pipeline"
            );
        }
    }
});

//! Generated files are checked in; they must be what the generator makes of their source.

use phoenix_tests::harness::project;

#[test]
fn protobuf_code_is_what_the_proto_files_say() {
    let out = tempfile::tempdir().expect("folder");
    let descriptors = protox::compile(
        ["phoenix/control/v1/control.proto"],
        [project("proto/proto")],
    )
    .expect("proto compiles");
    tonic_prost_build::configure()
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("code is made");
    let name = "phoenix.control.v1.rs";
    let made = std::fs::read_to_string(out.path().join(name)).expect("made");
    let kept = project("proto/src/gen").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&kept, &made).expect("written");
    }
    let same = std::fs::read_to_string(&kept).expect("kept") == made;
    assert!(
        same,
        "{} has drifted from proto/: run `make generate`",
        kept.display()
    );
}

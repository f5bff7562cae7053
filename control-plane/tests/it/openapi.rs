//! The OpenAPI document that is checked in is the one that the code makes.
//! To write it anew: `UPDATE=1 cargo test -p phoenix-control-plane --test it openapi`.

use crate::support::Plane;
use std::path::Path;

#[test]
fn the_checked_in_document_has_not_drifted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let made = phoenix_control_plane::api::openapi();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "openapi.json is out of date: run this test with UPDATE=1"
    );
}

#[tokio::test]
async fn the_server_serves_the_document() {
    let plane = Plane::start().await;
    let served = plane.rest.get("/openapi.json").await;
    assert_eq!(served.text("/openapi"), "3.1.0");
    assert!(
        served
            .at("/paths/~1api~1v1~1assignments~1{name}~1rollback/post")
            .is_object()
    );
}

//! Which attributes an output keeps, where, and what goes along.

use super::super::*;
use super::bench::*;
use opentelemetry_proto::tonic::common::v1::{EntityRef, InstrumentationScope};
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;

fn one(aggregate: &str, inputs: &[Series]) -> ResourceMetrics {
    let mut b = Bench::new(aggregate);
    for s in inputs {
        b.number(s, (1, 10), 5, 10);
    }
    let mut written = Written::default();
    b.stage.close(65 * S, &mut written);
    let mut request = request(&written);
    assert_eq!(request.resource_metrics.len(), 1);
    request.resource_metrics.remove(0)
}

fn rich(pod: &str) -> Series {
    let mut s = counter("z=1,route=/a");
    s.resource.attributes = attributes(&format!("service.name=web,k8s.pod.name={pod},host.name=h"));
    s.scope = InstrumentationScope {
        name: "lib".into(),
        version: "1.2".into(),
        attributes: attributes("lib.mode=x,lib.pod=1"),
        dropped_attributes_count: 7,
    };
    s
}

#[test]
fn attributes_are_removed_wherever_they_are_and_the_rest_stays_at_its_level_in_order() {
    let r = one(
        "{ match: { metric: m }, without: [k8s.pod.name, lib.pod, z] }",
        &[rich("a"), rich("b")],
    );
    let resource = r.resource.unwrap();
    assert_eq!(text(&resource.attributes), "host.name=h,service.name=web");
    let scope = r.scope_metrics[0].scope.clone().unwrap();
    assert_eq!(
        (scope.name.as_str(), scope.version.as_str()),
        ("lib", "1.2")
    );
    assert_eq!(text(&scope.attributes), "lib.mode=x");
    assert_eq!(scope.dropped_attributes_count, 0);
    assert_eq!(r.scope_metrics[0].metrics.len(), 1);
    assert_eq!(r.scope_metrics[0].metrics[0].unit, "By");
}

#[test]
fn by_keeps_only_what_it_names_and_an_output_without_a_node_key_gets_the_nodes_name() {
    let r = one(
        "{ match: { metric: m }, by: [service.name, route] }",
        &[rich("a"), rich("b")],
    );
    let resource = r.resource.unwrap();
    assert_eq!(
        text(&resource.attributes),
        "phoenix.node=replay,service.name=web"
    );
    assert!(
        r.scope_metrics[0]
            .scope
            .clone()
            .unwrap()
            .attributes
            .is_empty()
    );
}

#[test]
fn what_a_later_tier_merges_gets_no_name_of_the_node() {
    let r = one(
        "{ match: { metric: m }, by: [route], merged_later: true }",
        &[rich("a")],
    );
    assert_eq!(text(&r.resource.unwrap().attributes), "");
}

#[test]
fn a_name_of_the_node_that_is_there_already_stays() {
    let mut s = counter("pod=1");
    s.resource.attributes = attributes("phoenix.node=tier1");
    let r = one("{ match: { metric: m }, without: [pod] }", &[s]);
    assert_eq!(text(&r.resource.unwrap().attributes), "phoenix.node=tier1");
}

#[test]
fn references_to_removed_keys_go_and_the_schema_stays_if_all_agree() {
    let with = |url, pod: &str| {
        let mut s = rich(pod);
        s.resource_url = url;
        let reference = |kind: &str, key: &str| EntityRef {
            r#type: kind.into(),
            id_keys: vec![key.into()],
            ..Default::default()
        };
        s.resource.entity_refs = vec![
            reference("pod", "k8s.pod.name"),
            reference("host", "host.name"),
        ];
        s
    };
    let stage = "{ match: { metric: m }, without: [k8s.pod.name] }";
    let r = one(stage, &[with("u/1", "a"), with("u/1", "b")]);
    assert_eq!(r.schema_url, "u/1");
    let refs = r.resource.unwrap().entity_refs;
    assert_eq!(
        refs.iter().map(|e| e.r#type.as_str()).collect::<Vec<_>>(),
        ["host"]
    );
    assert_eq!(
        one(stage, &[with("u/1", "a"), with("u/2", "b")]).schema_url,
        ""
    );
}

#[test]
fn a_rename_gives_the_output_its_name() {
    let name = |rename: &str| {
        let stage = format!("{{ match: {{ metric: m }}, without: [pod], rename: \"{rename}\" }}");
        one(&stage, &[counter("pod=1")]).scope_metrics[0].metrics[0]
            .name
            .clone()
    };
    assert_eq!(name("n"), "n");
    assert_eq!(name("x.{name}.y"), "x.m.y");
}

#[test]
fn outputs_lie_grouped_by_resource_and_metric() {
    let mut b = Bench::new("{ match: { metric: [m, n] }, without: [pod] }");
    let hosts = ["host.name=1", "host.name=2", "host.name=1", "host.name=2"];
    for (i, host) in hosts.iter().enumerate() {
        for name in ["m", "n"] {
            let mut s = counter(&format!("route={i},pod=1"));
            s.resource.attributes = attributes(host);
            s.name = name;
            b.number(&s, (1, 10), 5, 10);
        }
    }
    let mut written = Written::default();
    b.stage.close(65 * S, &mut written);
    let request = request(&written);
    assert_eq!(request.resource_metrics.len(), 2);
    for r in &request.resource_metrics {
        assert_eq!(r.scope_metrics.len(), 1);
        assert_eq!(r.scope_metrics[0].metrics.len(), 2);
    }
    assert_eq!(written.points, 8);
}

#[test]
fn an_output_is_identified_as_any_other_series_of_its_content() {
    use crate::identity::Canonical;
    use crate::view::{MetricView, SeriesView};
    use prost::Message;
    let mut b = Bench::new("{ match: { metric: m }, without: [pod] }");
    let s = counter("route=/a,pod=1");
    b.number(&s, (1, 10), 5, 10);
    let mut written = Written::default();
    b.stage.close(65 * S, &mut written);
    let out = counter("route=/a");
    let resource = out.resource.encode_to_vec();
    let view = SeriesView {
        resource: &resource,
        resource_schema_url: "",
        scope: &[],
        scope_schema_url: "",
        metric: MetricView {
            name: "m",
            description: "",
            unit: "By",
            kind: out.kind,
            temporality: out.temporality,
            monotonic: true,
            head: &[],
            tail: &[],
        },
        point: &number(&out, 0, 60, 5),
    };
    assert_eq!(
        written.identities,
        [Canonical::default().identity(&view, 0)]
    );
}

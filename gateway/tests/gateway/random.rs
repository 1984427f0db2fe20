//! Whatever is sent, the gateway answers, and never with a fault of its own.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fakes::{IMAGE, OPERATION, VM};
use crate::fixture::Fixture;

/// Paths that are nearly right, and some that are not at all.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec!["v1", "vms", "images", "operations", "sessions", "members", VM, OPERATION, IMAGE, "%", "%2F", "..", ""]),
        1 => Just("gyre.vm.v1.VmService"),
    ];
    let word = "[a-zA-Z0-9._~!$&'()*+,;=:@%-]{0,12}";
    let verb = prop::sample::select(vec!["", ":start", ":stop", ":console", ":upload", ":watch", ":x", ":"]);
    prop_oneof![
        6 => (prop::sample::select(vec!["vms", "images", "operations"]), prop::sample::select(vec![VM, OPERATION, IMAGE, "x"]), verb.clone())
            .prop_map(|(plural, uuid, verb)| format!("/v1/{plural}/{uuid}{verb}")),
        2 => prop::sample::select(vec!["/v1/vms", "/v1/sessions", "/v1/images", "/v1/operations"]).prop_map(str::to_owned),
        2 => (prop::collection::vec(part, 0..5), verb).prop_map(|(parts, verb)| format!("/{}{verb}", parts.join("/"))),
        1 => prop::collection::vec(word, 0..14).prop_map(|words| format!("/{}", words.join("/"))),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "filter",
        "pageSize",
        "page_token",
        "orderBy",
        "updateMask",
        "requestId",
        "follow",
        "tailBytes",
        "vm.name",
        "x",
        "",
    ]);
    let value = "[a-zA-Z0-9._%+=-]{0,8}";
    let pairs = prop::collection::vec((name, value), 0..4)
        .prop_map(|pairs| pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"));
    prop_oneof![1 => Just(String::new()), 2 => pairs.prop_map(|pairs| format!("?{pairs}"))]
}

/// JSON that is nearly the right one, cut, nested or wrong.
fn body() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "name",
        "uuid",
        "cpuCount",
        "memoryBytes",
        "memory_bytes",
        "state",
        "nics",
        "createTime",
        "l3NetworkUuids",
        "account",
        "password",
        "force",
        "graceSeconds",
        "timeout",
        "data",
        "x",
        "é",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,20}(\\.[0-9]{1,3})?(e[0-9]{1,3})?",
        "[a-zA-Z0-9é:.-]{0,12}".prop_map(|text| format!("\"{text}\"")),
        Just(format!("\"{VM}\"")),
        Just("\"2026-01-01T00:00:00Z\"".to_owned()),
        Just("\"30s\"".to_owned()),
        Just("\"\\ud800\"".to_owned()),
    ];
    let value = leaf.prop_recursive(6, 40, 5, move |inner| {
        let members = prop::collection::vec((name.clone(), inner.clone()), 0..5).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", members.join(", "))
        });
        let elements = prop::collection::vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(", ")));
        prop_oneof![3 => members, 1 => elements]
    });
    prop_oneof![
        6 => value.clone(),
        2 => (value, any::<prop::sample::Index>()).prop_map(|(text, at)| {
            let end = (0..=at.index(text.len() + 1)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text[..end].to_owned()
        }),
        1 => "[\\[\\]{}\",:a0 ]{0,80}",
        1 => Just(String::new()),
    ]
}

#[test]
fn nothing_that_is_sent_is_a_fault_of_the_gateway() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gateway = runtime.block_on(Fixture::new());
    let method = prop::sample::select(vec!["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "BREW"]);
    let media = prop::sample::select(vec!["application/json", "application/merge-patch+json", "text/plain"]);
    let headers = prop::collection::vec(
        (
            prop::sample::select(vec!["prefer", "x-request-timeout", "traceparent", "x-request-id", "range"]),
            "[ -~]{0,20}",
        ),
        0..3,
    );
    let all = (method, path(), query(), body(), media, headers);
    let mut runner = TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
    runner
        .run(&all, |(method, path, query, body, media, headers)| {
            let target = format!("{path}{query}");
            if target.parse::<http::Uri>().is_err() || body.is_empty() && method == "BREW" {
                return Ok(());
            }
            // A stream that is followed never ends; a service that is not there is no fault of the gateway.
            if target.contains("follow=true") {
                return Ok(());
            }
            let mut all = vec![("content-type", media)];
            all.extend(headers.iter().map(|(name, value)| (*name, value.trim())));
            let said = runtime.block_on(gateway.send(method, &target, &all, &body));
            let status = said.status.as_u16();
            prop_assert!(status < 500 || matches!(status, 501 | 503 | 504), "{method} {target} {body}: {said:?}");
            if status >= 400 && method != "HEAD" {
                prop_assert_eq!(said.header("content-type"), "application/problem+json");
                prop_assert!(!said.reason().is_empty());
            }
            Ok(())
        })
        .unwrap();
    let lives = runtime.block_on(gateway.get(&format!("/v1/vms/{VM}")));
    assert_eq!(lives.status, 200);
}

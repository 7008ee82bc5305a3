//! Inputs for the property tests of this floor.

use proptest::prelude::*;
use serde_json::{Map, Value};

/// Any JSON value, its members often with the names that the protocol reserves.
pub(super) fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            object_of(inner).prop_map(Value::Object),
        ]
    })
}

fn object_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((name(), value), 0..5).prop_map(Map::from_iter)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "sid", "channel", "uid", "event", "data", "trigger", "", "a"
        ])
        .prop_map(String::from),
        any::<String>(),
    ]
}

/// Any object as text, with white space in places.
pub(super) fn object_text() -> impl Strategy<Value = String> {
    (object_of(json_value()), space()).prop_map(|(map, space)| render(&Value::Object(map), &space))
}

/// Any document as text, with white space in places.
pub(super) fn json_text() -> impl Strategy<Value = String> {
    (json_value(), space()).prop_map(|(value, space)| render(&value, &space))
}

/// A document with a few characters put in, taken out or exchanged; by chance
/// it may still be one.
pub(super) fn broken_json_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        prop::sample::select(r#"{}[]:,"\u0019.eE+-tfn 	/a"#.chars().collect::<Vec<_>>()),
        any::<char>(),
    ];
    let change = (any::<prop::sample::Index>(), 0..3, character);
    (json_text(), prop::collection::vec(change, 1..4)).prop_map(|(text, changes)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, how, character) in changes {
            let at = at.index(chars.len() + 1);
            match how {
                0 => chars.insert(at, character),
                1 if at < chars.len() => drop(chars.remove(at)),
                2 if at < chars.len() => chars[at] = character,
                _ => {}
            }
        }
        chars.into_iter().collect()
    })
}

fn space() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", " ", "\n", "\r\n\t "]).prop_map(String::from)
}

/// The text of a value with `space` wherever white space may stand.
fn render(value: &Value, space: &str) -> String {
    let body = match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| render(item, space)).collect();
            format!(
                "[{}]",
                if items.is_empty() {
                    space.into()
                } else {
                    items.join(",")
                }
            )
        }
        Value::Object(map) => {
            let members: Vec<_> = map
                .iter()
                .map(|(name, value)| {
                    let name = Value::String(name.clone());
                    format!("{}:{}", render(&name, space), render(value, space))
                })
                .collect();
            format!(
                "{{{}}}",
                if members.is_empty() {
                    space.into()
                } else {
                    members.join(",")
                }
            )
        }
        scalar => scalar.to_string(),
    };
    format!("{space}{body}{space}")
}

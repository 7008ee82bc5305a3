use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Tree};

use super::*;
use crate::limits::JSON_DEPTH_MAX;
use crate::wire::arbitrary;

fn is_json(text: &str) -> bool {
    let mut scan = Scan::new(text);
    scan.skip_space();
    scan.value(0).is_some() && scan.end().is_some()
}

fn members(text: &str) -> Members<'_> {
    parse_members(text).unwrap_or_else(|| panic!("no object: {text}"))
}

fn tree(members: &str) -> Map<String, Tree> {
    serde_json::from_str(&format!("{{{members}}}"))
        .unwrap_or_else(|error| panic!("{error}: {members}"))
}

#[test]
fn accepts_what_rfc_8259_allows() {
    for good in [
        "{}",
        " { } ",
        "[]",
        "[1,2]",
        "null",
        "true",
        "false",
        r#""""#,
        "0",
        "-0",
        "10",
        "1.5e+3",
        "1E-2",
        "-0.0e0",
        r#""\"\\\/\b\f\n\r\t\u00e9""#,
        r#""\ud800""#,
        "\"\u{7f}ä\u{2028}\"",
        r#"{"a":[{"b":[]},{}],"a":1}"#,
        "\t\n\r {\"a\" :\n1 , \"b\": [ 1 , 2 ] }\r\n",
    ] {
        assert!(is_json(good), "{good}");
        assert!(serde_json::from_str::<IgnoredAny>(good).is_ok(), "{good}");
    }
}

#[test]
fn refuses_what_rfc_8259_forbids() {
    for bad in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1 "b":2}"#,
        "{a:1}",
        "{1:1}",
        "'a'",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "--1",
        "0x1",
        "NaN",
        "tru",
        "truee",
        "nul",
        "True",
        "\"",
        "\"a",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u123"#,
        "\"\n\"",
        "\"\0\"",
        "\"\t\"",
        "{} {}",
        "{}x",
        "// a\n1",
        "\u{feff}1",
        "\u{a0}1",
        "\u{b}1",
        "[[[]]",
        r#"{"a":[}"#,
        r#""\"#,
    ] {
        assert!(!is_json(bad), "{bad:?}");
        assert!(serde_json::from_str::<IgnoredAny>(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn nesting_at_the_bound_and_past_it_er_14() {
    let nested = |depth: usize, open: &str, end: &str| {
        format!(
            "{{\"a\":{}{}}}",
            open.repeat(depth - 1),
            end.repeat(depth - 1)
        )
    };
    assert!(is_json(&nested(JSON_DEPTH_MAX, "[", "]")));
    assert!(!is_json(&nested(JSON_DEPTH_MAX + 1, "[", "]")));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(is_json(&objects(JSON_DEPTH_MAX)));
    assert!(!is_json(&objects(JSON_DEPTH_MAX + 1)));
    assert!(!is_json(&"[".repeat(1_000_000)));
    // Depth is of what is open, not of what has been.
    assert!(is_json(&format!("[{}1]", "[[]],".repeat(JSON_DEPTH_MAX))));
}

#[test]
fn members_are_what_stands_between_the_braces() {
    assert_eq!(members("{}"), Members::EMPTY);
    assert_eq!(members(" {\n } "), Members::EMPTY);
    assert_eq!(members("{ \"a\" : 1.0 }").as_str(), "\"a\" : 1.0");
    assert_eq!(parse_members("[]"), None);
    assert_eq!(parse_members("{} "), Some(Members::EMPTY));
    assert_eq!(parse_members("\"{}\""), None);
    assert_eq!(Members::trusted(" \"a\":1 ").as_str(), "\"a\":1");
    let pairs: Vec<_> = members(r#"{"a":1 , "b" : [2, 3] }"#)
        .iter()
        .map(|(name, value)| (name.raw(), value))
        .collect();
    assert_eq!(pairs, [("\"a\"", "1"), ("\"b\"", "[2, 3]")]);
}

#[test]
fn without_sees_through_escapes_and_copies_only_if_it_must() {
    let data = members(r#"{"a":{"sid":1}, "\u0073id":2,"b" : 3,"sid":4}"#);
    assert_eq!(data.without(&["sid"]), r#""a":{"sid":1},"b":3"#);
    assert!(matches!(data.without(&["uid", "si"]), Cow::Borrowed(_)));
    assert_eq!(members(r#"{"sid":1}"#).without(&["sid"]), "");
}

/// Whatever a name's length and first byte, it is found again, alone and behind others.
#[test]
fn without_misses_no_name() {
    let firsts = (b' '..0x7f).filter(|byte| !matches!(byte, b'"' | b'\\'));
    for first in firsts.map(char::from).chain(['é', '😀']) {
        for length in 0..70 {
            let name = format!("{first}{}", "n".repeat(length));
            let text = format!(r#"{{"other":{{"inner":[1]}},"{name}":[{{"x":2}}],"":3}}"#);
            let kept = members(&text).without(&["absent", &name]).into_owned();
            assert_eq!(kept, r#""other":{"inner":[1]},"":3"#, "{name}");
            assert_eq!(members(&text).without(&[""]).len(), text.len() - 7);
            let trusted = Members::trusted(&text[1..text.len() - 1]);
            assert_eq!(trusted.without(&[&name]), kept);
        }
    }
}

/// Names that are not the object's own are none of them.
#[test]
fn without_does_not_look_inside() {
    for text in [
        r#"{"a":{"sid":1,"s\u0069d":2},"b":[{"sid":3}]}"#,
        r#"{"a":"\"sid\":1"}"#,
        // Their bits are those of `sid`.
        r#"{"sad":1,"two":{"sid":1}}"#,
    ] {
        assert!(
            matches!(members(text).without(&["sid"]), Cow::Borrowed(_)),
            "{text}"
        );
    }
}

#[test]
fn merge_replaces_names_and_keeps_the_rest() {
    let merged = |base: &str, over: &str| merge(members(base), members(over));
    assert_eq!(merged("{}", "{}"), "");
    assert_eq!(merged(r#"{"a":1}"#, "{}"), r#""a":1"#);
    assert_eq!(merged("{}", r#"{"a":1}"#), r#""a":1"#);
    assert_eq!(
        merged(r#"{"a":1,"b":2}"#, r#"{"\u0061":3}"#),
        r#""b":2,"\u0061":3"#
    );
}

#[test]
fn strings_unescape() {
    let said = |raw: &str| {
        let mut scan = Scan::new(raw);
        match scan.value(0) {
            Some(Value::String(string)) => string.unescape().into_owned(),
            other => panic!("{raw}: {other:?}"),
        }
    };
    assert_eq!(said(r#""a\"\\\/\b\f\n\r\tz""#), "a\"\\/\u{8}\u{c}\n\r\tz");
    assert_eq!(said(r#""\u00e9\u0000\ud83d\ude00""#), "é\0😀");
    // Halves of pairs, alone or in the wrong order.
    assert_eq!(said(r#""\ud83d""#), "\u{fffd}");
    assert_eq!(said(r#""\ud83dx\ude00""#), "\u{fffd}x\u{fffd}");
    assert_eq!(said(r#""\ud83d\ud83d\ude00""#), "\u{fffd}😀");
    assert_eq!(said(r#""\ud83d\u0041""#), "\u{fffd}A");
}

/// Strings about as long as the steps of the scanner, with something at each
/// place that a step could take wrongly, near the text's end and far from it.
#[test]
fn strings_at_the_edges_of_steps_agree_with_serde_json() {
    let odd = [
        "\\n",
        "\\\"",
        "\\\\",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\x",
        "\\",
        "\\u12",
        "\"",
        "\0",
        "\n",
        "\u{1f}",
        " ",
        "!",
        "#",
        "[",
        "]",
        "^",
        "~",
        "\u{7f}",
        "\u{80}",
        "é",
        "\u{2028}",
        "😀",
    ];
    for length in (0..=34).chain(54..=74).chain(120..=136) {
        let plain = "x".repeat(length);
        let near = length.saturating_sub(20)..=length;
        for at in (0..=length.min(9)).chain(near) {
            for odd in odd {
                let inside = format!("{}{odd}{}", &plain[..at], &plain[at..]);
                let bare = format!("\"{inside}\"");
                let expected = serde_json::from_str::<String>(&bare).ok();
                let said = match Scan::new(&bare).value(0) {
                    Some(Value::String(it)) if it.raw() == bare => Some(it.unescape()),
                    _ => None,
                };
                assert_eq!(said.as_deref(), expected.as_deref(), "{bare}");
                for text in [
                    format!("{{\"{inside}\":1}}"),
                    format!("[\"{inside}\", \"and this is behind it, long enough\"]"),
                ] {
                    let valid = serde_json::from_str::<IgnoredAny>(&text).is_ok();
                    assert_eq!(is_json(&text), valid, "{text}");
                }
            }
        }
    }
}

/// White space, and what is nearly that, in every place where some may stand.
#[test]
fn space_between_tokens_agrees_with_serde_json() {
    for space in [
        "", " ", "\t\r\n ", "\u{b}", "\u{c}", "\0", "\u{1f}", "!", "\u{a0}", "  \u{85}",
    ] {
        let tokens = [
            "{", "\"a\"", ":", "[", "1", ",", "{", "}", "]", ",", "\"b\"", ":", "2", "}",
        ];
        for place in 0..=tokens.len() {
            let (before, behind) = tokens.split_at(place);
            let text = [&before.concat(), space, &behind.concat()].concat();
            let valid = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            assert_eq!(is_json(&text), valid, "{text:?}");
            let members = parse_members(&text).map(Members::as_str);
            let object = text.trim_matches([' ', '\t', '\r', '\n']);
            let inside = object.get(1..object.len() - 1).filter(|_| valid);
            let trimmed = inside.map(|it| it.trim_matches([' ', '\t', '\r', '\n']));
            assert_eq!(members, trimmed, "{text:?}");
        }
    }
}

#[test]
fn colons_show_through_escapes_br_10() {
    let colon = |raw: &str| match Scan::new(raw).value(0) {
        Some(Value::String(string)) => string.starts_with_colon(),
        other => panic!("{raw}: {other:?}"),
    };
    assert!(colon(r#"":error""#));
    assert!(colon(r#""\u003aerror""#));
    assert!(colon(r#""\u003Aerror""#));
    assert!(!colon(r#""a:b""#));
    assert!(!colon(r#""\u0061:""#));
    assert!(!colon(r#""\\:""#));
    assert!(!colon(r#""""#));
}

proptest! {
    /// Special bytes at every offset of a step of eight.
    #[test]
    fn plain_runs_end_where_a_plain_loop_says(bytes in prop::collection::vec(prop_oneof![8 => Just(b'x'), 1 => any::<u8>()], 0..300), at in 0_usize..8) {
        let at = at.min(bytes.len());
        let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        let end = bytes[at..].iter().position(|&b| !plain(b)).map_or(bytes.len(), |run| at + run);
        prop_assert_eq!(scan::skip_plain(&bytes, at), end);
    }

    #[test]
    fn agrees_with_serde_json_on_documents(text in arbitrary::json_text()) {
        prop_assert!(is_json(&text));
        prop_assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn agrees_with_serde_json_on_broken_documents(text in arbitrary::broken_json_text()) {
        prop_assert_eq!(is_json(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
    }

    #[test]
    fn written_strings_read_back(text in any::<String>()) {
        let mut written = String::new();
        write_string(&mut written, &text);
        prop_assert_eq!(&serde_json::from_str::<String>(&written).expect("a string"), &text);
        let Some(Value::String(string)) = Scan::new(&written).value(0) else {
            return Err(TestCaseError::fail(written));
        };
        prop_assert!(string.is(&text));
        prop_assert_eq!(string.unescape(), text);
    }

    #[test]
    fn splices_say_what_a_tree_says(base in arbitrary::object_text(), over in arbitrary::object_text()) {
        let (base, over) = (members(&base), members(&over));
        let mut expected = tree(base.as_str());
        prop_assert_eq!(tree(&base.without(&["sid", "channel"])), {
            let mut kept = expected.clone();
            kept.remove("sid");
            kept.remove("channel");
            kept
        });
        expected.extend(tree(over.as_str()));
        prop_assert_eq!(tree(&merge(base, over)), expected);
    }
}

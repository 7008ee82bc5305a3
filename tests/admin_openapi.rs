//! The OpenAPI document says what a real node does: each operation is called
//! until it has given every status that it documents, and each answer has to fit
//! its schema, with no member that the schema does not name.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::Broker;
use support::admin::{Answer, admin_with, request};
use support::backend::Worker;
use webrocket::limits::ADMIN_BODY_BYTES_MAX;

/// Not to be had from a healthy node; `status` in `control/admin` maps to it.
const UNAVAILABLE: &str = "503";

struct Document {
    text: Value,
    /// Operation id, to its method, its path and what is said of it.
    operations: BTreeMap<String, (String, String, Value)>,
    /// Operation ids and the statuses that were seen.
    seen: BTreeSet<(String, String)>,
}

impl Document {
    fn of(broker: &Broker) -> Self {
        let answer = admin_with(broker, "GET", "/openapi.json", "", "");
        assert_eq!(answer.status, 200, "no cookie is needed");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let mut text = answer.json();
        let mut operations = BTreeMap::new();
        for (path, methods) in text["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("operations") {
                let id = operation["operationId"].as_str().expect("an id");
                let known = (method.to_uppercase(), path.clone(), operation.clone());
                let twice = operations.insert(id.to_owned(), known);
                assert!(twice.is_none(), "two operations {id}");
            }
        }
        let schemas = text["components"]["schemas"].as_object_mut();
        for schema in schemas.expect("schemas").values_mut() {
            schema["additionalProperties"] = json!(false);
        }
        Self {
            text,
            operations,
            seen: BTreeSet::new(),
        }
    }

    /// Whether the operation is for everyone, and its path a vhost's with the cookie.
    fn is_open(&self, id: &str) -> bool {
        let (_, _, operation) = &self.operations[id];
        operation["security"] == json!([{}])
    }

    /// Sees that the operation may answer so.
    fn check(&mut self, id: &str, answer: &Answer) {
        let (_, _, operation) = &self.operations[id];
        let status = answer.status.to_string();
        let documented = &operation["responses"][&status];
        assert!(documented.is_object(), "{id} never answers {answer:?}");
        self.seen.insert((id.to_owned(), status));
        for header in documented["headers"].as_object().into_iter().flatten() {
            let (name, _) = header;
            assert!(answer.header(&name.to_lowercase()).is_some(), "{id} {name}");
        }
        let Some(content) = documented["content"].as_object() else {
            assert_eq!(answer.body, "", "{id}");
            return;
        };
        let kind = answer.header("content-type").expect("a type");
        let kind = kind.split(';').next().unwrap_or_default();
        let body = match kind {
            "text/plain" => json!(answer.body),
            _ => answer.json(),
        };
        let schema = &content[kind]["schema"];
        assert!(schema.is_object(), "{id} never answers {kind}");
        let errors = self.errors(schema, &body);
        assert!(errors.is_empty(), "{id}: {errors:?} in {body}");
    }

    /// Why the value does not fit the schema.
    fn errors(&self, schema: &Value, body: &Value) -> Vec<String> {
        let mut schema = schema.clone();
        schema["components"] = self.text["components"].clone();
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let errors = validator.iter_errors(body);
        errors.map(|error| error.to_string()).collect()
    }

    /// Calls an operation with these parameters, and the cookie where it asks for it.
    fn call(&mut self, broker: &Broker, id: &str, parameters: &str, body: &str) -> Answer {
        if self.is_open(id) {
            return self.call_with(broker, id, parameters, "", body);
        }
        let cookie = format!("X-WebRocket-Cookie: {}\r\n", broker.node().cookie());
        self.call_with(broker, id, parameters, &cookie, body)
    }

    fn call_with(
        &mut self,
        broker: &Broker,
        id: &str,
        parameters: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let (method, path, _) = &self.operations[id];
        let (parameters, query) = parameters.split_once('?').unwrap_or((parameters, ""));
        let mut path = path.clone();
        for parameter in parameters.split(' ').filter(|it| !it.is_empty()) {
            let (begin, end) = (path.find('{').expect("room"), path.find('}').expect("room"));
            path.replace_range(begin..=end, parameter);
        }
        assert!(!path.contains('{'), "{id} needs more than {parameters:?}");
        let length = format!("Content-Length: {}\r\n", body.len());
        let target = format!("{path}?{query}");
        let answer = admin_with(broker, method, &target, &format!("{headers}{length}"), body);
        self.check(id, &answer);
        answer
    }
}

#[test]
fn every_route_answers_as_documented() {
    let broker = Broker::with_channels(2, &["room", "presence-x"]);
    let mut document = Document::of(&broker);
    assert!(
        document.text["openapi"]
            .as_str()
            .is_some_and(|it| it.starts_with("3.1"))
    );
    let mut joe = broker.user("joe", ".*");
    joe.send(json!({"subscribe": {"channel": "presence-x", "data": {"a": [1, {"b": null}]}}}));
    let mut hidden = broker.browser();
    hidden.send(json!({"subscribe": {"channel": "room", "hidden": true}}));
    hidden.receive();
    broker.expect_subscribers("presence-x", 1);
    // So that there is a busy channel and a latency to tell of.
    joe.broadcast("presence-x", "said", json!({}));
    let _worker = Worker::ready(&broker);
    let session = format!("test {}", joe.sid);
    let gone = "test 6f0b2c1e-3c8a-4d0f-9f5e-0a1b2c3d4e5f";
    let event = r#"{"event":"e","data":{"a":1}}"#;
    let wanted = r#"{"uid":"joe","permission":"private-.*"}"#;

    for (id, parameters, body, status) in [
        ("describe", "", "", 200),
        ("show_metrics", "", "", 200),
        ("check_health", "", "", 200),
        ("check_readiness", "", "", 200),
        ("show_stats", "", "", 200),
        ("begin_session", "", "", 204),
        ("end_session", "", "", 204),
        ("list_vhosts", "", "", 200),
        ("create_vhost", "new", "", 302),
        ("create_vhost", "new", "", 400),
        ("create_vhost", "a%20b", "", 400),
        ("show_vhost", "new", "", 200),
        ("show_vhost", "none", "", 404),
        ("regenerate_vhost_token", "new", "", 302),
        ("regenerate_vhost_token", "none", "", 404),
        ("issue_token", "test", wanted, 201),
        ("issue_token", "test", "{}", 400),
        ("issue_token", "none", wanted, 404),
        ("show_vhost_stats", "test", "", 200),
        ("show_vhost_stats", "none", "", 404),
        ("list_workers", "test", "", 200),
        ("list_workers", "none", "", 404),
        ("open_channel", "new room", "", 302),
        ("open_channel", "new room", "", 400),
        ("open_channel", "new -", "", 400),
        ("open_channel", "none room", "", 404),
        ("list_channels", "test", "", 200),
        ("list_channels", "none", "", 404),
        ("show_channel", "test room", "", 200),
        ("show_channel", "test none", "", 404),
        ("list_subscribers", "test presence-x", "", 200),
        ("list_subscribers", "test room", "", 200),
        ("list_subscribers", "test room?limit=1", "", 200),
        ("list_subscribers", "test room?limit=0", "", 400),
        ("list_subscribers", "test none", "", 404),
        ("send_channel_event", "test presence-x", event, 202),
        ("send_channel_event", "test room", "{}", 400),
        ("send_channel_event", "test none", event, 404),
        ("list_sessions", "test", "", 200),
        ("list_sessions", "test?limit=x", "", 400),
        ("list_sessions", "none", "", 404),
        ("show_session", &session, "", 200),
        ("show_session", gone, "", 404),
        ("send_session_event", &session, event, 202),
        ("send_session_event", &session, "[]", 400),
        ("send_session_event", gone, event, 404),
        (
            "disconnect_session",
            &format!("test {}", hidden.sid),
            "",
            202,
        ),
        ("disconnect_session", gone, "", 404),
        ("disconnect_user", "test joe", "", 202),
        ("disconnect_user", "test joe", "", 404),
        ("close_channel", "new room", "", 202),
        ("close_channel", "new room", "", 404),
        ("clear_channels", "test", "", 202),
        ("clear_channels", "none", "", 404),
        ("delete_vhost", "new", "", 202),
        ("delete_vhost", "new", "", 404),
        ("clear_vhosts", "", "", 202),
    ] {
        let answer = document.call(&broker, id, parameters, body);
        assert_eq!(answer.status, status, "{id} {parameters}");
    }

    // What the gate says, it says everywhere.
    let ids: Vec<String> = document.operations.keys().cloned().collect();
    for id in &ids {
        if document.is_open(id) {
            continue;
        }
        let (_, path, _) = &document.operations[id];
        let parameters = vec!["x"; path.matches('{').count()].join(" ");
        let refused = document.call_with(&broker, id, &parameters, "", "");
        assert_eq!(refused.status, 403, "{id}");
        let large = "x".repeat(ADMIN_BODY_BYTES_MAX + 1);
        let refused = document.call(&broker, id, &parameters, &large);
        assert_eq!(refused.status, 413, "{id}");
    }

    for (id, (_, _, operation)) in &document.operations {
        for status in operation["responses"]
            .as_object()
            .expect("responses")
            .keys()
        {
            let seen = document.seen.contains(&(id.clone(), status.clone()));
            assert!(
                seen || status == UNAVAILABLE,
                "{id} was never seen to answer {status}"
            );
        }
    }
}

#[test]
fn the_cookie_is_what_secures_it() {
    let broker = Broker::start(1);
    let document = Document::of(&broker);
    let scheme = &document.text["components"]["securitySchemes"]["cookie"];
    assert_eq!(
        (&scheme["type"], &scheme["in"], &scheme["name"]),
        (
            &json!("apiKey"),
            &json!("header"),
            &json!("X-WebRocket-Cookie")
        )
    );
    assert_eq!(document.text["security"], json!([{"cookie": []}]));
    for (id, (_, _, operation)) in &document.operations {
        let own = &operation["security"];
        let open = [
            "describe",
            "show_metrics",
            "check_health",
            "check_readiness",
        ];
        let expected = if open.contains(&id.as_str()) {
            json!([{}])
        } else {
            Value::Null
        };
        assert_eq!(*own, expected, "{id}");
    }
    // The cookie does no harm where none is needed, and secrets are not told.
    let node = broker.node();
    let answer = request(node.admin_addr(), node.cookie(), "GET", "/openapi.json");
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains(node.cookie()));
    assert_eq!(
        request(node.admin_addr(), "", "HEAD", "/openapi.json").body,
        ""
    );
    request(node.admin_addr(), "", "DELETE", "/openapi.json")
        .expect_error(405, "method not allowed");
}

#[test]
fn an_answer_that_strays_from_its_schema_is_caught() {
    let broker = Broker::start(1);
    let document = Document::of(&broker);
    let schema = json!({"$ref": "#/components/schemas/SessionList"});
    let list = |change: &dyn Fn(&mut Value)| {
        let mut entry = json!({"sid": "s", "uid": "joe", "subscriptions": 1, "links": []});
        change(&mut entry);
        document
            .errors(&schema, &json!({"sessions": [entry]}))
            .len()
    };
    assert_eq!(list(&|_| {}), 0);
    assert_eq!(list(&|entry| entry["more"] = json!(1)), 1);
    assert_eq!(list(&|entry| entry["subscriptions"] = json!("1")), 1);
    assert_eq!(list(&|entry| entry["uid"] = Value::Null), 1);
    let without_sid =
        |entry: &mut Value| drop(entry.as_object_mut().expect("an entry").remove("sid"));
    assert_eq!(list(&without_sid), 1);
}

#[test]
fn the_manual_names_every_route() {
    let manual = include_str!("../docs/admin.md");
    let broker = Broker::start(1);
    for (id, (method, path, _)) in &Document::of(&broker).operations {
        let path = path.replace('{', ":").replace('}', "");
        let named = [' ', '`', '?'].map(|end| manual.contains(&format!("`{method} {path}{end}")));
        assert!(named.contains(&true), "{id}: {method} {path}");
    }
}

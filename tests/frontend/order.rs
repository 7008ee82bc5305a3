//! Section 3.2: answers come in the order of the requests, wherever the homes
//! of their channels are [SU-13].

use serde_json::{Value, json};
use webrocket::limits::WRONG_TOKENS_PER_CONNECTION_MAX;

use crate::SHARDS;
use crate::raw::{Raw, TEXT, masked};
use crate::support::Broker;

const CHANNELS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A request and how its answer is told from all others.
fn requests(token: &str) -> Vec<(Value, Vec<Value>)> {
    let error = |code: u16| json!({"code": code});
    let mut requests = Vec::new();
    for (n, channel) in CHANNELS.iter().cycle().take(80).enumerate() {
        let confirmed = |name: &str| vec![json!({name: {"channel": channel}})];
        requests.extend([
            (
                json!({"broadcast": {"channel": channel, "event": "e"}}),
                vec![error(453)],
            ),
            (
                json!({"subscribe": {"channel": channel}}),
                confirmed(":subscribed"),
            ),
            (json!({"subscribe": {"channel": channel}}), vec![]),
        ]);
        for part in 0..4 {
            let event = format!("e{n}.{part}");
            requests.push((
                json!({"broadcast": {"channel": channel, "event": event}}),
                vec![json!({event: {"channel": channel}})],
            ));
        }
        requests.extend([
            (json!({"pong": {}}), vec![]),
            (json!({"nonsense": {}}), vec![error(400)]),
            (json!({"subscribe": {"channel": "none"}}), vec![error(454)]),
            (json!({"trigger": {"event": "work"}}), vec![error(403)]),
            (
                json!({"broadcast": {"channel": channel, "event": "e", "trigger": "t"}}),
                vec![error(403)],
            ),
            (
                json!({"unsubscribe": {"channel": channel}}),
                confirmed(":unsubscribed"),
            ),
            (
                json!({"unsubscribe": {"channel": channel}}),
                vec![error(453)],
            ),
        ]);
        // As often as a connection may be wrong and still present the right one.
        if 2 * (n + 1) < usize::from(WRONG_TOKENS_PER_CONNECTION_MAX) {
            for token in ["x", &"0".repeat(128)] {
                requests.push((json!({"auth": {"token": token}}), vec![error(402)]));
            }
        }
    }
    // From here on authenticated: 503 stands behind the event.
    requests.push((
        json!({"auth": {"token": token}}),
        vec![json!({":authenticated": {}})],
    ));
    for (n, channel) in CHANNELS.iter().cycle().take(40).enumerate() {
        let event = &format!("t{n}");
        requests.extend([
            (
                json!({"subscribe": {"channel": channel}}),
                if n < CHANNELS.len() {
                    vec![json!({":subscribed": {"channel": channel}})]
                } else {
                    vec![]
                },
            ),
            (
                json!({"broadcast": {"channel": channel, "event": event, "trigger": "t"}}),
                vec![json!({event: {"channel": channel}}), error(503)],
            ),
            (json!({"trigger": {"event": "work"}}), vec![error(503)]),
            (
                json!({"broadcast": {"channel": channel, "event": event}}),
                vec![json!({event: {"channel": channel}})],
            ),
        ]);
    }
    requests
}

fn expect_answer(raw: &mut Raw, expected: &Value) {
    let mut answer = raw.receive();
    if let Some(error) = answer.get(":error") {
        assert_eq!(
            error["code"], expected["code"],
            "{answer} instead of {expected}"
        );
        return;
    }
    let payload = answer
        .as_object_mut()
        .and_then(|object| object.values_mut().next());
    if let Some(Value::Object(payload)) = payload {
        payload.remove("sid");
    }
    assert_eq!(answer, *expected);
}

#[test]
fn answers_come_in_the_order_of_the_requests_su_13() {
    for shards in SHARDS {
        let broker = Broker::with_channels(shards, &CHANNELS);
        // All at once, in pieces that cut the frames, and one by one.
        for piece in [usize::MAX, 1000, 0] {
            let requests = requests(&broker.single_access_token("joe", ".*"));
            let mut raw = Raw::upgraded(&broker);
            if piece == 0 {
                for (request, answers) in &requests {
                    raw.send_text(&request.to_string());
                    answers
                        .iter()
                        .for_each(|answer| expect_answer(&mut raw, answer));
                }
                continue;
            }
            let stream: Vec<u8> = requests
                .iter()
                .flat_map(|(request, _)| masked(TEXT, request.to_string().as_bytes()))
                .collect();
            stream
                .chunks(piece.min(stream.len()))
                .for_each(|part| raw.write(part));
            for (_, answers) in &requests {
                answers
                    .iter()
                    .for_each(|answer| expect_answer(&mut raw, answer));
            }
        }
    }
}

//! The client against a scripted broker: what it sends, how it shares a kept
//! connection, and what it makes of answers and of lost connections.

mod fake_server;

use std::time::Duration;

use fake_server::{FakeServer, HB, OK, QT, error, hang_guard};
use kosmonaut::{Client, Error};
use serde_json::json;

#[tokio::test]
async fn requests_and_answers_section_4_3() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let script = async {
        let mut peer = server.accept_kept().await;
        let mut requests = Vec::new();
        for answer in [OK, OK, OK, "AT\nfeed42\n\r\n\r\n"] {
            requests.push(peer.packet().await);
            peer.send(answer).await;
        }
        requests
    };
    let calls = async {
        client.open_channel("news").await.expect("open");
        client.close_channel("news").await.expect("close");
        client
            .broadcast("news", "flash", &json!({"a": "x\ny"}))
            .await
            .expect("broadcast");
        let token = client.request_single_access_token("joe", "a|b").await;
        token.expect("a token").to_string()
    };
    let (requests, token) = hang_guard(async { tokio::join!(script, calls) }).await;
    assert_eq!(requests[0], ["OC", "news"]);
    assert_eq!(requests[1], ["CC", "news"]);
    assert_eq!(requests[2], ["BC", "news", "flash", r#"{"a":"x\ny"}"#]);
    assert_eq!(requests[3], ["AT", "joe", "a|b"]);
    assert_eq!(token, "feed42");
}

#[tokio::test]
async fn many_tasks_share_one_connection_and_each_gets_its_own_answer() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    // More than may wait for an answer, so that the bound is passed too.
    let tasks: Vec<_> = (0..300)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let token = client
                    .request_single_access_token(&format!("uid-{number}"), ".*")
                    .await
                    .expect("a token");
                assert_eq!(token.as_str(), format!("uid{number}"));
            })
        })
        .collect();
    let mut peer = server.accept_kept().await;
    // Nobody is answered before 256 have asked: the requests are pipelined.
    let mut asked = Vec::new();
    for _ in 0..256 {
        asked.push(peer.packet().await);
    }
    for answered in 0..300 {
        let uid = asked[answered][1].replace('-', "");
        peer.send(&format!("AT\n{uid}\n\r\n\r\n")).await;
        if asked.len() < 300 {
            asked.push(peer.packet().await);
        }
    }
    for task in tasks {
        hang_guard(task).await.expect("its own token");
    }
}

#[tokio::test]
async fn no_more_requests_wait_for_their_answer_than_the_bound() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    for _ in 0..300 {
        let client = client.clone();
        tokio::spawn(async move { client.open_channel("a").await });
    }
    let mut peer = server.accept_kept().await;
    for _ in 0..256 {
        peer.packet().await;
    }
    // Whatever the machine's pace, the 257th cannot come before an answer.
    let early = tokio::time::timeout(Duration::from_millis(50), peer.try_packet()).await;
    assert!(early.is_err());
    peer.send(OK).await;
    assert_eq!(peer.packet().await, ["OC", "a"]);
}

#[tokio::test]
async fn a_broker_that_keeps_no_connection_gets_one_per_request() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let script = async {
        let mut asked = server.accept().await;
        assert_eq!(asked.identified_packet("req").await, ["KA"]);
        asked.send(&error(400)).await;
        drop(asked);
        for answer in [OK.to_owned(), error(454)] {
            let mut peer = server.accept().await;
            assert_eq!(peer.identified_packet("req").await, ["CC", "a"]);
            peer.send(&answer).await;
        }
    };
    let calls = async {
        client.close_channel("a").await.expect("closed");
        let second = client.close_channel("a").await;
        assert!(matches!(second, Err(Error::ChannelNotFound)));
    };
    hang_guard(async { tokio::join!(script, calls) }).await;
}

#[tokio::test]
async fn refusals_are_errors_of_their_own_section_9() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let codes = [400, 402, 403, 451, 454, 597, 598, 499];
    let script = async {
        let mut peer = server.accept_kept().await;
        for code in codes {
            peer.packet().await;
            peer.send(&error(code)).await;
        }
        // Request errors do not end a kept connection.
        peer.packet().await;
        peer.send(OK).await;
    };
    let calls = async {
        for code in codes {
            let refused = client.open_channel("a").await.expect_err("refused");
            assert_eq!(refused.code(), Some(code));
        }
        client
            .open_channel("a")
            .await
            .expect("the connection lives");
    };
    hang_guard(async { tokio::join!(script, calls) }).await;
}

#[tokio::test]
async fn a_wrong_token_is_unauthorized_be_07() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let script = async {
        let mut peer = server.accept().await;
        peer.packet().await;
        peer.send(&error(402)).await;
    };
    let (refused, ()) = tokio::join!(client.open_channel("a"), script);
    assert!(matches!(refused, Err(Error::Unauthorized)));
}

#[tokio::test]
async fn what_the_broker_would_refuse_is_not_sent() {
    // Nothing listens: whatever is sent fails otherwise.
    let url = format!("wr://{}@127.0.0.1:1/v", fake_server::TOKEN);
    let client = Client::new(url.parse().expect("valid"));
    let code = |result: Result<(), Error>| result.expect_err("refused").code();
    assert_eq!(code(client.open_channel("").await), Some(400));
    assert_eq!(code(client.open_channel("a\nb").await), Some(451));
    assert_eq!(code(client.open_channel("\r").await), Some(451));
    assert_eq!(code(client.close_channel("").await), Some(400));
    assert_eq!(code(client.close_channel("a\nb").await), Some(454));
    for (channel, event) in [("", "e"), ("c", ""), ("c", ":e"), ("c", "e\n"), ("c", "\r")] {
        let refused = client.broadcast(channel, event, &json!({})).await;
        assert_eq!(code(refused), Some(400), "{channel:?} {event:?}");
    }
    let not_object = client.broadcast("c", "e", &[1]).await;
    assert!(matches!(not_object, Err(Error::PayloadNotObject)));
    for (uid, pattern) in [("", ".*"), ("u", ""), ("u\n", ".*"), ("u", "a\nb")] {
        let refused = client.request_single_access_token(uid, pattern).await;
        assert!(matches!(refused, Err(Error::BadRequest)));
    }
    assert!(matches!(client.open_channel("a").await, Err(Error::Io(_))));
}

#[tokio::test]
async fn packet_bound_be_27() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    // BC LF c LF e LF {"a":"..."} LF CR LF CR LF
    let filled = |length: usize| json!({"a": "x".repeat(length - 3 - 2 - 2 - 8 - 5)});
    let script = async {
        let mut peer = server.accept_kept().await;
        let frames = peer.packet().await;
        peer.send(OK).await;
        frames.iter().map(|frame| frame.len() + 1).sum::<usize>() + 4
    };
    let at_bound = filled(1024 * 1024);
    let (length, sent) = tokio::join!(script, client.broadcast("c", "e", &at_bound));
    sent.expect("at the bound");
    assert_eq!(length, 1024 * 1024);
    let past = client.broadcast("c", "e", &filled(1024 * 1024 + 1)).await;
    assert!(matches!(past, Err(Error::BadRequest)));
}

#[tokio::test]
async fn a_connection_closed_between_requests_is_replaced_unnoticed() {
    for farewell in ["", QT] {
        let server = FakeServer::start().await;
        let client = Client::new(server.url());
        let (mut peer, first) = tokio::join!(
            async {
                let mut peer = server.accept_kept().await;
                peer.packet().await;
                peer.send(OK).await;
                peer
            },
            client.open_channel("a")
        );
        first.expect("opened");
        peer.send(farewell).await;
        drop(peer);
        // The end of the stream reaches the client before it asks again.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let script = async {
            let mut peer = server.accept_kept().await;
            assert_eq!(peer.packet().await, ["BC", "a", "e", "{}"]);
            peer.send(OK).await;
        };
        let payload = json!({});
        let ((), sent) = tokio::join!(script, client.broadcast("a", "e", &payload));
        sent.expect("sent over a new connection");
    }
}

#[tokio::test]
async fn an_idle_connection_is_probed_before_a_request_is_trusted_to_it() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let idle = Duration::from_millis(2_200);
    let script = async {
        let mut peer = server.accept_kept().await;
        peer.packet().await;
        peer.send(OK).await;
        // Alive: the request follows the probe.
        assert_eq!(peer.packet().await, ["HB"]);
        peer.send(HB).await;
        assert_eq!(peer.packet().await, ["CC", "a"]);
        peer.send(OK).await;
        // Closing just then: the request, held back, surely did not run.
        assert_eq!(peer.packet().await, ["HB"]);
        drop(peer);
        let mut peer = server.accept_kept().await;
        assert_eq!(peer.packet().await, ["CC", "b"]);
        peer.send(OK).await;
    };
    let calls = async {
        client.open_channel("a").await.expect("opened");
        tokio::time::sleep(idle).await;
        client.close_channel("a").await.expect("closed");
        tokio::time::sleep(idle).await;
        client.close_channel("b").await.expect("closed");
    };
    hang_guard(async { tokio::join!(script, calls) }).await;
}

#[tokio::test]
async fn a_broadcast_that_may_have_run_is_reported_and_not_repeated() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let script = async {
        let mut peer = server.accept_kept().await;
        assert_eq!(peer.packet().await, ["BC", "a", "first", "{}"]);
        drop(peer);
        let mut peer = server.accept_kept().await;
        // Not the first again.
        assert_eq!(peer.packet().await, ["BC", "a", "second", "{}"]);
        peer.send(OK).await;
    };
    let calls = async {
        let first = client.broadcast("a", "first", &json!({})).await;
        assert!(matches!(
            first,
            Err(Error::ConnectionLost { may_have_run: true })
        ));
        let second = client.broadcast("a", "second", &json!({})).await;
        second.expect("over a new connection");
    };
    hang_guard(async { tokio::join!(script, calls) }).await;
}

#[tokio::test]
async fn exactly_what_left_the_process_whole_may_have_run_be_21() {
    let server = FakeServer::start().await;
    let client = Client::with_timeout(server.url(), Duration::from_secs(60));
    let payload = json!({"a": "x".repeat(1_000_000)});
    // More than the kernel takes, so that one packet is cut short.
    let calls: Vec<_> = (0..24)
        .map(|_| {
            let (client, payload) = (client.clone(), payload.clone());
            tokio::spawn(async move { client.broadcast("a", "e", &payload).await })
        })
        .collect();
    let mut first = server.accept_kept().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    first.fall_silent().await;
    let mut second = server.accept_kept().await;
    let mut whole = 0;
    while hang_guard(first.try_packet()).await.is_some() {
        whole += 1;
    }
    for _ in whole..24 {
        second.packet().await;
        second.send(OK).await;
    }
    let mut may_have_run = 0;
    for call in calls {
        match hang_guard(call).await.expect("no panic") {
            Ok(()) => {}
            Err(Error::ConnectionLost { may_have_run: true }) => may_have_run += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(may_have_run, whole);
}

#[tokio::test]
async fn opening_a_channel_is_repeated_once() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let script = async {
        for _ in 0..2 {
            let mut peer = server.accept_kept().await;
            assert_eq!(peer.packet().await, ["OC", "a"]);
        }
    };
    let ((), lost) = tokio::join!(script, client.open_channel("a"));
    assert!(matches!(
        lost,
        Err(Error::ConnectionLost { may_have_run: true })
    ));
}

#[tokio::test]
async fn timeouts_tell_what_may_have_run() {
    let server = FakeServer::start().await;
    let client = Client::with_timeout(server.url(), Duration::from_millis(1_500));
    // Accepted by the kernel, never answered: nothing but `KA` was sent.
    let unsent = client.broadcast("a", "e", &json!({})).await;
    assert!(matches!(
        unsent,
        Err(Error::Timeout {
            may_have_run: false
        })
    ));
    drop(server.accept().await);
    let script = async {
        let mut peer = server.accept_kept().await;
        peer.packet().await;
        // Given up by the client once the answer is overdue.
        peer.closed().await;
    };
    let payload = json!({});
    let ((), sent) = tokio::join!(script, client.broadcast("a", "e", &payload));
    assert!(matches!(sent, Err(Error::Timeout { may_have_run: true })));
}

#[tokio::test]
async fn an_answer_that_comes_late_goes_to_nobody_else() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let impatient = tokio::spawn({
        let client = client.clone();
        async move { client.request_single_access_token("impatient", ".*").await }
    });
    let mut peer = server.accept_kept().await;
    assert_eq!(peer.packet().await, ["AT", "impatient", ".*"]);
    impatient.abort();
    let script = async {
        assert_eq!(peer.packet().await, ["AT", "patient", ".*"]);
        peer.send("AT\nfirst\n\r\n\r\nAT\nsecond\n\r\n\r\n").await;
    };
    let ((), token) = tokio::join!(script, client.request_single_access_token("patient", ".*"));
    assert_eq!(token.expect("a token").as_str(), "second");
}

#[tokio::test]
async fn a_server_of_another_protocol_is_an_unexpected_answer() {
    let server = FakeServer::start().await;
    let client = Client::new(server.url());
    let script = async {
        let mut peer = server.accept().await;
        peer.packet().await;
        peer.send("HTTP/1.1 400 Bad Request\n\r\n\r\n").await;
    };
    let ((), answer) = tokio::join!(script, client.open_channel("a"));
    assert!(matches!(answer, Err(Error::UnexpectedAnswer)));
}

use super::*;
use crate::limits::DELIVERY_AROUND_BYTES;
use crate::pace::Step;
use crate::server::Traffic;

fn span(length_s: f64, frontends: u64, broadcasts: u64) -> Span {
    Span {
        length_s,
        frontends,
        broadcasts,
        deliveries: broadcasts * 50,
        sent_bytes: broadcasts * 50 * 300,
        ..Span::default()
    }
}

fn shape(spans: &[Span]) -> Shape {
    Shape {
        spans: spans.to_vec(),
        ..Shape::new(1_700_000_000)
    }
}

fn written(text: &str) -> Result<Shape, String> {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("own.shape");
    fs::write(&path, text).expect("a file");
    Shape::load(&path).map_err(|error| error.to_string())
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("own.shape");
    let shape = shape(&[span(5.0, 100, 20), span(5.0, 120, 0)]);
    shape.save(&path).expect("saved");
    assert_eq!(Shape::load(&path).expect("loaded"), shape);
    let nowhere = folder.path().join("no/such/place");
    assert!(
        shape
            .save(&nowhere)
            .expect_err("nowhere")
            .to_string()
            .contains("no/such")
    );
}

#[test]
fn other_files_are_told_apart() {
    let text = |shape: &Shape| serde_json::to_string(shape).expect("JSON");
    let one = |length_s| text(&shape(&[span(length_s, 1, 1)]));
    assert!(written(&one(86_400.0)).is_ok());
    for (text, said) in [
        (one(86_401.0), "span 1 lasts 86401 s"),
        (one(0.0), "span 1 lasts 0 s"),
        (one(-1.0), "span 1"),
        (text(&shape(&[])), "nobody was connected"),
        (text(&shape(&[span(1.0, 0, 9)])), "nobody was connected"),
        (
            one(1.0).replace("\"schema\":1", "\"schema\":2"),
            "schema 2 is not known",
        ),
        (one(1.0).replace("frontends", "payload"), "payload"),
        ("{".to_owned(), "own.shape"),
    ] {
        let error = written(&text).expect_err(said);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn spans_at_the_bound_and_past_it() {
    let many = |count| {
        let spans = vec![span(1.0, 1, 1); count];
        written(&serde_json::to_string(&shape(&spans)).expect("JSON"))
    };
    assert!(many(SHAPE_SPANS_MAX).is_ok());
    assert!(
        many(SHAPE_SPANS_MAX + 1)
            .expect_err("too many")
            .contains("larger")
    );
}

#[test]
fn a_replay_delivers_what_was_delivered() {
    let shape = shape(&[span(10.0, 1000, 100), span(5.0, 500, 400)]);
    let replay = Replay::of(&shape, 1.0, 1.0);
    assert_eq!((replay.clients, replay.channels), (1000, 20));
    assert_eq!(replay.data_bytes, 300 - DELIVERY_AROUND_BYTES);
    assert_eq!(replay.length_s, 15.0);
    let rates = [(0, 10.0), (10, 80.0)].map(|(second, rate)| Step {
        start_ns: second * 1_000_000_000,
        rate,
    });
    assert_eq!(replay.broadcasts, rates);
    assert_eq!(
        mean_rate(&replay.broadcasts, replay.length_s).round(),
        (500.0 / 15.0_f64).round()
    );
    assert!(!replay.is_silent());
    assert!(replay.triggers.iter().all(|step| step.rate == 0.0));
}

#[test]
fn more_clients_and_more_speed() {
    let shape = shape(&[span(10.0, 1000, 100)]);
    let twice = Replay::of(&shape, 2.0, 1.0);
    assert_eq!((twice.clients, twice.channels), (2000, 40));
    assert_eq!(twice.broadcasts[0].rate, 20.0);
    let fast = Replay::of(&shape, 1.0, 4.0);
    assert_eq!((fast.clients, fast.length_s), (1000, 2.5));
    assert_eq!(fast.broadcasts[0].rate, 40.0);
    let tiny = Replay::of(&shape, 1e-9, 1.0);
    assert_eq!((tiny.clients, tiny.channels), (1, 1));
}

#[test]
fn those_who_came_and_did_not_stay_are_churn() {
    let mut spans = [span(10.0, 100, 1), span(10.0, 150, 1)];
    spans[0].connects = 30;
    spans[1].connects = 70;
    // 50 of the 100 are the growth.
    assert_eq!(Replay::of(&shape(&spans), 1.0, 1.0).churn, 2.5);
    spans[1].connects = 0;
    assert_eq!(Replay::of(&shape(&spans), 1.0, 1.0).churn, 0.0);
}

#[test]
fn nothing_sent_is_a_run_of_silence() {
    let replay = Replay::of(&shape(&[span(1.0, 10, 0)]), 1.0, 1.0);
    assert!(replay.is_silent());
    assert_eq!((replay.clients, replay.channels), (10, 10));
}

#[test]
fn a_span_is_the_growth_between_two_looks() {
    let before = Traffic {
        frontends: 5,
        broadcasts: 10,
        deliveries: 50,
        ..Traffic::default()
    };
    let after = Traffic {
        frontends: 3,
        broadcasts: 14,
        deliveries: 60,
        ..Traffic::default()
    };
    let grown = record::span(&before, &after, 2.0).expect("counters grow");
    assert_eq!(
        (grown.frontends, grown.broadcasts, grown.deliveries),
        (3, 4, 10)
    );
    // A broker that was restarted counts from nothing.
    assert_eq!(record::span(&after, &before, 2.0), None);
}

//! Drawn pictures, compared as text. A change that is wanted is taken over with
//! `WEBROCKET_PICTURES=write cargo test --lib monitor`.

use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::{look, looked};
use crate::cli::monitor::model::Model;
use crate::cli::monitor::view::{Palette, draw, plain_text, text_of};
use crate::control::stats::Stats;

fn drawn(model: &Model, now: Instant, palette: Palette, columns: u16, rows: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("no terminal fails");
    terminal
        .draw(|frame| draw(model, now, palette, frame.area(), frame.buffer_mut()))
        .expect("drawn");
    terminal.backend().buffer().clone()
}

fn keys(model: &mut Model, keys: &str) {
    for key in keys.chars() {
        model.handle_key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE));
    }
}

fn expect_picture(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/monitor/tests/pictures");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("WEBROCKET_PICTURES").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{}:\n{expected}\nis now:\n{text}",
        path.display()
    );
}

/// A minute of looks.
fn busy() -> (Model, Instant) {
    let mut looks: Vec<Stats> = (3_600..3_660).map(look).collect();
    // A wave instead of a level line: the rate goes up in eight steps and falls.
    let mut more = 0;
    for (at, stats) in (0..).zip(&mut looks) {
        more += 100_000 * (at % 8);
        stats.shards[0].deliveries += more;
    }
    looked(&looks)
}

#[test]
fn overviews() {
    let (model, now) = busy();
    for (columns, rows) in [(80, 24), (120, 40), (60, 15)] {
        let buffer = drawn(&model, now, Palette::plain(), columns, rows);
        expect_picture(&format!("overview_{columns}x{rows}"), &text_of(&buffer));
    }
}

#[test]
fn other_views() {
    for (name, pressed) in [
        ("vhosts", "v"),
        ("channels", "cs"),
        ("headroom", "h"),
        ("help", "?"),
    ] {
        let (mut model, now) = busy();
        keys(&mut model, pressed);
        let buffer = drawn(&model, now, Palette::plain(), 80, 24);
        expect_picture(&format!("{name}_80x24"), &text_of(&buffer));
    }
}

#[test]
fn one_picture_as_text() {
    let (model, _) = busy();
    expect_picture("once_80", &plain_text(&model, 80));
}

#[test]
fn a_node_that_is_gone() {
    let (mut model, now) = busy();
    let later = now + Duration::from_secs(12);
    model.handle_failure("connection refused", later);
    let buffer = drawn(&model, later, Palette::coloured(), 80, 24);
    expect_picture("gone_80x24", &text_of(&buffer));
    // The last picture is greyed, what is said of the node is not.
    assert!(!buffer[(0, 0)].modifier.contains(Modifier::DIM));
    for y in 1..23 {
        assert!(buffer[(0, y)].modifier.contains(Modifier::DIM), "row {y}");
        assert_eq!(buffer[(8, y)].fg, Color::Reset, "row {y}");
    }
}

#[test]
fn a_node_that_was_never_there() {
    let mut model = Model::new("127.0.0.1:8082");
    let now = Instant::now();
    let text = text_of(&drawn(&model, now, Palette::plain(), 80, 24));
    assert!(text.contains("Waiting for 127.0.0.1:8082."), "{text}");
    model.handle_failure("connection refused", now);
    let text = text_of(&drawn(&model, now, Palette::plain(), 80, 24));
    assert!(
        text.contains("127.0.0.1:8082 does not answer: connection refused."),
        "{text}"
    );
    assert!(text.contains("NO ANSWER for 0 s"), "{text}");
}

#[test]
fn a_node_with_nothing_on_it() {
    let (mut quiet, mut later) = (Stats::default(), Stats::default());
    quiet.uptime_ms = 1;
    later.uptime_ms = 1_001;
    let (model, now) = looked(&[quiet, later]);
    let text = text_of(&drawn(&model, now, Palette::plain(), 80, 24));
    for part in [
        "no vhost yet",
        "no channel has had",
        "Binds first  -",
        "p50 -",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn any_size_is_drawn() {
    let (mut model, now) = busy();
    for view in ["", "v", "c", "h", "?", "?p"] {
        keys(&mut model, view);
        for columns in [0, 1, 2, 5, 10, 19, 20, 21, 39, 60, 79, 110, 300] {
            for rows in (0..13).chain([24, 100]) {
                let buffer = drawn(&model, now, Palette::coloured(), columns, rows);
                assert_eq!(buffer.area.area(), u32::from(columns) * u32::from(rows));
            }
        }
    }
}

#[test]
fn a_small_screen_keeps_what_counts() {
    let (model, now) = busy();
    let text = text_of(&drawn(&model, now, Palette::plain(), 40, 8));
    for part in ["connected", "Frontends 12,247", "Binds first", "p50"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn more_rows_than_room_are_told() {
    let (mut model, now) = busy();
    keys(&mut model, "c");
    model.handle_key(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE));
    let text = text_of(&drawn(&model, now, Palette::plain(), 80, 10));
    assert!(text.contains("CHANNELS 2-6 of 12"), "{text}");
    assert!(
        text.contains("presence-room-01") && !text.contains("presence-room-00"),
        "{text}"
    );
}

#[test]
fn no_text_is_lost_in_its_ground() {
    let (mut model, now) = busy();
    for view in ["", "v", "h", "?"] {
        keys(&mut model, view);
        let buffer = drawn(&model, now, Palette::coloured(), 120, 40);
        for cell in &buffer.content {
            // The terminal's own ground, and neither black nor white nor grey on it.
            assert_eq!(cell.bg, Color::Reset);
            let hues = [
                Color::Reset,
                Color::Cyan,
                Color::Green,
                Color::Yellow,
                Color::Red,
            ];
            assert!(hues.contains(&cell.fg), "{:?}", cell.fg);
        }
    }
}

#[test]
fn without_colour_there_is_none() {
    let (mut model, now) = busy();
    let has_colour = |buffer: &Buffer| buffer.content.iter().any(|cell| cell.fg != Color::Reset);
    assert!(has_colour(&drawn(
        &model,
        now,
        Palette::coloured(),
        120,
        40
    )));
    model.handle_failure("gone", now);
    assert!(!has_colour(&drawn(&model, now, Palette::plain(), 120, 40)));
}

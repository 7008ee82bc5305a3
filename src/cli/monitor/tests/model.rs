use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{look, looked};
use crate::cli::monitor::model::{Flow, Link, Model, Order, View};
use crate::limits::{MONITOR_SAMPLES_MAX, MONITOR_TIMEOUT};

fn press(model: &mut Model, code: KeyCode) -> Flow {
    model.handle_key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn total(model: &Model) -> Option<f64> {
    let rates = model.picture().rates.as_ref();
    rates.map(|rates| rates.total.broadcasts)
}

#[test]
fn rates_come_with_the_second_look() {
    let (model, _) = looked(&[look(10)]);
    assert_eq!(total(&model), None);
    assert!(model.picture().deliveries.is_empty());
    let (model, _) = looked(&[look(10), look(11)]);
    assert_eq!(total(&model), Some(1_200.0));
    assert_eq!(model.picture().deliveries, [Some(1_300_000)]);
}

#[test]
fn a_node_gone_keeps_its_last_picture() {
    let (mut model, seen) = looked(&[look(10), look(11)]);
    for seconds in [1, 2] {
        model.handle_failure("connection refused", seen + Duration::from_secs(seconds));
    }
    // Since the last answer, not since the last failure.
    let down = Link::Down {
        since: seen,
        reason: "connection refused".into(),
    };
    assert_eq!(model.link, down);
    assert_eq!(total(&model), Some(1_200.0));
    assert_eq!(model.picture().deliveries, [Some(1_300_000), None, None]);
    // Back: the mean over the time it was not seen.
    model.handle_stats(look(14), seen + Duration::from_secs(3));
    assert_eq!(model.link, Link::Up);
    assert_eq!(total(&model), Some(1_200.0));
}

#[test]
fn a_node_never_seen_is_down_since_the_first_failure() {
    let mut model = Model::new("127.0.0.1:8082");
    let now = Instant::now();
    model.handle_failure("connection refused", now);
    model.handle_failure("connection refused", now + Duration::from_secs(9));
    assert!(matches!(model.link, Link::Down { since, .. } if since == now));
    assert!(model.picture().deliveries.is_empty());
}

#[test]
fn a_restart_gives_no_rates_and_says_so() {
    let (mut model, now) = looked(&[look(10), look(11), look(1)]);
    assert!(model.picture().restarted);
    assert_eq!(total(&model), None);
    assert_eq!(model.picture().deliveries, [Some(1_300_000), None]);
    model.handle_stats(look(2), now + Duration::from_secs(1));
    assert_eq!(total(&model), Some(1_200.0));
    // Told for its first minute.
    for (uptime, told) in [(59, true), (60, false), (61, false)] {
        model.handle_stats(look(uptime), now + Duration::from_secs(uptime - 1));
        assert_eq!(model.picture().restarted, told, "{uptime}");
    }
}

#[test]
fn a_restart_while_nobody_looked_is_seen_by_an_uptime_that_is_too_short() {
    let passed = Duration::from_secs(100);
    let tolerated = MONITOR_TIMEOUT + passed / 100;
    let at_the_bound = 10 + (passed - tolerated).as_secs();
    for (uptime, restarted) in [(at_the_bound, false), (at_the_bound - 1, true)] {
        let (mut model, now) = looked(&[look(10)]);
        model.handle_stats(look(uptime), now + passed);
        assert_eq!(model.picture().restarted, restarted, "{uptime}");
    }
}

#[test]
fn a_paused_picture_stays_and_looks_go_on_behind_it() {
    let (mut model, now) = looked(&[look(10), look(11)]);
    press(&mut model, KeyCode::Char('p'));
    model.handle_stats(look(12), now + Duration::from_secs(1));
    let uptime = |model: &Model| model.picture().stats.as_ref().map(|stats| stats.uptime_ms);
    assert_eq!(uptime(&model), Some(11_000));
    assert_eq!(model.picture().deliveries.len(), 1);
    press(&mut model, KeyCode::Char('p'));
    assert_eq!(uptime(&model), Some(12_000));
    assert_eq!(model.picture().deliveries.len(), 2);
}

#[test]
fn the_curve_forgets_the_oldest_past_its_bound() {
    let looks: Vec<_> = (0..=MONITOR_SAMPLES_MAX as u64).map(look).collect();
    let (mut model, now) = looked(&looks);
    assert_eq!(model.picture().deliveries.len(), MONITOR_SAMPLES_MAX);
    model.handle_failure("gone", now);
    assert_eq!(model.picture().deliveries.len(), MONITOR_SAMPLES_MAX);
    assert_eq!(model.picture().deliveries.back(), Some(&None));
}

#[test]
fn keys_that_quit() {
    let (mut model, _) = looked(&[look(10)]);
    assert_eq!(press(&mut model, KeyCode::Char('q')), Flow::Quit);
    assert_eq!(press(&mut model, KeyCode::Esc), Flow::Quit);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.handle_key(control_c), Flow::Quit);
    // Esc only leaves the help.
    press(&mut model, KeyCode::Char('?'));
    assert_eq!(press(&mut model, KeyCode::Esc), Flow::Continue);
    assert!(!model.help);
}

#[test]
fn keys_lead_to_views_and_back() {
    let (mut model, _) = looked(&[look(10)]);
    for (key, view) in [
        ('v', View::Vhosts),
        ('c', View::Channels),
        ('h', View::Headroom),
    ] {
        press(&mut model, KeyCode::Char('?'));
        press(&mut model, KeyCode::Char(key));
        assert_eq!((model.view, model.help), (view, false));
    }
    press(&mut model, KeyCode::Char('h'));
    assert_eq!(model.view, View::Overview);
}

#[test]
fn sorting_goes_round() {
    let mut model = Model::new("127.0.0.1:8082");
    for order in [Order::Busiest, Order::Largest, Order::Name, Order::Usual] {
        press(&mut model, KeyCode::Char('s'));
        assert_eq!(model.order, order);
    }
}

#[test]
fn a_list_is_scrolled_to_its_last_row_and_no_further() {
    let (mut model, _) = looked(&[look(10)]);
    press(&mut model, KeyCode::Down);
    assert_eq!(model.scroll, 0, "the overview has no long list");
    press(&mut model, KeyCode::Char('c'));
    press(&mut model, KeyCode::Up);
    assert_eq!(model.scroll, 0);
    for scroll in [10, 11, 11] {
        press(&mut model, KeyCode::PageDown);
        assert_eq!(model.scroll, scroll);
    }
    press(&mut model, KeyCode::Up);
    assert_eq!(model.scroll, 10);
    // Another view begins at its top.
    press(&mut model, KeyCode::Char('v'));
    assert_eq!(model.scroll, 0);
}

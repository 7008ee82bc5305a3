//! `webrocket.example.toml` against the table.

use std::collections::BTreeSet;

use super::{load, vhost};
use crate::cli::config::Settings;
use crate::cli::config::table::{Place, SETTINGS};

const EXAMPLE: &str = include_str!("../../../../webrocket.example.toml");

#[test]
fn the_example_has_every_setting_with_its_default() {
    let example = load(EXAMPLE, &[], &[]).expect("valid");
    assert!(example == Settings::default());
    for setting in SETTINGS {
        // Those that have no default of their own stand there as a comment.
        let line = format!("\n{} = ", setting.name());
        let comment = format!("\n#{} = ", setting.name());
        let without = [
            "node.name",
            "node.shards",
            "listen.websocket_tls",
            "listen.backend_tls",
            "tls.certificates",
            "tls.keys",
            "tls.backend_ca",
        ];
        let has_default = !without.contains(&setting.key);
        let (there, other) = if has_default {
            (&line, &comment)
        } else {
            (&comment, &line)
        };
        assert!(EXAMPLE.contains(there), "{}", setting.key);
        assert!(has_default || !EXAMPLE.contains(other), "{}", setting.key);
    }
}

#[test]
fn all_that_the_example_shows_is_valid() {
    let shown = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest,
        _ => line,
    });
    let shown = shown.collect::<Vec<_>>().join("\n");
    let settings = load(&shown, &[], &[]).expect("valid");
    assert_eq!(settings.node_name.as_deref(), Some("node-1"));
    assert_eq!(settings.shards, Some(4));
    let quota = &settings.quotas.vhosts[&vhost("/shop")];
    let default = &settings.quotas.default;
    for setting in SETTINGS {
        if let Place::Vhost(_, show) = setting.place {
            assert_ne!(show(quota), show(default), "{}", setting.key);
        }
    }
}

#[test]
fn the_example_tells_how_each_setting_takes_effect() {
    // The text above a setting ends with its marker; settings that stand
    // together share it.
    let mut marker = None;
    let mut told = BTreeSet::new();
    let mut section = String::new();
    for line in EXAMPLE.lines() {
        if let Some(prose) = line.strip_prefix("# ") {
            let ends = |mark: &str| prose.trim_end().ends_with(mark);
            marker = ends("[reload]").then_some(true);
            marker = marker.or_else(|| ends("[restart]").then_some(false));
        } else if let Some((name, _)) = line.trim_start_matches('#').split_once(" = ") {
            let key = format!("{section}.{name}");
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
                assert_eq!(marker, Some(setting.reloads), "{key}");
                told.insert(setting.key);
            }
        } else if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
    }
    assert_eq!(told.len(), SETTINGS.len());
}

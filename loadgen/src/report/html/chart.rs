//! Line charts as SVG.

use maud::{Markup, html};

use crate::limits::CHART_POINTS_MAX;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 708.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 216.0;

/// Lines over one axis. Places on the x axis run from 0 to 1.
pub(crate) struct Chart<'a> {
    /// What it shows, above it and for who can't see it.
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) x_ticks: Vec<(f64, String)>,
    /// Shaded, from and to, with a name.
    pub(crate) bands: Vec<(f64, f64, String)>,
    pub(crate) lines: Vec<Line<'a>>,
    pub(crate) scale: Scale,
    /// A value of the y axis in words.
    pub(crate) format: fn(f64) -> String,
}

/// Ascending places, and values; a gap where there is none.
pub(crate) type Points = Vec<(f64, Option<f64>)>;

/// At most three in a chart.
pub(crate) struct Line<'a> {
    pub(crate) label: &'a str,
    pub(crate) points: Points,
}

/// The y axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0 up.
    Linear,
    /// In decades.
    Logarithmic,
}

impl Chart<'_> {
    /// Nothing where there is nothing to draw.
    pub(crate) fn render(&self) -> Markup {
        let values = || {
            let points = self.lines.iter().flat_map(|line| &line.points);
            points.filter_map(|(_, value)| *value)
        };
        let most = values().fold(0.0, f64::max);
        if most <= 0.0 {
            return html! {};
        }
        let least = values().filter(|it| *it > 0.0).fold(most, f64::min);
        let axis = Axis::new(self.scale, least, most);
        html! {
            figure {
                figcaption { (self.title) }
                div.wide { svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.title) {
                    @for (from, to, name) in &self.bands {
                        rect.band x=(place(*from)) y=(TOP) width=(number(x(*to) - x(*from)))
                            height=(BOTTOM - TOP) {}
                        @if to - from > 0.08 {
                            text x=(number(x(*from) + 4.0)) y=(TOP + 12.0) { (name) }
                        }
                    }
                    @for value in axis.ticks() {
                        line.grid x1=(LEFT) x2=(RIGHT) y1=(number(axis.y(value)))
                            y2=(number(axis.y(value))) {}
                        text x=(LEFT - 6.0) y=(number(axis.y(value) + 4.0)) text-anchor="end" {
                            ((self.format)(value))
                        }
                    }
                    @for (at, label) in &self.x_ticks {
                        text x=(place(*at)) y=(BOTTOM + 16.0) text-anchor="middle" { (label) }
                    }
                    text x=(number(f64::midpoint(LEFT, RIGHT))) y=(HEIGHT - 8.0) text-anchor="middle" {
                        (self.x_label)
                    }
                    @for (at, line) in self.lines.iter().enumerate() {
                        path class={ "c" (at + 1) } d=(line.path(&axis)) {}
                    }
                } }
                div.legend {
                    @for (at, line) in self.lines.iter().enumerate() {
                        span { i class={ "k" (at + 1) } {} (line.label) }
                    }
                }
            }
        }
    }
}

impl Line<'_> {
    fn path(&self, axis: &Axis) -> String {
        let mut path = String::new();
        let mut is_down = false;
        for (at, value) in thin(&self.points) {
            match value {
                None => is_down = false,
                Some(value) => {
                    let command = if is_down { 'L' } else { 'M' };
                    path.push(command);
                    path.push_str(&format!("{} {}", place(at), number(axis.y(value))));
                    is_down = true;
                }
            }
        }
        // A point alone is a short stroke.
        if path.matches('L').count() == 0 && !path.is_empty() {
            path.push_str("h2");
        }
        path
    }
}

/// The greatest of neighbours stands for them, so that no peak is lost.
fn thin(points: &[(f64, Option<f64>)]) -> Points {
    let neighbours = points.len().div_ceil(CHART_POINTS_MAX).max(1);
    let groups = points.chunks(neighbours);
    groups
        .filter_map(|group| {
            let greatest = group
                .iter()
                .filter_map(|(_, value)| *value)
                .reduce(f64::max);
            Some((group.first()?.0, greatest))
        })
        .collect()
}

struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
}

impl Axis {
    fn new(scale: Scale, least: f64, most: f64) -> Self {
        match scale {
            Scale::Linear => Self {
                scale,
                least: 0.0,
                most: most * 1.05,
            },
            Scale::Logarithmic => Self {
                scale,
                least: 10_f64.powf(least.log10().floor()),
                most: 10_f64.powf(most.log10().ceil()).max(least * 10.0),
            },
        }
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => value / self.most,
            Scale::Logarithmic => {
                let range = (self.most / self.least).log10();
                (value.max(self.least) / self.least).log10() / range
            }
        };
        BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = nice(self.most / 4.0);
                let count = (self.most / step).floor() as u32;
                (0..=count).map(|at| f64::from(at) * step).collect()
            }
            Scale::Logarithmic => {
                let decades = (self.most / self.least).log10().round() as i32;
                (0..=decades)
                    .map(|at| self.least * 10_f64.powi(at))
                    .collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let digits = [1.0, 2.0, 5.0].into_iter().find(|it| it * power >= step);
    digits.unwrap_or(10.0) * power
}

fn x(at: f64) -> f64 {
    LEFT + at.clamp(0.0, 1.0) * (RIGHT - LEFT)
}

fn place(at: f64) -> String {
    number(x(at))
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Points, scale: Scale) -> String {
        let chart = Chart {
            title: "A <title>",
            x_label: "x",
            x_ticks: vec![(0.0, "0".to_owned())],
            bands: vec![(0.2, 0.6, "band".to_owned())],
            lines: vec![Line {
                label: "line",
                points,
            }],
            scale,
            format: |value| format!("{value:.0}"),
        };
        chart.render().into_string()
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(chart(vec![], Scale::Linear), "");
        assert_eq!(
            chart(vec![(0.5, None), (0.6, Some(0.0))], Scale::Logarithmic),
            ""
        );
    }

    #[test]
    fn titles_are_escaped_and_gaps_are_gaps() {
        let points = vec![(0.0, Some(1.0)), (0.5, None), (1.0, Some(9.0))];
        let text = chart(points, Scale::Linear);
        assert!(text.contains("A &lt;title&gt;"), "{text}");
        assert_eq!(text.matches('M').count(), 2, "{text}");
    }

    #[test]
    fn points_at_the_bound_and_past_it_keep_their_peak() {
        let line = |count: usize| -> Vec<(f64, Option<f64>)> {
            (0..count)
                .map(|at| {
                    (
                        at as f64 / count as f64,
                        Some(if at == 7 { 99.0 } else { 1.0 }),
                    )
                })
                .collect()
        };
        assert_eq!(thin(&line(CHART_POINTS_MAX)).len(), CHART_POINTS_MAX);
        let thinned = thin(&line(CHART_POINTS_MAX * 100 + 1));
        assert!(thinned.len() <= CHART_POINTS_MAX);
        assert!(thinned.iter().any(|(_, value)| *value == Some(99.0)));
    }

    #[test]
    fn decades_and_steps() {
        let ticks = Axis::new(Scale::Logarithmic, 3.0, 4200.0).ticks();
        let ticks: Vec<f64> = ticks.iter().map(|it| it.round()).collect();
        assert_eq!(ticks, [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(nice(0.3), 0.5);
        assert_eq!(nice(18.0), 20.0);
        assert_eq!(nice(70.0), 100.0);
    }
}

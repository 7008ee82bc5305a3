//! A strict reader of the Prometheus text format 0.0.4: it takes nothing that
//! the format or Prometheus' naming conventions do not allow.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of a page.
#[derive(Debug)]
pub(crate) struct Page {
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
    families: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page; panics at whatever is wrong with it.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let mut page = Self {
            samples: BTreeMap::new(),
            families: BTreeMap::new(),
        };
        let mut helped = BTreeSet::new();
        let mut family = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.trim().is_empty(), "{line}");
                assert!(helped.insert(name.to_owned()), "helped twice: {line}");
                family = None;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(helped.contains(name), "no help before {line}");
                check_family(name, kind);
                let known = page.families.insert(name.to_owned(), kind.to_owned());
                assert!(known.is_none(), "typed twice: {line}");
                family = Some((name.to_owned(), kind.to_owned()));
            } else {
                let (name, kind) = family.as_ref().expect("a type before its samples");
                page.sample(line, name, kind);
            }
        }
        page.check_histograms();
        page
    }

    fn sample(&mut self, line: &str, family: &str, kind: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = match series.split_once('{') {
            None => (series, BTreeMap::new()),
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect("a brace"))),
        };
        let suffixes: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let suffix = name.strip_prefix(family);
        assert!(
            suffix.is_some_and(|it| suffixes.contains(&it)),
            "{line} in {family}"
        );
        let value: f64 = value.parse().expect("a number");
        assert!(value.is_finite(), "{line}");
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        let known = self.samples.insert((name.to_owned(), labels), value);
        assert!(known.is_none(), "twice: {line}");
    }

    /// Buckets grow, the last one is `+Inf` and is the count.
    fn check_histograms(&self) {
        let kinds = self.families.iter();
        for (family, _) in kinds.filter(|(_, kind)| *kind == "histogram") {
            let (bucket, count) = (format!("{family}_bucket"), format!("{family}_count"));
            let mut series: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
            for ((name, labels), value) in &self.samples {
                if *name == bucket {
                    let mut rest = labels.clone();
                    let bound = rest.remove("le").expect("a bound");
                    let bound = bound.replace("+Inf", "inf").parse().expect("a bound");
                    series.entry(rest).or_default().push((bound, *value));
                }
            }
            assert!(!series.is_empty(), "{family} has no buckets");
            for (labels, mut buckets) in series {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
                let last = buckets.last().expect("a bucket");
                assert!(last.0.is_infinite(), "{family} has no +Inf");
                assert_eq!(self.samples[&(count.clone(), labels.clone())], last.1);
                assert!(
                    self.samples
                        .contains_key(&(format!("{family}_sum"), labels))
                );
            }
        }
    }

    /// The sum of all samples of this name that have all these labels.
    pub(crate) fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        let has_all = |labels: &BTreeMap<String, String>| {
            let has = |(key, value): &(&str, &str)| labels.get(*key).is_some_and(|it| it == value);
            wanted.iter().all(has)
        };
        let matching = self
            .samples
            .iter()
            .filter(|((n, labels), _)| n == name && has_all(labels));
        let values: Vec<f64> = matching.map(|(_, value)| *value).collect();
        assert!(
            !values.is_empty() || self.families.contains_key(name),
            "no {name} {wanted:?}"
        );
        values.iter().sum()
    }

    /// The values of a label among the samples of this name.
    pub(crate) fn values(&self, name: &str, label: &str) -> BTreeSet<String> {
        let named = self.samples.keys().filter(|(n, _)| n == name);
        named
            .filter_map(|(_, labels)| labels.get(label).cloned())
            .collect()
    }
}

/// What `promtool check metrics` asks of names.
fn check_family(name: &str, kind: &str) {
    check_name(name);
    match kind {
        "counter" => assert!(name.ends_with("_total"), "counter {name}"),
        "gauge" | "histogram" => assert!(!name.ends_with("_total"), "{kind} {name}"),
        _ => panic!("{name} is a {kind}"),
    }
    for reserved in ["_bucket", "_sum", "_count"] {
        assert!(!name.ends_with(reserved), "{name}");
    }
    let words: Vec<&str> = name.split('_').collect();
    for unit in [
        "ms",
        "us",
        "milliseconds",
        "microseconds",
        "minutes",
        "kb",
        "kib",
        "percent",
    ] {
        assert!(!words.contains(&unit), "{name}: base units only");
    }
}

fn check_name(name: &str) {
    let mut letters = name.chars();
    let first = letters.next().expect("a name");
    assert!(first.is_ascii_lowercase(), "{name}");
    assert!(
        letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_'),
        "{name}"
    );
}

/// `a="b",c="d"`, with the format's three escapes.
fn labels(mut text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once("=\"").expect("a label");
        check_name(key);
        let mut value = String::new();
        let mut letters = rest.char_indices();
        let end = loop {
            match letters.next().expect("an end of the label") {
                (at, '"') => break at + 1,
                (_, '\\') => match letters.next().expect("an escape").1 {
                    'n' => value.push('\n'),
                    plain @ ('\\' | '"') => value.push(plain),
                    other => panic!("unknown escape {other:?}"),
                },
                (_, letter) => value.push(letter),
            }
        };
        assert!(
            labels.insert(key.to_owned(), value).is_none(),
            "label twice"
        );
        text = &rest[end..];
        if let Some(next) = text.strip_prefix(',') {
            assert!(!next.is_empty(), "a comma at the end");
            text = next;
        } else {
            assert!(text.is_empty(), "{text}");
        }
    }
    labels
}

#[test]
fn reads_what_is_right() {
    let page = Page::parse(concat!(
        "# HELP a_total A.\n# TYPE a_total counter\n",
        "a_total{x=\"1\",y=\"q\\\"\\\\\\n\"} 3\na_total{x=\"2\"} 4.5\n",
        "# HELP h_seconds H.\n# TYPE h_seconds histogram\n",
        "h_seconds_bucket{le=\"0.1\"} 1\nh_seconds_bucket{le=\"+Inf\"} 2\n",
        "h_seconds_sum 0.3\nh_seconds_count 2\n",
    ));
    assert_eq!(page.sum("a_total", &[]), 7.5);
    assert_eq!(page.sum("a_total", &[("y", "q\"\\\n")]), 3.0);
    assert_eq!(page.values("a_total", "x").len(), 2);
}

#[test]
fn refuses_what_is_wrong() {
    let histogram = "# HELP h H.\n# TYPE h histogram\n";
    for wrong in [
        "# HELP a A.\n# TYPE a gauge\na 1".to_owned(),
        "a 1\n".to_owned(),
        "# TYPE a gauge\na 1\n".to_owned(),
        "# HELP a A.\n# TYPE a counter\na 1\n".to_owned(),
        "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n".to_owned(),
        "# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n".to_owned(),
        "# HELP a A.\n# TYPE a gauge\nb 1\n".to_owned(),
        "# HELP a A.\n# TYPE a gauge\na 1\na 1\n".to_owned(),
        "# HELP a A.\n# TYPE a gauge\na one\n".to_owned(),
        "# HELP a A.\n# TYPE a gauge\na NaN\n".to_owned(),
        "# HELP a A.\n# TYPE a gauge\na{x=\"1\",} 1\n".to_owned(),
        "# HELP a A.\n# TYPE a gauge\na{x=\"1\",x=\"1\"} 1\n".to_owned(),
        "# HELP a A.\n# TYPE a gauge\na{x=\"\\t\"} 1\n".to_owned(),
        format!("{histogram}h_bucket{{le=\"1\"}} 1\nh_sum 1\nh_count 1\n"),
        format!("{histogram}h_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 2\n"),
        format!(
            "{histogram}h_bucket{{le=\"1\"}} 2\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\n"
        ),
    ] {
        let refused = std::panic::catch_unwind(|| Page::parse(&wrong));
        assert!(refused.is_err(), "{wrong}");
    }
}

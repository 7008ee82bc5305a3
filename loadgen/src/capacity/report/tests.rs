use super::super::usl::Point;
use super::*;

fn step(clients: u32, rate_per_s: f64, holds: bool) -> Step {
    let deliveries_per_s = rate_per_s * 100.0;
    Step {
        clients,
        rate_per_s,
        is_confirmation: true,
        holds,
        assertions: Vec::new(),
        deliveries_per_s,
        // 1 % idle, 1 us a second and client, 4 us a delivery.
        broker_cpu_percent: Some(1.0 + f64::from(clients) * 1e-4 + deliveries_per_s * 4e-4),
        broker_resident_bytes: Some(1_000_000 + 500 * u64::from(clients)),
        kernel_bytes_per_client: Some(7000.0),
        delivered_bytes_per_s: deliveries_per_s * 180.0,
        generator_cpu_percent: 10.0,
        binding: if holds {
            Binding::None
        } else {
            Binding::Latency
        },
    }
}

pub(in crate::capacity) fn edge(clients: u32, rate: f64) -> Edge {
    let steps = [step(clients, rate, true), step(clients, rate * 1.25, false)];
    Edge::new(clients, rate, Some(rate * 1.25), &steps)
}

#[test]
fn an_edge_tells_what_holds_and_what_gives() {
    let edge = edge(1000, 80.0);
    assert_eq!(edge.rate_per_s, Some(80.0));
    assert_eq!(edge.deliveries_per_s, 8000.0);
    assert_eq!(edge.fails_at_per_s, Some(100.0));
    assert_eq!(edge.binding, Binding::Latency);
    assert_eq!(edge.safe_rate_per_s.map(f64::round), Some(56.0));
    assert!(edge.is_confirmed);
    let none = Edge::none(1000, &[step(1000, 1.0, false)]);
    assert_eq!((none.rate_per_s, none.is_confirmed), (None, false));
}

#[test]
fn machines_at_the_bound_and_past_it() {
    let edges = [edge(1000, 100.0), edge(5000, 50.0)];
    let machines = |clients, rate_per_s| {
        let plan = TargetPlan::new(
            Target {
                clients,
                rate_per_s,
            },
            &edges,
        );
        (
            plan.machines,
            plan.machines_with_one_to_lose,
            plan.by_clients,
        )
    };
    assert_eq!(machines(1, 0.1), (Some(1), Some(2), Some(1000)));
    assert_eq!(machines(5000, 35.0), (Some(1), Some(2), Some(5000)));
    assert_eq!(machines(5001, 35.0), (Some(2), Some(3), Some(5000)));
    // 70 a second are safe with 1,000 clients, 35 with 5,000.
    assert_eq!(machines(1000, 140.0), (Some(2), Some(3), Some(1000)));
    assert_eq!(machines(1000, 141.0), (Some(3), Some(4), Some(1000)));
    let unconfirmed = Edge::unconfirmed(1000, 100.0, &[step(1000, 100.0, true)]);
    let target = Target {
        clients: 1,
        rate_per_s: 1.0,
    };
    assert_eq!(TargetPlan::new(target, &[unconfirmed]).machines, None);
}

#[test]
fn costs_are_those_of_the_steps() {
    let steps: Vec<Step> = [
        (1000, 10.0),
        (1000, 90.0),
        (2000, 40.0),
        (5000, 20.0),
        (5000, 60.0),
    ]
    .into_iter()
    .map(|(clients, rate)| step(clients, rate, true))
    .collect();
    let cost = Cost::of(&steps).expect("seen");
    let near = |estimate: Option<Estimate>, value: f64| {
        let found = estimate.expect("fitted").value;
        assert!((found / value - 1.0).abs() < 1e-6, "{found} for {value}");
    };
    near(cost.cpu_us_per_delivery, 4.0);
    near(cost.cpu_us_per_client_s, 1.0);
    near(cost.bytes_per_client, 500.0);
    let far = cost.memory_at_twice_the_clients.expect("fitted");
    assert_eq!((far.clients, far.is_extrapolated), (10_000, true));
    assert!((far.bytes.value - 6e6).abs() < 1.0);
    assert!(Cost::of(&[]).is_none());
    let one = Cost::of(&steps[..1]).expect("seen");
    assert!(one.cpu_us_per_delivery.is_none());
}

pub(in crate::capacity) fn report() -> CapacityReport {
    let steps = vec![step(1000, 10.0, true), step(2000, 40.0, true)];
    let edges = vec![
        edge(1000, 12_345.6),
        edge(100_000, 80.0),
        Edge::none(16_000_000, &[step(16_000_000, 1.0, false)]),
    ];
    let target = Target {
        clients: 1_000_000,
        rate_per_s: 500.0,
    };
    let loopback = [127, 0, 0, 1].into();
    let mut edges = edges;
    for edge in &mut edges {
        edge.limits = limits::on_rate(edge, 2, loopback);
    }
    let points =
        [(1, 1e6), (2, 1.9e6), (4, 3.4e6), (4, 3.5e6)].map(|(shards, deliveries_per_s)| Point {
            shards,
            deliveries_per_s,
        });
    CapacityReport {
        limits: limits::on_clients(1000, 2, 1, Some(4096.0)),
        scaling: Usl::of(&points, 2),
        host: None,
        schema: SCHEMA,
        slo: "p99<50ms,loss=0".to_owned(),
        shards: 2,
        cost: Cost::of(&steps),
        target: Some(TargetPlan::new(target, &edges)),
        edges,
        steps,
        stopped: Some("interrupted".to_owned()),
    }
}

#[test]
fn the_table_fits_80_columns_and_marks_what_is_not_measured() {
    let mut report = report();
    for part in [
        "12345.6",
        "not even the lowest",
        "too few different runs",
        "STOPPED",
    ] {
        assert!(report.to_string().contains(part), "{part}: {report}");
    }
    let steps = [(1000, 10.0), (1000, 90.0), (2000, 40.0), (5000, 20.0)];
    let steps: Vec<Step> = steps
        .map(|(clients, rate)| step(clients, rate, true))
        .into();
    report.cost = Cost::of(&steps);
    report.take_nodes(5);
    let text = report.to_string();
    for part in [
        "EXTRAPOLATED",
        "5 nodes, 4 surviving: 4000 clients",
        "sigma",
        "more shards than cores",
        "local ports",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn nodes_that_survive_carry_the_safe_rate_each() {
    let mut report = report();
    report.take_nodes(3);
    let cluster = report.edges[1].cluster.expect("a rate");
    assert_eq!((cluster.surviving, cluster.clients), (2, 200_000));
    assert_eq!(cluster.rate_per_s.round(), 2.0 * 56.0);
    assert!(report.edges[2].cluster.is_none());
    report.take_nodes(2);
    assert_eq!(report.edges[1].cluster.map(|it| it.surviving), Some(1));
}

#[test]
fn the_page_tells_first_what_holds_and_what_gives() {
    let mut report = report();
    report.take_nodes(3);
    let page = report.to_html();
    let h1 = page.split("</h1>").next().expect("a heading");
    assert!(h1.contains("100,000 clients"), "{h1}");
    for part in [
        "extrapolated",
        "gives first",
        "1 of 3 nodes lost",
        "Growth over shards",
        "local ports",
        "EXTRAPOLATED",
    ] {
        let found = page.to_lowercase().contains(&part.to_lowercase());
        assert!(found, "{part}: {page}");
    }
    assert!(!page.contains("<script"));
    assert!(!page.contains("http://") && !page.contains("https://"));
}

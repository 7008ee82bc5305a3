use super::look;
use crate::cli::monitor::latency::{Bound, Latency};
use crate::cli::monitor::rates::{Rates, VhostRates, gained};
use crate::control::stats::Bucket;

#[test]
fn rates_are_differences_over_the_uptime_between() {
    // Whatever the time between the two looks.
    for later in [11, 12, 70] {
        let rates = Rates::between(&look(10), &look(later)).expect("time passed");
        assert_eq!(rates.shards[0].deliveries, 600_000.0);
        assert_eq!(rates.shards[1].deliveries, 700_000.0);
        assert_eq!(rates.total.deliveries, 1_300_000.0);
        assert_eq!(rates.total.broadcasts, 1_200.0);
        assert_eq!(rates.total.triggers, 24.0);
        assert_eq!(rates.total.received, 2_400_000.0);
        assert_eq!(rates.total.sent, 340_000_000.0);
        assert_eq!(rates.total.evicted, 1.0);
        assert_eq!(rates.total.joined(), Some(4.0));
        assert!((rates.shards[1].busy - 0.83).abs() < 1e-9);
        let demo = VhostRates {
            broadcasts: 1_000.0,
            deliveries: 1_000_000.0,
            triggers: 20.0,
        };
        assert_eq!(rates.vhosts[0], Some(demo));
        assert_eq!(rates.channels[1], Some(380.0));
    }
}

#[test]
fn part_of_a_second_is_a_part() {
    let mut later = look(11);
    later.uptime_ms = 10_500;
    let rates = Rates::between(&look(10), &later).expect("time passed");
    assert_eq!(rates.total.broadcasts, 2_400.0);
}

#[test]
fn no_rates_without_time_between() {
    assert_eq!(Rates::between(&look(10), &look(10)), None);
    let mut later = look(11);
    later.uptime_ms = 10_000;
    assert_eq!(Rates::between(&look(10), &later), None);
}

#[test]
fn no_rates_across_a_restart_or_between_two_nodes() {
    assert_eq!(Rates::between(&look(10), &look(9)), None);
    let mut other = look(11);
    other.node = "other-node".into();
    assert_eq!(Rates::between(&look(10), &other), None);
}

#[test]
fn counters_that_pass_their_end_or_begin_anew() {
    for (earlier, later, expected) in [
        (0, 0, 0),
        (5, 7, 2),
        // Past the end.
        (u64::MAX - 5, 10, 16),
        (u64::MAX, 0, 1),
        (u64::MAX - 1, u64::MAX, 1),
        // No longer the same: never negative, never astronomic.
        (1_000, 10, 0),
        (1_000, 999, 0),
        (1, 0, 0),
        (u64::MAX / 2, 3, 0),
    ] {
        assert_eq!(gained(earlier, later), expected, "{earlier} {later}");
    }
}

#[test]
fn a_vhost_deleted_and_made_again_has_no_negative_rate() {
    let mut later = look(12);
    later.vhosts[0].deliveries = 500;
    let rates = Rates::between(&look(10), &later).expect("time passed");
    assert_eq!(rates.vhosts[0].map(|rates| rates.deliveries), Some(0.0));
    assert_eq!(
        rates.vhosts[1].map(|rates| rates.deliveries),
        Some(20_000.0)
    );
}

#[test]
fn what_the_earlier_look_did_not_know_has_no_rate() {
    let mut earlier = look(10);
    earlier.vhosts.remove(0);
    earlier.top_channels.remove(0);
    // The same channel of another vhost is another channel.
    earlier.top_channels[0].vhost = "/shop/eu".into();
    let rates = Rates::between(&earlier, &look(11)).expect("time passed");
    assert_eq!(rates.vhosts[0], None);
    assert_eq!(rates.vhosts[1].map(|rates| rates.broadcasts), Some(20.0));
    assert_eq!(rates.channels[..3], [None, None, Some(360.0)]);
}

#[test]
fn no_deliveries_join_nothing() {
    let mut quiet = look(10);
    quiet.uptime_ms += 1_000;
    let rates = Rates::between(&look(10), &quiet).expect("time passed");
    assert_eq!(rates.total.joined(), None);
    assert_eq!(rates.latency.percentile(0.5), None);
}

fn buckets(counts: &[(Option<u64>, u64)]) -> Vec<Bucket> {
    let bucket = |(le_us, count): &(Option<u64>, u64)| Bucket {
        le_us: *le_us,
        count: *count,
    };
    counts.iter().map(bucket).collect()
}

#[test]
fn percentiles_are_the_bounds_of_their_buckets() {
    let earlier = buckets(&[(Some(10), 7), (Some(100), 7), (Some(1_000), 7), (None, 7)]);
    let later = buckets(&[
        (Some(10), 57),
        (Some(100), 47),
        (Some(1_000), 16),
        (None, 8),
    ]);
    let latency = Latency::between(&earlier, &later);
    assert_eq!(latency.count(), 100);
    // At the edge of a bucket and past it.
    for (share, bound) in [
        (0.0, Bound::AtMost(10)),
        (0.5, Bound::AtMost(10)),
        (0.501, Bound::AtMost(100)),
        (0.9, Bound::AtMost(100)),
        (0.99, Bound::AtMost(1_000)),
        (0.999, Bound::Over(1_000)),
        (1.0, Bound::Over(1_000)),
    ] {
        assert_eq!(latency.percentile(share), Some(bound), "{share}");
    }
}

#[test]
fn empty_buckets_may_be_left_out_and_buckets_may_come_in_any_order() {
    let earlier = buckets(&[(Some(100), 3)]);
    let later = buckets(&[(None, 1), (Some(100), 3), (Some(10), 1)]);
    let latency = Latency::between(&earlier, &later);
    assert_eq!(latency.percentile(0.5), Some(Bound::AtMost(10)));
    assert_eq!(latency.percentile(1.0), Some(Bound::Over(100)));
}

#[test]
fn without_buckets_nothing_is_known() {
    assert_eq!(Latency::between(&[], &[]).percentile(1.0), None);
}

use serde_json::json;
use webrocket::limits::METERED_VHOSTS_MAX;

use crate::support::Broker;
use crate::support::admin::{admin, admin_with};
use crate::{expect, open, scrape, stats};

const SERIES: &str = "webrocket_vhost_frontends";

#[test]
fn the_number_of_vhosts_with_metrics_of_their_own_is_bounded() {
    // With `/test` the bound is reached.
    let broker = Broker::start(2);
    for n in 1..METERED_VHOSTS_MAX {
        broker.add_vhost(&format!("/v{n}"));
    }
    let names = scrape(&broker).values(SERIES, "vhost");
    assert_eq!(names.len(), METERED_VHOSTS_MAX);
    assert!(!names.contains("other"));
    // Past it two share one series.
    broker.add_vhost("/past1");
    broker.add_vhost("/past2");
    let names = scrape(&broker).values(SERIES, "vhost");
    assert_eq!(names.len(), METERED_VHOSTS_MAX + 1);
    assert!(names.contains("other") && !names.contains("/past1"));
    let browsers = ["/past1", "/past2", "/past2", "/v1"].map(|it| broker.browser_on(it));
    expect(
        &broker,
        &[
            (SERIES, &[("vhost", "other")], 3),
            (SERIES, &[("vhost", "/v1")], 1),
            ("webrocket_vhosts", &[], METERED_VHOSTS_MAX as u64 + 2),
        ],
    );
    let listed = stats(&broker)["vhosts"].as_array().expect("vhosts").len();
    assert_eq!(listed, METERED_VHOSTS_MAX + 1);
    // What is counted for both is told of neither.
    for (vhost, known) in [("v1", true), ("past1", false), ("past2", false)] {
        let stats = admin(&broker, "GET", &format!("/{vhost}/stats")).json();
        for counter in ["broadcasts", "deliveries", "triggers"] {
            let told = stats["stats"].get(counter);
            assert_eq!(told, known.then_some(&json!(0)), "{vhost} {counter}");
        }
    }
    drop(browsers);
    // One that goes makes room for the next.
    broker.delete_vhost("/v1");
    broker.add_vhost("/next");
    let names = scrape(&broker).values(SERIES, "vhost");
    assert_eq!(names.len(), METERED_VHOSTS_MAX + 1);
    assert!(names.contains("/next") && !names.contains("/v1"));
    assert!(broker.stop());
}

#[test]
fn vhosts_named_like_the_open_pages_belong_to_who_has_the_cookie() {
    let broker = Broker::start(1);
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(admin(&broker, "GET", path).status, 404, "{path}");
        admin(&broker, "POST", path).expect_found(path);
        let vhost = admin(&broker, "GET", path).json();
        assert_eq!(vhost["vhost"]["path"], path);
        let page = open(&broker, path);
        assert_eq!(page.status, 200, "{page:?}");
        assert!(!page.body.contains("accessToken"), "{page:?}");
        let head = admin_with(&broker, "HEAD", path, "", "");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        // Whoever shows a cookie has to show the right one.
        let wrong = format!("X-WebRocket-Cookie: {}\r\n", "0".repeat(40));
        assert_eq!(admin_with(&broker, "GET", path, &wrong, "").status, 403);
        assert_eq!(admin_with(&broker, "POST", path, "", "").status, 403);
        assert_eq!(admin_with(&broker, "DELETE", path, "", "").status, 403);
        assert_eq!(admin(&broker, "DELETE", path).status, 202);
    }
    assert!(broker.stop());
}

#[test]
fn stats_need_the_cookie() {
    let broker = Broker::start(1);
    assert_eq!(open(&broker, "/stats.json").status, 403);
    admin(&broker, "POST", "/stats.json").expect_error(405, "method not allowed");
    assert_eq!(admin(&broker, "GET", "/stats.json").status, 200);
    assert!(broker.stop());
}

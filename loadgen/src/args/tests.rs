use clap::CommandFactory;

use super::*;
use crate::limits::{CLIENTS_MAX, DATA_BYTES_MAX, THREADS_MAX};
use crate::payload::DATA_BYTES_MIN;

fn plan(line: &str) -> Result<Plan, Mismatch> {
    parse(line).expect("valid options").options.load.plan()
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["loadgen"].into_iter().chain(line.split_ascii_whitespace()))
}

fn complaint(line: &str) -> String {
    parse(line).expect_err("wrong options").to_string()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn defaults() {
    let cli = parse("").expect("no option is required");
    assert_eq!(
        cli.options.place.url,
        "ws://127.0.0.1:8080/vhost".parse().expect("a URL")
    );
    let plan = cli.options.load.plan().expect("the defaults go together");
    assert_eq!(
        (plan.clients, plan.channels, plan.publishers()),
        (1000, 1, 1)
    );
    assert_eq!((plan.rate, plan.data_bytes, plan.threads), (100.0, 100, 1));
    assert_eq!(plan.duration, Duration::from_secs(10));
}

#[test]
fn every_number_at_its_bounds_and_past_them() {
    for (option, least, most) in [
        ("clients", 1, u64::from(CLIENTS_MAX)),
        ("channels", 1, u64::from(CLIENTS_MAX)),
        ("publishers", 1, u64::from(CLIENTS_MAX)),
        ("size", DATA_BYTES_MIN as u64, DATA_BYTES_MAX as u64),
        ("threads", 1, u64::from(THREADS_MAX)),
        ("self-host --shards", 1, SHARDS_MAX as u64),
    ] {
        for good in [least, most] {
            assert!(
                parse(&format!("--{option} {good}")).is_ok(),
                "{option} {good}"
            );
        }
        for bad in [least - 1, most + 1] {
            assert!(
                parse(&format!("--{option} {bad}")).is_err(),
                "{option} {bad}"
            );
        }
    }
}

#[test]
fn rates() {
    assert_eq!("0.5".parse(), Ok(Rate(0.5)));
    for good in ["0.001", "100000000"] {
        assert!(good.parse::<Rate>().is_ok(), "{good}");
    }
    for bad in ["0", "-1", "0.0009", "100000001", "NaN", "inf", "many"] {
        assert_eq!(bad.parse::<Rate>(), Err(RateError), "{bad}");
    }
}

#[test]
fn durations() {
    assert_eq!("500ms".parse(), Ok(Phase(Duration::from_millis(500))));
    assert_eq!("1m 30s".parse(), Ok(Phase(Duration::from_secs(90))));
    assert_eq!("0s".parse(), Ok(Phase(Duration::ZERO)));
    assert_eq!("24h".parse(), Ok(Phase(PHASE_MAX)));
    assert_eq!("24h 1ns".parse::<Phase>(), Err(PhaseError::TooLong));
    assert!(complaint("--duration 10").contains("time unit needed"));
    assert!(complaint("--drain soon").contains("--drain"));
}

#[test]
fn targets() {
    let target = |url: &str| url.parse::<Target>();
    let good = target("ws://[::1]:8080/shop/orders").expect("a URL");
    assert_eq!((good.host.as_str(), good.port), ("[::1]", 8080));
    assert_eq!(good.path.as_str(), "/shop/orders");
    let bare = target("ws://broker/a").expect("a URL");
    assert_eq!((bare.host.as_str(), bare.port), ("broker", 80));
    assert_eq!(target("ws://[::1]/a").expect("a URL").port, 80);
    for (url, error) in [
        ("wss://broker/a", TargetError::Tls),
        ("http://broker/a", TargetError::Scheme),
        ("broker:8080", TargetError::Scheme),
        ("ws:///a", TargetError::Host),
        ("ws://:8080/a", TargetError::Host),
        ("ws://broker:0/a", TargetError::Port),
        ("ws://broker:65536/a", TargetError::Port),
        ("ws://broker:/a", TargetError::Port),
        ("ws://broker:8080", TargetError::Vhost),
        ("ws://broker:8080/", TargetError::Vhost),
        ("ws://broker:8080/a?b", TargetError::Vhost),
    ] {
        assert_eq!(target(url), Err(error), "{url}");
    }
}

#[test]
fn publishers_need_clients() {
    assert!(plan("--clients 6 --channels 3 --publishers 2").is_ok());
    assert_eq!(
        plan("--clients 5 --channels 3 --publishers 2").expect_err("too few"),
        Mismatch::TooFewClients {
            channels: 3,
            publishers: 2,
            needed: 6
        }
    );
    let idle = plan("--clients 3 --channels 3 --publishers 2 --idle").expect("nobody publishes");
    assert_eq!(idle.publishers(), 0);
    assert!(plan("--clients 2 --channels 3 --idle").is_err());
}

#[test]
fn threads_need_clients() {
    assert!(plan("--clients 4 --threads 4").is_ok());
    assert!(plan("--clients 3 --threads 4").is_err());
}

#[test]
fn sequences_at_the_bound_and_past_it() {
    let rate = |seconds: u64| format!("--rate 100000 --warmup 0s --duration {seconds}s");
    assert!(plan(&rate(42_949)).is_ok());
    assert_eq!(
        plan(&rate(42_950)).expect_err("too many"),
        Mismatch::TooMany
    );
    assert!(plan(&format!("{} --publishers 2", rate(42_950))).is_ok());
}

#[test]
fn a_closed_loop_has_no_rate_and_a_bound() {
    let closed = plan("--closed-loop 3").expect("options that go together");
    assert_eq!((closed.in_flight, closed.rate), (3, 0.0));
    assert_eq!(plan("").expect("the defaults").in_flight, 0);
    let long = plan("--closed-loop 4096 --duration 1day");
    assert!(
        long.is_ok(),
        "its sequences end with the run, at the latest"
    );
    for wrong in ["0", "4097", "1 --rate 5", "1 --idle"] {
        assert!(parse(&format!("--closed-loop {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn somebody_must_be_left_to_leave() {
    assert!(plan("--clients 3 --publishers 2 --churn 1").is_ok());
    let nobody = Mismatch::NobodyToLeave { clients: 2 };
    for leaves in ["--churn 1", "--storm 1s"] {
        let all = plan(&format!("--clients 2 --publishers 2 {leaves}"));
        assert_eq!(all.expect_err("all publish"), nobody);
        assert!(plan(&format!("--clients 2 --publishers 2 --idle {leaves}")).is_ok());
    }
}

#[test]
fn a_storm_comes_while_measuring() {
    assert!(plan("--duration 2s --storm 1999ms").is_ok());
    let late = plan("--duration 2s --storm 2s").expect_err("too late");
    assert_eq!(late, Mismatch::StormTooLate);
    assert!(parse("--storm-percent 50").is_err());
    for wrong in ["0", "101"] {
        assert!(parse(&format!("--storm 1s --storm-percent {wrong}")).is_err());
    }
}

#[test]
fn triggers_at_the_bound_and_past_it() {
    let of = |rate: &str| {
        plan(&format!(
            "--trigger-rate {rate} --warmup 0s --duration 1024s"
        ))
    };
    assert!(of("262144").is_ok());
    assert_eq!(
        of("262144.1").expect_err("too many"),
        Mismatch::TooManyTriggers
    );
}

#[test]
fn somebody_must_be_left_to_trigger() {
    assert_eq!(plan("--trigger-rate 1").expect("all").triggerers(), 1000);
    let publishers = plan("--trigger-rate 1 --churn 1 --publishers 3").expect("three");
    assert_eq!(publishers.triggerers(), 3);
    let nobody = plan("--trigger-rate 1 --churn 1 --idle").expect_err("nobody");
    assert_eq!(nobody, Mismatch::NobodyToTrigger);
    assert!(parse("--replies").is_err());
}

#[test]
fn the_backend_is_one_more_sender_of_each_channel() {
    let with = plan("--channels 4 --publishers 2 --backend-rate 5").expect("options");
    assert_eq!((with.senders_per_channel(), with.senders()), (3, 12));
    let without = plan("--channels 4 --publishers 2 --workers 1").expect("options");
    assert_eq!(without.senders(), 8);
    let many = plan("--backend-rate 100000 --warmup 0s --duration 42950s");
    assert_eq!(many.expect_err("too many"), Mismatch::TooMany);
}

#[test]
fn a_load_is_told_in_options_and_understood() {
    for line in [
        "",
        "--closed-loop 3 --publishers 2 --threads 2 --size 200",
        "--rate 0.5 --connect-rate 12.5 --warmup 1m5s --duration 1h --drain 1ms --idle",
        "--channel-kind presence --channels 20 --first-channel 7 --churn 5 --storm 1s --storm-percent 7",
        "--workers 2 --trigger-rate 5 --replies --backend-rate 3 --backend-clients 4",
        "--channel-churn 2 --token-rate 9 --slow-clients 3 --slow-bytes-per-s 100",
        "--source-ips 127.0.0.1,127.0.0.2",
    ] {
        let load = parse(line).expect(line).options.load;
        let told = load.to_options();
        let words = ["loadgen".to_owned()].into_iter().chain(told.clone());
        let understood =
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{told:?}: {error}"));
        assert_eq!(understood.options.load, load, "{line}");
    }
}

#[test]
fn members_at_the_bound_and_past_it() {
    let of = |clients: u32| format!("--clients {clients} --channel-kind presence --threads 2");
    assert!(plan(&of(4096)).is_ok());
    let said = plan(&of(4097)).expect_err("one more").to_string();
    assert!(said.contains("give --channels 2 or more"), "{said}");
    assert!(plan(&format!("{} --channels 2", of(4097))).is_ok());
    assert!(plan("--clients 4097 --threads 2 --channel-kind private").is_ok());
}

#[test]
fn slow_clients_count_against_the_bound() {
    let most = CLIENTS_MAX - 1000;
    let plan_of = |slow: u32| plan(&format!("--slow-clients {slow} --threads 2"));
    assert_eq!(plan_of(most).expect("all fit").population(), CLIENTS_MAX);
    assert_eq!(
        plan_of(most + 1).expect_err("one more"),
        Mismatch::TooManyClients
    );
    assert!(parse("--slow-bytes-per-s 5").is_err());
}

#[test]
fn the_last_of_two_wins() {
    let plan = plan("--clients 3 --threads 2 --clients 5").expect("options that go together");
    assert_eq!(plan.clients, 5);
}

#[test]
fn options_that_exclude_each_other() {
    assert!(parse("--self-host --shards 2").is_ok());
    assert!(parse("--shards 2").is_err());
    assert!(parse("--self-host --url ws://broker/a").is_err());
    let token = "0123456789".repeat(4);
    assert!(parse(&format!("--backend wr://{token}@broker/a")).is_ok());
    assert!(parse(&format!("--self-host --backend wr://{token}@broker/a")).is_err());
    assert!(complaint("--backend broker").contains("wr://TOKEN@host:port/vhost"));
}

#[test]
fn a_parent_can_start_its_broker() {
    let cli = parse("self-hosted-broker 2").expect("a role");
    let Some(Role::SelfHostedBroker { shards }) = cli.role else {
        panic!("no role");
    };
    assert_eq!(shards, 2);
    let help = Cli::command().render_long_help().to_string();
    assert!(!help.contains("self-hosted-broker"));
}

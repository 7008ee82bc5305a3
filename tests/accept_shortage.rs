//! A listener that runs out of descriptors pauses, says so, and goes on by
//! itself. Method: the test starts itself anew with a small descriptor limit,
//! so that it disturbs no other, and fills the table with open files.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use webrocket::limits::ACCEPT_PAUSE_MIN;
use webrocket::net::{Driver, Event, Recv, Socket, bind_all};

const IN_CHILD: &str = "WEBROCKET_TEST_IN_CHILD";
const EMFILE: i32 = 24;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn accepting_pauses_without_descriptors_and_goes_on() {
    if std::env::var_os(IN_CHILD).is_some() {
        return run_out_of_descriptors();
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("own path"))
        .args([
            "--exact",
            "accepting_pauses_without_descriptors_and_goes_on",
        ])
        .env(IN_CHILD, "1")
        .output()
        .expect("started");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn run_out_of_descriptors() {
    let mut driver = Driver::new().expect("io_uring");
    let any_port = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let listener = bind_all(any_port, 1).expect("bound").remove(0);
    let addr = listener.local_addr().expect("bound");
    driver.listen(listener, 3).expect("room");
    let mut client = TcpStream::connect(addr).expect("connected");

    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    let mut failures = 0;
    let mut first = None;
    while failures < 4 {
        for event in poll(&mut driver) {
            let Event::AcceptFailed { listener, error } = event else {
                panic!("unexpected: {event:?}");
            };
            assert_eq!(listener, 3);
            assert_eq!(error.raw_os_error(), Some(EMFILE));
            failures += 1;
            first.get_or_insert_with(Instant::now);
        }
    }
    // Pauses of 10, 20 and 40 ms lay between the four: no spin. The first is
    // seen a little after its pause began, hence one pause of tolerance.
    let pauses = 7 * ACCEPT_PAUSE_MIN;
    let elapsed = first.expect("failed").elapsed();
    assert!(elapsed >= pauses - ACCEPT_PAUSE_MIN, "{elapsed:?}");

    drop(files);
    let socket = accepted(&mut driver);
    client.write_all(b"in after all").expect("written");
    let mut buffer = [0; 64];
    let count = loop {
        match socket.recv(&mut buffer) {
            Recv::Bytes(count) => break count,
            Recv::Empty => {}
            other => panic!("unexpected: {other:?}"),
        }
    };
    assert_eq!(&buffer[..count], b"in after all");
    drop(socket);
    assert_eq!(client.read(&mut buffer).expect("the end"), 0);
    // The next one needs no pause.
    let _client = TcpStream::connect(addr).expect("connected");
    accepted(&mut driver);
}

fn accepted(driver: &mut Driver) -> Socket {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for event in poll(driver) {
            if let Event::Accepted { socket, .. } = event {
                return socket;
            }
        }
    }
    panic!("accepting never went on");
}

fn poll(driver: &mut Driver) -> Vec<Event> {
    let mut events = Vec::new();
    driver.poll(Some(PATIENCE), &mut events).expect("polled");
    events
}

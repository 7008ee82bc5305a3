//! What systemd is told, at a socket in its place.

mod support;

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;
use support::PATIENCE;
use support::serve::Host;

/// With the time that the drain may take by default, and five seconds to end.
const STOPPING: &str = "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\n";

struct Systemd {
    socket: UnixDatagram,
}

impl Systemd {
    fn watch(host: &mut Host) -> Self {
        let path = host.dir().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        host.set("NOTIFY_SOCKET", path.to_str().expect("text"));
        Self { socket }
    }

    /// The next message but for those of the watchdog.
    fn hear(&self) -> String {
        loop {
            let message = self.hear_any();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    fn hear_any(&self) -> String {
        let mut message = [0; 256];
        let count = self.socket.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..count]).into_owned()
    }
}

#[test]
fn ready_reload_and_stop() {
    let mut host = Host::new();
    let systemd = Systemd::watch(&mut host);
    let node = host.start(&[]);
    assert_eq!(systemd.hear(), "READY=1\n");
    drop(TcpStream::connect(node.websocket_addr()).expect("listens"));
    for text in ["[limits]\nsubscriptions = 9", "no TOML"] {
        host.configure(text);
        node.signal(Signal::HUP);
        // With the time, so that systemd can tell it from an older one.
        let reloading = systemd.hear();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let time = time.expect("reloading").trim_end();
        assert!(time.parse::<u64>().is_ok(), "{time}");
        assert_eq!(systemd.hear(), "READY=1\n");
    }
    node.signal(Signal::TERM);
    assert_eq!(systemd.hear(), STOPPING);
    assert_eq!(node.end().0, 0);
}

#[test]
fn the_watchdog_is_fed_while_the_shards_answer() {
    let mut host = Host::new();
    let systemd = Systemd::watch(&mut host);
    host.set("WATCHDOG_USEC", "400000");
    let node = host.start(&["--shards", "3"]);
    assert_eq!(systemd.hear_any(), "READY=1\n");
    for _ in 0..5 {
        assert_eq!(systemd.hear_any(), "WATCHDOG=1\n");
    }
    node.signal(Signal::TERM);
    assert_eq!(systemd.hear(), STOPPING);
    assert_eq!(node.end().0, 0);
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let mut host = Host::new();
    let systemd = Systemd::watch(&mut host);
    host.set("WATCHDOG_USEC", "1000");
    host.set("WATCHDOG_PID", "1");
    let node = host.start(&[]);
    assert_eq!(systemd.hear_any(), "READY=1\n");
    node.signal(Signal::TERM);
    assert_eq!(systemd.hear_any(), STOPPING);
    assert_eq!(node.end().0, 0);
}

#[test]
fn nobody_who_listens_is_no_failure() {
    let mut host = Host::new();
    host.set("NOTIFY_SOCKET", "/nowhere/notify");
    let mut node = host.start(&[]);
    node.expect_log(&["WARN", "systemd not notified"]);
    node.signal(Signal::TERM);
    assert_eq!(node.end().0, 0);
}

#[test]
fn the_unit_starts_what_there_is() {
    let unit = include_str!("../tuning/webrocket.service");
    let values = |key: &str| -> Vec<&str> {
        let lines = unit.lines();
        lines.filter_map(|line| line.strip_prefix(key)).collect()
    };
    let mut host = Host::new();
    for variable in values("Environment=") {
        let (name, value) = variable.split_once('=').expect("a value");
        host.set(name, value);
    }
    for command in ["ExecStartPre=", "ExecStart="] {
        let [command] = values(command)[..] else {
            panic!("no {command} or more than one");
        };
        let flags = command.strip_prefix("/usr/local/bin/webrocket serve");
        let flags = flags.expect("the program").split_whitespace();
        let check = flags
            .clone()
            .all(|flag| flag != "--check")
            .then_some("--check");
        let flags: Vec<&str> = flags.chain(check).collect();
        let output = host.run(&flags);
        assert!(output.status.success(), "{flags:?}: {output:?}");
    }
    assert_eq!(values("Type="), ["notify"]);
    assert_eq!(values("RestartPreventExitStatus="), ["2"]);
}

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::thread;

use super::unshare_descriptors;
use crate::sys::EventFd;

/// On a thread of its own: a test may run on the main thread.
fn on_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(run).join().expect("no panic"))
}

/// What the calling thread has open, but for the look itself.
fn open() -> BTreeMap<RawFd, String> {
    let entries = fs::read_dir("/proc/thread-self/fd").expect("/proc");
    let all = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let number = path.file_name().and_then(|name| name.to_str());
        let fd = number.and_then(|name| name.parse().ok()).expect("a number");
        (fd, fs::read_link(path).expect("a link"))
    });
    let all = all.map(|(fd, link)| (fd, link.display().to_string()));
    all.filter(|(_, link)| !link.ends_with("/fd")).collect()
}

#[test]
fn only_streams_events_and_what_is_adopted_stay_open() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (file, event) = (File::open("/dev/null"), EventFd::new().expect("event"));
    let file = file.expect("open");
    let number = listener.as_raw_fd();
    let (owned, left) = on_thread(|| {
        let owned = unshare_descriptors(&[number]).expect("a table").remove(0);
        (owned.as_raw_fd(), open())
    });
    assert_eq!(owned, number);
    assert!(left.contains_key(&event.as_raw_fd()));
    assert!(left[&number].starts_with("socket:"), "{left:?}");
    assert!(left.len() > 2, "{left:?}");
    for (fd, link) in &left {
        let stays = *fd <= 2 || *fd == number || link == "anon_inode:[eventfd]";
        assert!(stays, "{fd} {link}");
    }
    assert!(open().contains_key(&file.as_raw_fd()), "only over there");
}

#[test]
fn an_eventfd_is_rung_from_a_table_of_its_own() {
    let event = EventFd::new().expect("event");
    on_thread(|| {
        unshare_descriptors(&[]).expect("a table");
        event.notify();
    });
    let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", event.as_raw_fd()));
    let info = info.expect("fdinfo");
    let count = info
        .lines()
        .find_map(|it| it.strip_prefix("eventfd-count:"));
    assert_eq!(count.map(str::trim), Some("1"), "{info}");
}

#[test]
fn an_adopted_listener_is_gone_with_its_last_copy() {
    let original = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (addr, number) = (original.local_addr(), original.as_raw_fd());
    let addr = addr.expect("bound");
    let copy = |original: TcpListener| {
        let (took, taken) = std::sync::mpsc::channel();
        let copy = thread::spawn(move || {
            let copy = unshare_descriptors(&[number]).expect("a table").remove(0);
            took.send(()).expect("heard");
            let listener = TcpListener::from(copy);
            listener.accept().expect("accepted from the copy");
            drop(listener);
            TcpStream::connect(addr).map(drop)
        });
        taken.recv().expect("taken");
        drop(original);
        copy
    };
    let copy = copy(original);
    TcpStream::connect(addr).expect("the copy listens");
    let refused = copy.join().expect("no panic").expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_thread_takes_one_table() {
    let second = on_thread(|| {
        unshare_descriptors(&[]).expect("a table");
        unshare_descriptors(&[])
    });
    assert_eq!(second.expect_err("one").kind(), ErrorKind::AlreadyExists);
}

#[test]
fn adopts_what_is_open_and_once() {
    let refused = |numbers: [RawFd; 2]| -> io::Result<Vec<OwnedFd>> {
        on_thread(move || unshare_descriptors(&numbers))
    };
    let file = File::open("/dev/null").expect("open");
    let fd = file.as_raw_fd();
    let error = refused([fd, fd]).expect_err("twice");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = refused([fd, RawFd::MAX]).expect_err("not open");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn signals_from_outside_are_left_to_others() {
    let status = on_thread(|| {
        unshare_descriptors(&[]).expect("a table");
        fs::read_to_string("/proc/thread-self/status").expect("/proc")
    });
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = u64::from_str_radix(blocked.expect("SigBlk").trim(), 16).expect("hex");
    let blocks = |signal: libc::c_int| blocked & (1 << (signal - 1)) != 0;
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPROF] {
        assert!(blocks(signal), "{signal}");
    }
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        assert!(!blocks(signal), "{signal}");
    }
}

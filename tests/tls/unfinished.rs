//! What is kept of records that are not whole counts as messages do
//! (docs/decisions/0021), and is let go before the connection is.

use std::io::Write;

use webrocket::meter::Refused;

use crate::authority::{Files, broker_granting};
use crate::handshakes::{hello, send};
use crate::peer::{Secured, browser, refused, websocket_addr};
use crate::support::{Broker, Browser, eventually, unhurried};
use webrocket::server::TlsFiles;

const BOUND: u64 = 20_000;
const PIECE: usize = 10_000;

fn expect_kept(broker: &Broker, bytes: usize) {
    let meters = broker.node().meters();
    eventually(|| {
        let kept = meters.iter().map(|meter| meter.unfinished_bytes.value());
        kept.sum::<u64>() == bytes as u64
    });
}

/// A text message that is masked with zeros, up to so many bytes of it.
fn message(len: usize, bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&(len as u16).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.resize(bytes.min(frame.len() + len), b'x');
    frame
}

/// As records, not sent.
fn records(browser: &mut Browser<Secured>, bytes: &[u8]) -> Vec<u8> {
    let stream = browser.socket.get_mut();
    stream.conn.writer().write_all(bytes).expect("taken");
    let mut records = Vec::new();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut records).expect("made");
    }
    records
}

fn send_raw(browser: &mut Browser<Secured>, bytes: &[u8]) {
    browser
        .socket
        .get_mut()
        .sock
        .write_all(bytes)
        .expect("sent");
}

#[test]
fn records_and_messages_over_tls_count_together() {
    let files = Files::new();
    let (chain, key) = files.certify("localhost", &["localhost"]);
    let tls = TlsFiles {
        certificates: vec![chain],
        keys: vec![key],
        backend_authorities: None,
    };
    let mut quotas = unhurried();
    quotas.unfinished_bytes_max = BOUND;
    let broker = broker_granting(1, tls, quotas);
    let browser = || browser(&broker, &files.authority);

    // A handshake that stops.
    let half = send(websocket_addr(&broker), &hello(&files)[..40]);
    expect_kept(&broker, 40);
    drop(half);
    expect_kept(&broker, 0);

    // Half a record, and the rest of it.
    let mut whole = browser();
    let sent = records(&mut whole, &message(PIECE, usize::MAX));
    send_raw(&mut whole, &sent[..300]);
    expect_kept(&broker, 300);
    send_raw(&mut whole, &sent[300..]);
    whole.expect_error(400);
    expect_kept(&broker, 0);

    // Half a message in a whole record takes half of the bound.
    let mut half = browser();
    let sent = records(&mut half, &message(2 * PIECE, PIECE));
    send_raw(&mut half, &sent);
    expect_kept(&broker, PIECE);

    let told = (1013, "unfinished message, and no room for it".to_owned());
    let mut more = browser();
    let sent = records(&mut more, &message(2 * PIECE, PIECE + 1));
    send_raw(&mut more, &sent);
    assert_eq!(more.expect_close(), told);
    // A record of which nothing can be opened yet. It is told through the records.
    let mut cut = browser();
    let sent = records(&mut cut, &message(15_000, usize::MAX));
    send_raw(&mut cut, &sent[..PIECE + 1]);
    assert_eq!(cut.expect_close(), told);
    assert_eq!(refused(&broker, Refused::UnfinishedBytes), 2);
    // Both are still there to take their last word.
    expect_kept(&broker, PIECE);
    drop((whole, half, more, cut));
    expect_kept(&broker, 0);
    assert!(broker.stop());
}

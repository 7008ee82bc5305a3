//! A small WebSocket server that mistreats its clients as a script says, built
//! on another implementation of RFC 6455 than the load generator's.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::thread;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// What becomes of one broadcast at one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Deliver,
    Lose,
    Twice,
    /// Delivered after the next one, or never.
    AfterNext,
    Damage,
    /// An `:error` of this code comes first.
    AfterError(u16),
    /// Closed with this code instead.
    Close(u16),
    /// The connection ends instead, without a word.
    Vanish,
}

/// How a client is let in.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    Open,
    /// HTTP with this status instead of an upgrade.
    Status(u16),
    /// No upgrade and no HTTP.
    Babble,
    /// `:error` of this code instead of `:subscribed`.
    Refuse(u16),
    /// Closed with this code instead of `:subscribed`.
    Close(u16),
}

/// Receivers and clients are counted from 0, in the order in which they subscribe
/// and connect; broadcasts in the order in which they come.
#[derive(Clone, Copy)]
pub struct Script {
    pub door: fn(client: usize) -> Door,
    pub fate: fn(receiver: usize, broadcast: usize) -> Fate,
}

pub const FAITHFUL: Script = Script {
    door: |_| Door::Open,
    fate: |_, _| Fate::Deliver,
};

#[derive(Default)]
struct Hub {
    receivers: Vec<Receiver>,
    clients: usize,
    broadcasts: usize,
}

struct Receiver {
    channel: String,
    frames: UnboundedSender<Frame>,
    held: Option<Message>,
}

enum Frame {
    Message(Message),
    Vanish,
}

/// Serves until the test ends; gives the address.
pub fn serve(script: Script) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("non-blocking");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let hub = Arc::new(Mutex::new(Hub::default()));
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(attend(stream, Arc::clone(&hub), script));
            }
        });
    });
    addr
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("an address")
}

async fn attend(mut stream: TcpStream, hub: Arc<Mutex<Hub>>, script: Script) {
    let client = {
        let mut hub = hub.lock().expect("whole");
        hub.clients += 1;
        hub.clients - 1
    };
    let door = (script.door)(client);
    let refusal = match door {
        Door::Status(status) => format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"),
        Door::Babble => "220 mail.example ESMTP\r\n".to_owned(),
        Door::Open | Door::Refuse(_) | Door::Close(_) => String::new(),
    };
    if !refusal.is_empty() {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(refusal.as_bytes()).await;
        return;
    }
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let (frames, queue) = unbounded_channel();
    say(&frames, &json!({":connected": {"sid": "s"}}));
    let (sink, mut source) = socket.split();
    let mut pouring = pin!(pour(queue, sink));
    let mut poured = false;
    loop {
        let text = tokio::select! {
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
            vanishes = &mut pouring, if !poured => {
                if vanishes {
                    return;
                }
                poured = true;
                continue;
            }
        };
        let request: Value = serde_json::from_str(&text).expect("JSON");
        let mut hub = hub.lock().expect("whole");
        if let Some(channel) = request["subscribe"]["channel"].as_str() {
            match door {
                Door::Refuse(code) => say(&frames, &error(code)),
                Door::Close(code) => send(&frames, close(code)),
                _ => hub.subscribe(channel, &frames),
            }
        } else {
            hub.broadcast(&request["broadcast"], script);
        }
    }
}

/// Until a close frame is sent or nobody is there; tells whether the
/// connection is to vanish.
async fn pour<S>(mut queue: UnboundedReceiver<Frame>, mut sink: S) -> bool
where
    S: SinkExt<Message> + Unpin,
{
    while let Some(Frame::Message(message)) = queue.recv().await {
        let closes = message.is_close();
        if sink.send(message).await.is_err() || closes {
            return false;
        }
    }
    true
}

impl Hub {
    fn subscribe(&mut self, channel: &str, frames: &UnboundedSender<Frame>) {
        say(frames, &json!({":subscribed": {"channel": channel}}));
        self.receivers.push(Receiver {
            channel: channel.to_owned(),
            frames: frames.clone(),
            held: None,
        });
    }

    fn broadcast(&mut self, broadcast: &Value, script: Script) {
        let number = self.broadcasts;
        self.broadcasts += 1;
        let receivers = self.receivers.iter_mut().enumerate();
        for (at, receiver) in receivers.filter(|(_, one)| one.channel == broadcast["channel"]) {
            receiver.meet((script.fate)(at, number), broadcast);
        }
    }
}

impl Receiver {
    fn meet(&mut self, fate: Fate, broadcast: &Value) {
        let mut data = broadcast["data"].clone();
        data["sid"] = "s".into();
        data["channel"] = broadcast["channel"].clone();
        if fate == Fate::Damage {
            data["l"] = "?".into();
        }
        // The parser under serde_json sorts members, so this is another order
        // than that of our broker.
        let text = json!({"load": data}).to_string();
        let message = Message::text(text);
        match fate {
            Fate::Lose => return,
            Fate::Twice => send(&self.frames, message.clone()),
            Fate::AfterError(code) => say(&self.frames, &error(code)),
            Fate::AfterNext => {
                self.held = Some(message);
                return;
            }
            Fate::Close(code) => return send(&self.frames, close(code)),
            Fate::Vanish => {
                let _ = self.frames.send(Frame::Vanish);
                return;
            }
            Fate::Deliver | Fate::Damage => {}
        }
        send(&self.frames, message);
        if let Some(held) = self.held.take() {
            send(&self.frames, held);
        }
    }
}

fn error(code: u16) -> Value {
    json!({":error": {"code": code, "status": "As scripted"}})
}

fn close(code: u16) -> Message {
    Message::Close(Some(CloseFrame {
        code: code.into(),
        reason: "as scripted".into(),
    }))
}

fn say(frames: &UnboundedSender<Frame>, event: &Value) {
    send(frames, Message::text(event.to_string()));
}

fn send(frames: &UnboundedSender<Frame>, message: Message) {
    // A client that has gone is no matter of the script.
    let _ = frames.send(Frame::Message(message));
}

//! What goes to other shards: behind the bundle that goes there too, so that it
//! arrives in the order in which it was sent.

use super::bundle::Bundles;
use super::envelope::{Delivery, Request};
use super::frames::Encoded;
use super::label::{FrameLabel, PublishLabel};
use super::{Effects, Hub};
use crate::limits::BUNDLED_FRAME_BYTES_MAX;
use crate::model::ShardId;

impl Bundles<FrameLabel> {
    /// Sends what goes to this shard before another delivery does.
    #[inline]
    pub(super) fn send(&mut self, to: ShardId, fx: &mut impl Effects) {
        if let Some(frames) = self.take(to) {
            fx.send(to, Delivery::Bundle { frames });
        }
    }
}

impl Bundles<PublishLabel> {
    /// Sends what goes to this shard before another request does.
    #[inline]
    pub(super) fn send(&mut self, to: ShardId, fx: &mut impl Effects) {
        if let Some(frames) = self.take(to) {
            fx.request(to, Request::Bundle { frames });
        }
    }
}

impl Hub {
    /// A delivery to another shard through its ring, to this one at once.
    pub(super) fn send(&mut self, to: ShardId, delivery: Delivery, fx: &mut impl Effects) {
        if to == self.id {
            self.handle_delivery(delivery, fx);
        } else {
            self.to_subscribers.send(to, fx);
            fx.send(to, delivery);
        }
    }

    /// Sends a request to another shard; false where its ring is full.
    pub(super) fn try_request(
        &mut self,
        to: ShardId,
        request: Request,
        fx: &mut impl Effects,
    ) -> bool {
        self.to_homes.send(to, fx);
        fx.try_request(to, request).is_ok()
    }

    /// Sends a request that must arrive to another shard.
    pub(super) fn request(&mut self, to: ShardId, request: Request, fx: &mut impl Effects) {
        self.to_homes.send(to, fx);
        fx.request(to, request);
    }

    /// Sends a frame to its channel's home on another shard; false where the ring is full.
    pub(super) fn submit(
        &mut self,
        to: ShardId,
        label: PublishLabel,
        frame: &mut Encoded<'_>,
        fx: &mut impl Effects,
    ) -> bool {
        if frame.bytes().len() > BUNDLED_FRAME_BYTES_MAX {
            let frame = frame.share(&mut self.frames);
            return self.try_request(to, label.with(frame), fx);
        }
        // A bundle has its place in the ring from its first frame on: who was told
        // that there is room can't be refused any more.
        let bundles = &mut self.to_homes;
        if !bundles.is_open(to) && !fx.has_room(to) {
            return false;
        }
        if bundles.add(to, label, frame.bytes()) {
            bundles.send(to, fx);
        }
        true
    }

    /// Sends what was put together for other shards, before their rings are flushed;
    /// tells whether there was anything.
    pub fn send_bundles(&mut self, fx: &mut impl Effects) -> bool {
        let mut sent = false;
        while let Some((to, frames)) = self.to_subscribers.take_any() {
            fx.send(to, Delivery::Bundle { frames });
            sent = true;
        }
        while let Some((to, frames)) = self.to_homes.take_any() {
            fx.request(to, Request::Bundle { frames });
            sent = true;
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::bundle;
    use super::super::envelope::Receipt;
    use super::super::tests::{Port, conn};
    use super::*;
    use crate::limits::BUNDLE_BYTES_MAX;
    use crate::meter::Moment;
    use crate::model::{ChannelId, Peer};

    struct Sender {
        hub: Hub,
        port: Port,
    }

    impl Sender {
        fn with_room_for(requests: usize) -> Self {
            let mut port = Port::default();
            port.requests_max = requests;
            let hub = Hub::new(0, 3, Arc::default());
            Self { hub, port }
        }

        fn submit(&mut self, to: ShardId, frame: &[u8]) -> bool {
            let label = label(to.into());
            let frame = &mut Encoded::Here(frame);
            self.hub.submit(to, label, frame, &mut self.port)
        }

        fn leave(&mut self, to: ShardId) -> bool {
            let leave = Request::Leave {
                channel: ChannelId(1),
                from: peer(),
                confirm: false,
                data: None,
            };
            self.hub.try_request(to, leave, &mut self.port)
        }

        /// To whom went what: the lengths of a bundle's frames, or nothing.
        fn sent(&self) -> Vec<(ShardId, Vec<usize>)> {
            let lengths = |request: &Request| match request {
                Request::Bundle { frames } => {
                    let frames = bundle::frames::<PublishLabel>(frames);
                    let frames = frames.inspect(|(it, _)| assert_eq!(*it, label(it.channel.0)));
                    frames.map(|(_, frame)| frame.len()).collect()
                }
                _ => Vec::new(),
            };
            let requests = self.port.requests.iter();
            requests.map(|(to, it)| (*to, lengths(it))).collect()
        }
    }

    fn peer() -> Peer {
        Peer {
            shard: 0,
            conn: conn(5),
        }
    }

    fn label(channel: u64) -> PublishLabel {
        PublishLabel {
            channel: ChannelId(channel),
            accepted: Moment::default(),
            receipt: Receipt::Answer(peer(), 9),
        }
    }

    #[test]
    fn small_frames_leave_together_at_the_end_of_the_turn() {
        let mut sender = Sender::with_room_for(2);
        for (to, frame) in [(1, &b"a"[..]), (2, b"bb"), (1, b"ccc")] {
            assert!(sender.submit(to, frame));
        }
        assert_eq!(sender.sent(), []);
        assert!(sender.hub.send_bundles(&mut sender.port));
        let mut sent = sender.sent();
        sent.sort();
        assert_eq!(sent, [(1, vec![1, 3]), (2, vec![2])]);
        assert!(!sender.hub.send_bundles(&mut sender.port));
    }

    #[test]
    fn who_was_let_into_a_bundle_is_not_refused_and_nobody_past_the_room_is_let_in() {
        let mut sender = Sender::with_room_for(1);
        assert!(sender.submit(1, b"first"));
        // It has the only place; others may share it.
        assert!(sender.submit(1, b"second"));
        assert!(!sender.leave(1), "the bundle took the place");
        assert_eq!(sender.sent(), [(1, vec![5, 6])]);
        assert!(!sender.submit(1, b"third"));
        assert!(!sender.hub.send_bundles(&mut sender.port));
    }

    #[test]
    fn nothing_overtakes_a_bundle() {
        let long = [b'x'; BUNDLED_FRAME_BYTES_MAX + 1];
        let mut sender = Sender::with_room_for(9);
        assert!(sender.submit(1, &long[1..]));
        assert!(sender.submit(1, &long));
        assert!(sender.submit(2, b"other"));
        assert!(sender.submit(1, b"a"));
        assert!(sender.leave(1));
        let sent = [
            (1, vec![BUNDLED_FRAME_BYTES_MAX]),
            (1, vec![]),
            (1, vec![1]),
            (1, vec![]),
        ];
        assert_eq!(sender.sent(), sent);
    }

    #[test]
    fn a_full_bundle_leaves_at_once() {
        let mut sender = Sender::with_room_for(1);
        let frame = [b'x'; BUNDLED_FRAME_BYTES_MAX];
        for _ in 0..BUNDLE_BYTES_MAX / BUNDLED_FRAME_BYTES_MAX - 1 {
            assert!(sender.submit(1, &frame));
        }
        assert_eq!(sender.sent(), []);
        assert!(sender.submit(1, &frame));
        assert_eq!(sender.sent().len(), 1);
        assert!(!sender.submit(1, &frame), "the ring is full");
    }
}

use crate::limits::{DEFLATE_BYTES_MAX, DEFLATE_BYTES_MIN, DEFLATE_FIXED_BYTES};
use crate::wire::deflate::{Deflater, PARAMS_COUNT, Params};

/// Bytes of the longest frame that may be deflated: its header is 10 at the most.
const DEFLATED_FRAME_BYTES_MAX: usize = DEFLATE_BYTES_MAX + 10;

/// About what it takes to deflate a frame, or to find that it gets no smaller, in bytes.
pub(super) fn cost(frame_bytes: usize) -> usize {
    match frame_bytes {
        DEFLATE_BYTES_MIN..=DEFLATED_FRAME_BYTES_MAX => frame_bytes + DEFLATE_FIXED_BYTES,
        _ => 0,
    }
}

/// How many of a channel's subscribers on this shard share which parameters.
#[derive(Default)]
pub(super) struct Compressing(Vec<(Params, u32)>);

impl Compressing {
    /// One more subscriber, who may not compress at all.
    pub(super) fn add(&mut self, deflate: Option<Params>) {
        let Some(params) = deflate else { return };
        match self.0.iter_mut().find(|(known, _)| *known == params) {
            Some((_, count)) => *count += 1,
            None => self.0.push((params, 1)),
        }
    }

    /// One less.
    pub(super) fn remove(&mut self, deflate: Option<Params>) {
        let Some(params) = deflate else { return };
        if let Some(at) = self.0.iter().position(|(known, _)| *known == params) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.swap_remove(at);
            }
        }
    }

    /// What it takes to deflate a frame for all of them.
    #[inline]
    pub(super) fn cost(&self, frame_bytes: usize) -> usize {
        match self.0.len() {
            0 => 0,
            kinds => kinds * cost(frame_bytes),
        }
    }

    /// The parameters that somebody has.
    pub(super) fn iter(&self) -> impl Iterator<Item = Params> {
        self.0.iter().map(|(params, _)| *params)
    }
}

/// The shard's deflaters, each made when it is needed first.
#[derive(Default)]
pub(super) struct Deflaters([Option<Deflater>; PARAMS_COUNT]);

impl Deflaters {
    pub(super) fn of(&mut self, params: Params) -> &mut Deflater {
        self.0[params.index()].get_or_insert_with(|| Deflater::new(params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deflate::Agreement;

    #[test]
    fn counts_who_shares_parameters() {
        let params = |offer: &str| Agreement::choose(offer.as_bytes()).map(|it| it.params);
        let large = params("permessage-deflate");
        let small = params("permessage-deflate; server_max_window_bits=9");
        let mut compressing = Compressing::default();
        for deflate in [large, None, small, large] {
            compressing.add(deflate);
        }
        assert_eq!(
            compressing.iter().map(Some).collect::<Vec<_>>(),
            [large, small]
        );
        for deflate in [large, None, small] {
            compressing.remove(deflate);
        }
        assert_eq!(compressing.iter().map(Some).collect::<Vec<_>>(), [large]);
        compressing.remove(large);
        assert_eq!(compressing.iter().count(), 0);
    }
}

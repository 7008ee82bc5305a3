/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

/// Asks the core to have this in its cache shortly, and does not wait for it.
#[inline]
pub fn prefetch<T>(it: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = std::ptr::from_ref(it).cast::<i8>();
        for offset in (0..size_of::<T>()).step_by(LINE_BYTES) {
            // SAFETY: a hint, which reads nothing and faults at no address; this one
            // lies within `it`.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = it;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_nothing_however_large() {
        prefetch(&());
        let lines = [7_u8; 200];
        prefetch(&lines);
        assert_eq!(lines, [7; 200]);
    }
}

//! `mesh::wake` with the atomics of loom, which tries every interleaving of two
//! threads and every value that the memory model lets a load see.

// The code under test names `std::sync`; here that is loom's.
extern crate loom as std;

/// What of `sys` the wake-up needs: a bell that can be heard once for each ring.
pub mod sys {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Clone, Debug)]
    pub struct EventFd(Arc<AtomicUsize>);

    impl EventFd {
        #[allow(clippy::new_without_default, reason = "a model's own")]
        pub fn new() -> Self {
            Self(Arc::new(AtomicUsize::new(0)))
        }

        pub fn notify(&self) {
            self.0.fetch_add(1, Ordering::Release);
        }

        pub fn rings(&self) -> usize {
            self.0.load(Ordering::Acquire)
        }
    }
}

#[path = "../../../src/mesh/wake.rs"]
pub mod wake;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::sys::EventFd;
    use super::wake::Waker;

    /// One producer puts an envelope into a ring and wakes; the shard announces
    /// sleep and looks once more. Unless it sees the envelope it must be rung.
    #[test]
    fn no_wakeup_is_lost() {
        loom::model(|| {
            let event = EventFd::new();
            let waker = Waker::new(event.clone());
            let sleeper = waker.sleeper();
            let ring = Arc::new(AtomicUsize::new(0));
            let producer = {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    ring.store(1, Ordering::Release);
                    waker.wake();
                })
            };
            sleeper.sleep();
            let seen = ring.load(Ordering::Acquire) == 1;
            producer.join().expect("joined");
            assert!(seen || event.rings() == 1, "asleep beside a full ring");
            sleeper.awake();
        });
    }

    /// Two producers ring a sleeper once, not twice: each ring is a system call.
    #[test]
    fn one_sleep_is_ended_by_one_ring() {
        loom::model(|| {
            let event = EventFd::new();
            let waker = Waker::new(event.clone());
            let sleeper = waker.sleeper();
            sleeper.sleep();
            let producers = [waker.clone(), waker].map(|waker| thread::spawn(move || waker.wake()));
            for producer in producers {
                producer.join().expect("joined");
            }
            assert_eq!(event.rings(), 1);
            // Awake, it is rung no more.
            sleeper.awake();
            let late = sleeper.event().clone();
            assert_eq!(late.rings(), 1);
        });
    }
}

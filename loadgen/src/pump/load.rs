use std::io;
use std::time::Duration;

use webrocket::limits::OUTBOX_BYTES_MAX;

use super::life::Life;
use super::{Cpu, Pump};
use crate::client::write_message;
use crate::limits::{SENDS_PER_TURN_MAX, SLEEP_MAX};
use crate::payload::{Stamp, write_broadcast};
use crate::process::thread_cpu;
use crate::schedule::{Due, Schedule};
use crate::timeline::Timeline;

impl Pump {
    /// Warm-up, measuring and drain.
    pub(super) fn load(&mut self, timeline: &Timeline) -> io::Result<()> {
        let is_open = self.plan.in_flight == 0;
        let paced = self.publishers.iter().filter(|_| is_open);
        let mut schedule = Schedule::new(
            self.plan.pace.clone(),
            self.plan.publishers(),
            paced.map(|publisher| publisher.number).collect(),
            timeline.start_ns,
            timeline.end_ns,
        );
        let mut triggers = self.trigger_schedule(timeline);
        let mut life = Life::new(self, timeline);
        let mut has_begun = false;
        self.tally.window = timeline.measure_ns..timeline.end_ns;
        let mut meter = Meter::Before;
        let mut last_sent_ns = 0;
        loop {
            let now_ns = self.shared.now_ns();
            let end_ns = self.shared.end_ns(timeline);
            schedule.cut(end_ns);
            triggers.cut(end_ns);
            life.cut(end_ns);
            self.live(&mut life, timeline);
            self.read_slowly();
            self.cpu = meter.read(now_ns, timeline.measure_ns, end_ns);
            if now_ns >= end_ns + timeline.drain_ns {
                self.give_up(&mut schedule);
            }
            if !has_begun && now_ns >= timeline.start_ns {
                has_begun = true;
                self.open_loops();
            }
            let has_triggered = self.trigger_due(&mut triggers);
            if self.broadcast_due(&mut schedule) | self.broadcast_returned(end_ns) | has_triggered {
                last_sent_ns = now_ns;
            }
            // Late ones get as long to arrive as those in time.
            let drained_ns = last_sent_ns.max(end_ns) + timeline.drain_ns;
            if now_ns >= drained_ns {
                return self.turn(Duration::ZERO);
            }
            let next_ns = match self.has_returned() {
                true => now_ns,
                false => schedule.next_ns().unwrap_or(drained_ns),
            };
            let next_ns = next_ns.min(triggers.next_ns().unwrap_or(drained_ns));
            let next_ns = next_ns.min(self.next_life_ns(&life).unwrap_or(drained_ns));
            let sleep = Duration::from_nanos(next_ns.saturating_sub(self.shared.now_ns()));
            self.turn(sleep.min(SLEEP_MAX))?;
        }
    }

    /// A generator that is a whole drain behind stops trying.
    fn give_up(&mut self, schedule: &mut Schedule) {
        while let Some(due) = schedule.take_due(u64::MAX) {
            let counts = due.intended_ns >= self.tally.window.start;
            self.publishers[due.turn].unsent += u64::from(counts);
        }
    }

    /// What is due, however late it is. Broadcasts that one publisher sends in
    /// one turn leave in one piece. Tells whether there were any.
    fn broadcast_due(&mut self, schedule: &mut Schedule) -> bool {
        let mut taken = 0;
        let mut turns = Vec::new();
        while taken < SENDS_PER_TURN_MAX {
            let Some(due) = schedule.take_due(self.shared.now_ns()) else {
                break;
            };
            self.broadcast(due);
            turns.push(due.turn);
            taken += 1;
        }
        self.flush_publishers(&mut turns);
        taken > 0
    }

    pub(super) fn flush_publishers(&mut self, turns: &mut Vec<usize>) {
        turns.sort_unstable();
        turns.dedup();
        for &turn in turns.iter() {
            self.flush(self.publishers[turn].slot);
        }
    }

    pub(super) fn broadcast(&mut self, due: Due) {
        let publisher = &mut self.publishers[due.turn];
        let counts = due.intended_ns >= self.tally.window.start;
        let seat = &mut self.seats[publisher.slot];
        let stamp = Stamp {
            run: self.run,
            publisher: publisher.number,
            sequence: publisher.sequence,
            intended_ns: due.intended_ns,
            sent_ns: self.shared.now_ns(),
        };
        let channel = &self.channels[(publisher.number % self.plan.channels) as usize];
        self.text.clear();
        write_broadcast(&mut self.text, channel, &stamp, self.plan.data_bytes);
        self.out.clear();
        write_message(&mut self.out, &self.text);
        if seat.socket.is_none()
            || stamp.sequence == u32::MAX
            || seat
                .outbox
                .try_push(&self.out, OUTBOX_BYTES_MAX, &mut self.spare)
                .is_err()
        {
            publisher.unsent += u64::from(counts);
            return;
        }
        publisher.take_sequence(counts);
        self.shared
            .set_sequence(publisher.number, publisher.sequence);
        self.tally.recorder.handle_time(stamp.sent_ns);
        self.tally.recorder.counts().sent += 1;
        self.traffic.sent += 1;
        if counts {
            self.tally.handle_sent(&stamp);
        }
    }
}

/// Reads the thread's processor clock at both ends of the measuring.
#[derive(Clone, Copy)]
enum Meter {
    Before,
    Running { used: Duration, since_ns: u64 },
    After(Cpu),
}

impl Meter {
    fn read(&mut self, now_ns: u64, from_ns: u64, to_ns: u64) -> Cpu {
        match *self {
            Self::Before if now_ns >= from_ns => {
                *self = Self::Running {
                    used: thread_cpu(),
                    since_ns: now_ns,
                };
            }
            Self::Running { used, since_ns } if now_ns >= to_ns => {
                *self = Self::After(Cpu {
                    used: thread_cpu().saturating_sub(used),
                    passed: Duration::from_nanos(now_ns - since_ns),
                });
            }
            Self::Before | Self::Running { .. } | Self::After(_) => {}
        }
        match *self {
            Self::After(cpu) => cpu,
            Self::Before | Self::Running { .. } => Cpu::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_runs_from_one_end_to_the_other() {
        let mut meter = Meter::Before;
        assert_eq!(meter.read(9, 10, 20).passed, Duration::ZERO);
        assert_eq!(meter.read(11, 10, 20).passed, Duration::ZERO);
        assert_eq!(meter.read(19, 10, 20).passed, Duration::ZERO);
        assert_eq!(meter.read(21, 10, 20).passed, Duration::from_nanos(10));
        assert_eq!(meter.read(30, 10, 20).passed, Duration::from_nanos(10));
    }
}

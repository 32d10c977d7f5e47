//! What a receiver does with a delivery.

use wattle_contracts::message::DeliveryStop;

use super::*;

impl World {
    pub(super) fn arrive(&mut self, to: usize, sending: Sending, request: u64, from_life: u64) {
        let Sending { group, subject, floor, .. } = &sending;
        let inbox = &mut self.receivers[to].inbox;
        if inbox.begin(group, PUBLISHER, subject, *floor).is_err() {
            let stopped = Some(DeliveryStop::Busy("running".into()));
            self.answer(from_life, request, DeliveryReply { handled: 0, stopped });
            return;
        }
        self.go_on(to, Work { sending, next: 0, request, from_life });
    }

    /// Begins with the next message that is not known, if there is one.
    fn go_on(&mut self, to: usize, mut work: Work) {
        loop {
            let Some(sequence) = work.sending.sequences.get(work.next).copied() else {
                self.end(to, &work, None);
                return;
            };
            if !self.receivers[to].inbox.is_settled(&group(), PUBLISHER, sequence) {
                if !self.roads.serving.contains(&RECEIVERS[to]) {
                    self.end(to, &work, Some(DeliveryStop::NotHere));
                    return;
                }
                self.check_begin(to, &work.sending.subject, sequence);
                let (life, wait) = (self.receivers[to].life, self.some(20));
                self.after(wait, Event::Handled { to, life, work });
                return;
            }
            work.next += 1;
        }
    }

    fn check_begin(&mut self, to: usize, subject: &Subject, sequence: u64) {
        assert!(!self.remembered[to].contains(&sequence), "{sequence} is given twice to {to}");
        let before = self.given[to].insert(sequence, true);
        assert!(!before.unwrap_or(false), "{sequence} is given to {to} again");
        for before in self.published[subject].range(..sequence) {
            let ended = self.handled.contains(before) || self.parked.contains(before);
            assert!(ended, "{sequence} comes before {before}");
        }
    }

    pub(super) fn handle(&mut self, to: usize, mut work: Work) {
        let sequence = work.sending.sequences[work.next];
        if self.poison.contains(&sequence) || self.chance(6) {
            self.given[to].insert(sequence, false);
            self.end(to, &work, Some(DeliveryStop::Failed("no".into())));
            return;
        }
        self.doubles += u64::from(!self.handled.insert(sequence));
        let floor = self.receivers[to].inbox.handled(&group(), PUBLISHER, sequence);
        // Written in order, and before the answer goes out.
        let life = self.receivers[to].life;
        self.after(3, Event::Remember { to, life, sequence, floor });
        work.next += 1;
        self.go_on(to, work);
    }

    fn end(&mut self, to: usize, work: &Work, stopped: Option<DeliveryStop>) {
        let Sending { group, subject, .. } = &work.sending;
        self.receivers[to].inbox.end(group, PUBLISHER, subject);
        let handled = work.next as u32;
        self.answer(work.from_life, work.request, DeliveryReply { handled, stopped });
    }

    fn answer(&mut self, life: u64, request: u64, reply: DeliveryReply) {
        let copies = if self.chance(10) { 2 } else { u64::from(!self.chance(10)) };
        for _ in 0..copies {
            // Never before what was handled is on disk, which takes 3 ms.
            let wait = 4 + if self.chance(8) { self.some(40_000) } else { self.some(50) };
            self.after(wait, Event::Answer { life, request, reply: reply.clone() });
        }
    }
}

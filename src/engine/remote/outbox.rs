//! What one front end still has to be told, in order, while it may be slow.
//!
//! Owns the choice of what a slow reader misses: of the snapshot it gets only the newest, of progress only what is recent, and
//! it is told how much it missed. Facts are kept far longer. Does no input or output.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::command::Taken;
use super::super::event::Event;
use super::super::snapshot::Snapshot;
use super::difference::between;
use super::protocol::{Farewell, FromEngine};

/// Progress messages kept for a reader that is behind: some seconds of a busy job.
const PROGRESS_KEPT: usize = 512;
/// Facts kept for it: more than any run has phases, findings and warnings; a console suspended over night costs megabytes.
const FACTS_KEPT: usize = 16_384;
/// Events in one frame, so that the state comes between them.
const AT_ONCE: usize = 256;

#[derive(Debug, Default)]
pub struct Outbox {
    /// What the front end has.
    sent: Arc<Snapshot>,
    newest: Arc<Snapshot>,
    events: VecDeque<Event>,
    progress: usize,
    dropped: (u64, u64),
    taken: VecDeque<(u64, Taken)>,
    farewell: Option<Farewell>,
}

impl Outbox {
    /// For a front end that knows nothing yet.
    pub fn new() -> Self {
        let nothing = Arc::new(Snapshot::default());
        Self { sent: nothing.clone(), newest: nothing, ..Self::default() }
    }

    pub fn hear(&mut self, event: Event) {
        let progress = event.is_progress();
        self.progress += usize::from(progress);
        self.events.push_back(event);
        if self.progress > PROGRESS_KEPT {
            self.drop_oldest(true);
        } else if self.events.len() - self.progress > FACTS_KEPT {
            self.drop_oldest(false);
        }
    }

    fn drop_oldest(&mut self, progress: bool) {
        let Some(at) = self.events.iter().position(|e| e.is_progress() == progress) else { return };
        self.events.remove(at);
        if progress {
            self.progress -= 1;
            self.dropped.0 += 1;
        } else {
            self.dropped.1 += 1;
        }
    }

    /// The engine's own channel dropped so many before they came here; nobody knows what they were.
    pub fn missed(&mut self, events: u64) {
        self.dropped.1 += events;
    }

    pub fn show(&mut self, snapshot: Arc<Snapshot>) {
        self.newest = snapshot;
    }

    /// A command's answer goes behind everything that was said before it, and behind the state that shows it.
    pub fn answer(&mut self, id: u64, taken: Taken) {
        self.taken.push_back((id, taken));
    }

    pub fn part(&mut self, farewell: Farewell) {
        self.farewell = Some(farewell);
    }

    /// The front end does not have the newest state.
    pub fn is_behind(&self) -> bool {
        !Arc::ptr_eq(&self.sent, &self.newest)
    }

    /// What to send next; `due`: it is time for another state.
    pub fn next(&mut self, due: bool) -> Option<FromEngine> {
        if self.dropped != (0, 0) {
            let (progress, facts) = std::mem::take(&mut self.dropped);
            return Some(FromEngine::News(vec![Event::Dropped { progress, facts }]));
        }
        if !self.events.is_empty() {
            let some: Vec<Event> = self.events.drain(..self.events.len().min(AT_ONCE)).collect();
            self.progress -= some.iter().filter(|e| e.is_progress()).count();
            return Some(FromEngine::News(some));
        }
        let wanted = due || !self.taken.is_empty() || self.farewell.is_some();
        if wanted && self.is_behind() {
            let parts = between(&self.sent, &self.newest);
            self.sent = self.newest.clone();
            if !parts.is_empty() {
                return Some(FromEngine::State(parts));
            }
        }
        if let Some((id, taken)) = self.taken.pop_front() {
            return Some(FromEngine::Taken { id, taken });
        }
        self.farewell.take().map(FromEngine::Farewell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Phase;

    fn progress(done: u64) -> Event {
        Event::Progress { phase: Phase::Train, done, total: 9, unit: String::new(), message: String::new() }
    }

    fn news(frame: Option<FromEngine>) -> Vec<Event> {
        match frame {
            Some(FromEngine::News(events)) => events,
            other => panic!("no news but {other:?}"),
        }
    }

    #[test]
    fn a_slow_front_end_misses_progress_is_told_how_much_and_misses_no_fact() {
        let mut outbox = Outbox::new();
        outbox.hear(Event::PhaseStarted { phase: Phase::Train });
        for done in 0..PROGRESS_KEPT as u64 + 40 {
            outbox.hear(progress(done));
        }
        outbox.hear(Event::RunEnded { complete: true });
        assert_eq!(news(outbox.next(true)), [Event::Dropped { progress: 40, facts: 0 }]);
        let mut all = Vec::new();
        while let Some(FromEngine::News(some)) = outbox.next(true) {
            assert!(some.len() <= AT_ONCE);
            all.extend(some);
        }
        assert_eq!(all.len(), PROGRESS_KEPT + 2);
        assert_eq!((&all[0], &all[1]), (&Event::PhaseStarted { phase: Phase::Train }, &progress(40)));
        assert_eq!(all.last(), Some(&Event::RunEnded { complete: true }));
        outbox.hear(progress(1));
        assert_eq!(news(outbox.next(false)), [progress(1)], "it is counted from nothing again");
    }

    #[test]
    fn facts_are_kept_up_to_a_bound_and_their_loss_is_told_apart() {
        let mut outbox = Outbox::new();
        for _ in 0..FACTS_KEPT + 3 {
            outbox.hear(Event::RunEnded { complete: false });
        }
        outbox.missed(2);
        assert_eq!(news(outbox.next(true)), [Event::Dropped { progress: 0, facts: 5 }]);
    }

    #[test]
    fn states_that_came_in_between_are_never_sent() {
        let mut outbox = Outbox::new();
        assert!(outbox.next(true).is_none());
        let base = Snapshot::default();
        outbox.show(Arc::new(base.clone()));
        assert!(outbox.next(true).is_some(), "the first is the whole");
        for cpu in 1..5_u16 {
            let mut snapshot = base.clone();
            Arc::make_mut(&mut snapshot.memory).cpu = f32::from(cpu);
            outbox.show(Arc::new(snapshot));
        }
        assert!(outbox.next(false).is_none(), "it is not time yet");
        let Some(FromEngine::State(parts)) = outbox.next(true) else { panic!("a state") };
        let [super::super::Part::Memory(memory)] = &parts[..] else { panic!("one part: {parts:?}") };
        assert!((memory.cpu - 4.0).abs() < f32::EPSILON);
        assert!(outbox.next(true).is_none() && !outbox.is_behind());
    }

    #[test]
    fn an_answer_comes_behind_its_news_and_its_state_without_waiting_for_the_pace() {
        let mut outbox = Outbox::new();
        outbox.answer(7, Taken::default());
        outbox.hear(progress(1));
        outbox.show(Arc::new(Snapshot { complete: true, ..Snapshot::default() }));
        outbox.part(Farewell { why: "end".into(), again: false });
        let order: Vec<FromEngine> = std::iter::from_fn(|| outbox.next(false)).collect();
        assert!(
            matches!(
                order[..],
                [FromEngine::News(_), FromEngine::State(_), FromEngine::Taken { id: 7, .. }, FromEngine::Farewell(_)]
            ),
            "{order:?}"
        );
    }
}

//! The queue: requests that wait, and the one thread that answers them. Takes several requests at once, so that the scorer can
//! batch them, and gives every answer back to its own request as soon as that one is whole.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::api::Asked;
use super::metrics::Metrics;
use super::refusal::Refusal;
use super::scores::{About, Answer, Opens, Scores, Trouble};
use crate::domain::{Article, ProfileId};

/// A whole answer, or why there is none.
pub type Outcome = Result<(Vec<Answer>, About), Refusal>;

/// One request on its way.
struct Work {
    asked: Arc<Asked>,
    answer: oneshot::Sender<Outcome>,
    /// After it nobody waits any more.
    until: Instant,
    place: Place,
}

/// A place in the queue, given back however the request ends.
struct Place {
    _permit: OwnedSemaphorePermit,
    /// Scores that wait, with those of this request.
    pairs: Arc<AtomicUsize>,
    count: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pairs.fetch_sub(self.count, Ordering::SeqCst);
    }
}

impl Work {
    /// Whether somebody waits for it.
    fn wanted(&self) -> bool {
        !self.answer.is_closed() && self.until > Instant::now()
    }

    /// Whoever hears the answer finds the place free already.
    fn tell(self, outcome: Outcome) {
        drop(self.place);
        // Whoever asked may be gone.
        drop(self.answer.send(outcome));
    }
}

/// How far the scorer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    Loading,
    Ready,
    /// It could not be opened.
    Failed(Trouble),
}

/// Where requests are put.
#[derive(Debug)]
pub struct Queue {
    places: Arc<Semaphore>,
    room: usize,
    /// Scores that wait.
    pairs: Arc<AtomicUsize>,
    send: mpsc::UnboundedSender<Work>,
    pub phase: watch::Receiver<Phase>,
    pub metrics: Arc<Metrics>,
    pub draining: AtomicBool,
}

impl Queue {
    /// With the thread that answers; it ends when the queue is dropped. `batch`: pairs that are asked at once.
    pub fn open(room: usize, batch: usize, opens: Opens, metrics: Arc<Metrics>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (send, taken) = mpsc::unbounded_channel();
        let (says, phase) = watch::channel(Phase::Loading);
        let pairs = Arc::new(AtomicUsize::new(0));
        let worker = Worker { opens, taken, batch, metrics: Arc::clone(&metrics), held: None };
        let thread = std::thread::Builder::new().name("serve".into()).spawn(move || worker.run(&says))?;
        let places = Arc::new(Semaphore::new(room));
        Ok((Self { places, room, pairs, send, phase, metrics, draining: AtomicBool::new(false) }, thread))
    }

    /// Requests that wait or are answered.
    pub fn waiting(&self) -> usize {
        self.room - self.places.available_permits()
    }

    pub fn room(&self) -> usize {
        self.room
    }

    /// Takes a request, or says why not; the answer comes by the receiver.
    pub fn put(&self, asked: Arc<Asked>, until: Instant) -> Result<oneshot::Receiver<Outcome>, Refusal> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(Refusal::Draining);
        }
        match &*self.phase.borrow() {
            Phase::Loading => return Err(Refusal::Loading),
            // One that could not be opened is tried again.
            Phase::Failed(_) | Phase::Ready => {}
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.full())?;
        let (answer, comes) = oneshot::channel();
        self.pairs.fetch_add(asked.pairs.len(), Ordering::SeqCst);
        let place = Place { _permit: permit, pairs: Arc::clone(&self.pairs), count: asked.pairs.len() };
        let work = Work { asked, answer, until, place };
        self.send.send(work).map_err(|_| Refusal::Draining)?;
        Ok(comes)
    }

    fn full(&self) -> Refusal {
        let seconds = self.metrics.forecast(self.pairs.load(Ordering::SeqCst)).unwrap_or(1.0);
        // A place is free long before all is answered.
        let again_in = (seconds / self.room.max(1) as f64).ceil().clamp(1.0, 60.0) as u64;
        Refusal::Full { waiting: self.room, again_in }
    }

    /// Until nobody waits any more.
    pub async fn empty(&self) {
        // Closed is as good as empty.
        drop(self.places.acquire_many(u32::try_from(self.room).unwrap_or(u32::MAX)).await);
    }
}

struct Worker {
    opens: Opens,
    taken: mpsc::UnboundedReceiver<Work>,
    batch: usize,
    metrics: Arc<Metrics>,
    /// Taken already, and too much for the batch before.
    held: Option<Work>,
}

impl Worker {
    fn run(mut self, says: &watch::Sender<Phase>) {
        let mut scorer = None;
        loop {
            let Some(ready) = self.scorer(&mut scorer) else { return };
            match ready {
                Ok(about) => {
                    self.metrics.about(&about);
                    says.send_replace(Phase::Ready);
                }
                Err(trouble) => {
                    says.send_replace(Phase::Failed(trouble.clone()));
                    if let Some(work) = self.held.take() {
                        work.tell(Err(Refusal::Failed(trouble)));
                    }
                    // For the next one who asks it is tried again.
                    let Some(work) = self.taken.blocking_recv() else { return };
                    self.held = Some(work);
                    continue;
                }
            }
            let Some(works) = self.gather() else { return };
            if let Some(open) = &mut scorer
                && catch_unwind(AssertUnwindSafe(|| self.answer(open.as_mut(), works))).is_err()
            {
                // What it was asked was dropped, and whoever asked was told; it is opened anew.
                scorer = None;
            }
        }
    }

    /// Opens it unless it is open. `None`: nobody can ask any more.
    fn scorer(&mut self, scorer: &mut Option<Box<dyn Scores>>) -> Option<Result<About, Trouble>> {
        if self.taken.is_closed() && self.taken.is_empty() && self.held.is_none() {
            return None;
        }
        if let Some(open) = scorer {
            return Some(Ok(open.about()));
        }
        let opened = catch_unwind(AssertUnwindSafe(|| (self.opens)()));
        Some(match opened {
            Ok(Ok(mut open)) => {
                let about = open.about();
                *scorer = Some(open);
                Ok(about)
            }
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(panicked()),
        })
    }

    fn take(&mut self) -> Option<Work> {
        self.held.take().or_else(|| self.taken.blocking_recv())
    }

    /// Requests that are answered together: the next one, and those behind it that fit.
    fn gather(&mut self) -> Option<Vec<Work>> {
        let first = self.take()?;
        let mut count = first.asked.pairs.len();
        let mut works = vec![first];
        while let Ok(next) = self.taken.try_recv() {
            if count + next.asked.pairs.len() > self.batch {
                self.held = Some(next);
                break;
            }
            count += next.asked.pairs.len();
            works.push(next);
        }
        Some(works)
    }

    fn answer(&self, scorer: &mut dyn Scores, works: Vec<Work>) {
        let mut open = Vec::new();
        for work in works {
            // Nobody waits: nothing is computed.
            if !work.wanted() {
                continue;
            }
            match scorer.unknown(&work.asked.readers) {
                Ok(unknown) if unknown.is_empty() => open.push(work),
                Ok(unknown) => {
                    let names: Vec<&str> = unknown.iter().map(ProfileId::as_str).collect();
                    work.tell(Err(Refusal::UnknownReaders { names: names.join(", ") }));
                }
                Err(trouble) => work.tell(Err(Refusal::Failed(trouble))),
            }
        }
        let left = self.together(scorer, open, true);
        // One request's trouble is not the others'.
        for work in left {
            let rest = self.together(scorer, vec![work], false);
            debug_assert!(rest.is_empty(), "a request alone is always answered");
        }
    }

    /// Answers requests at once. If it fails and `several`: those that have no answer yet, to be asked one by one.
    fn together(&self, scorer: &mut dyn Scores, works: Vec<Work>, several: bool) -> Vec<Work> {
        if works.is_empty() {
            return works;
        }
        let mut batch = Batch::new(works);
        let pairs: Vec<(ProfileId, Article)> = batch.pairs();
        let about = scorer.about();
        self.metrics.about(&about);
        let told = catch_unwind(AssertUnwindSafe(|| {
            scorer.score(&pairs, &mut |answer| {
                self.metrics.answer(&answer);
                if let Some((work, answers)) = batch.put(answer) {
                    work.tell(Ok((answers, about.clone())));
                }
                // When nobody waits any more there is nothing to go on for.
                if batch.wanted() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
        }));
        let mut left = batch.left();
        left.retain(Work::wanted);
        let trouble = match told {
            Ok(Ok(())) => Trouble { what: "the scorer left this unanswered".into(), next: "Ask again.".into() },
            Ok(Err(trouble)) => trouble,
            Err(panic) => {
                for work in left {
                    work.tell(Err(Refusal::Failed(panicked())));
                }
                // The scorer is opened anew.
                std::panic::resume_unwind(panic);
            }
        };
        if several && left.len() > 1 {
            return left;
        }
        for work in left {
            work.tell(Err(Refusal::Failed(trouble.clone())));
        }
        Vec::new()
    }
}

pub fn panicked() -> Trouble {
    Trouble { what: "the scorer broke down over this".into(), next: "It is opened anew; ask again, and tell who runs it.".into() }
}

/// Requests that are answered together, and which answers they have.
struct Batch {
    works: Vec<Option<Work>>,
    answers: Vec<Vec<Option<Answer>>>,
    /// Of each pair its request and its place there.
    places: Vec<(usize, usize)>,
}

impl Batch {
    fn new(works: Vec<Work>) -> Self {
        let places = works.iter().enumerate().flat_map(|(w, work)| (0..work.asked.pairs.len()).map(move |at| (w, at))).collect();
        let answers = works.iter().map(|work| vec![None; work.asked.pairs.len()]).collect();
        Self { works: works.into_iter().map(Some).collect(), answers, places }
    }

    fn pairs(&self) -> Vec<(ProfileId, Article)> {
        self.works.iter().flatten().flat_map(|work| work.asked.pairs.iter().cloned()).collect()
    }

    /// The request that this answer makes whole.
    fn put(&mut self, answer: Answer) -> Option<(Work, Vec<Answer>)> {
        let (work, at) = *self.places.get(answer.at)?;
        *self.answers.get_mut(work)?.get_mut(at)? = Some(answer);
        if self.answers[work].iter().any(Option::is_none) {
            return None;
        }
        let whole = self.answers[work].drain(..).flatten().collect();
        Some((self.works[work].take()?, whole))
    }

    /// Whether somebody still waits.
    fn wanted(&self) -> bool {
        self.works.iter().flatten().any(Work::wanted)
    }

    fn left(self) -> Vec<Work> {
        self.works.into_iter().flatten().collect()
    }
}

//! A small world to distil in: readers, articles, a ledger, a clock that is moved, and the emulator as the provider.
//!
//! Owns what every distillation test needs and the books that must balance afterwards. Each [`World::go`] is a process of
//! its own as far as the library can tell: a new ledger connection, a new distiller, nothing remembered.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use stratos::distill::{
    Approval, Desk, DistillError, Distilled, Distiller, Pace, PairSet, PilotRule, Plan, Receipt, Scope, Step, Tools, Wanted,
    receipt, spent,
};
use stratos::domain::{
    Article, Clock, Conduct, Digest, Gate, Profile, ProfileRow, Recipe, Renderer, SystemClock, Tokens, UnixMillis, Usd,
};
use stratos::teacher::keys::{Key, KeySource};
use stratos::teacher::{NewBatch, Outgoing, PriceTable, Settings, Teacher, build};
use stratos::workspace::{Ledger, RawStore, RequestState};

use super::emulator::{Emulator, Options};

pub const RECIPE: &str = include_str!("../../data/recipes/stratos-v19.toml");
pub const PRICES: &str = include_str!("../../data/prices.toml");
const PROFILES: &str = include_str!("../../data/profiles_v19.json");
const ARTICLES: &str = include_str!("../../data/polarizing_articles_v19.json");
pub const SECRET: &str = "sk-planted-0123456789abcdef";

/// Time that passes only when somebody waits.
pub struct FakeTime {
    now: AtomicI64,
    owed: AtomicI64,
    emulator: Arc<Mutex<Emulator>>,
}

impl FakeTime {
    pub fn advance(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).expect("a short time");
        self.now.fetch_add(ms, Ordering::SeqCst);
        // The emulator's clock moves in whole seconds.
        let owed = self.owed.fetch_add(ms, Ordering::SeqCst) + ms;
        if owed >= 1000 {
            self.owed.fetch_sub(owed / 1000 * 1000, Ordering::SeqCst);
            self.emulator.lock().expect("one user").advance(Duration::from_secs(owed as u64 / 1000));
        }
    }
}

impl Clock for FakeTime {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.now.load(Ordering::SeqCst))
    }
}

impl Pace for FakeTime {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.advance(time);
        Box::pin(std::future::ready(()))
    }
}

/// Hears what a run says.
#[derive(Default)]
pub struct Ear {
    pub said: Vec<String>,
    /// Stops at this many gates.
    pub stop_after: Option<usize>,
    pub gates: usize,
}

impl Conduct for Ear {
    fn gate(&mut self) -> Gate {
        self.gates += 1;
        if self.stop_after.is_some_and(|n| self.gates > n) { Gate::Stop } else { Gate::Continue }
    }

    fn progress(&mut self, _done: u64, _total: u64, _unit: &str, _message: &str) {}

    fn warn(&mut self, text: String) {
        self.said.push(text);
    }
}

/// A future that is dropped after so many polls, as a process is that dies.
struct Dies<F> {
    inner: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Future for Dies<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.inner.as_mut().poll(context).map(Some)
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub emulator: Arc<Mutex<Emulator>>,
    pub time: FakeTime,
    pub recipe: Recipe,
    pub renderer: Renderer,
    pub profiles: Vec<Profile>,
    pub articles: Vec<Article>,
    pub settings: Settings,
    pub prices: PriceTable,
    pub pilot: PilotRule,
    pub scope: Scope,
}

struct OneDesk<'a>(&'a Settings);

impl Desk for OneDesk<'_> {
    fn teacher(&self, _provider: &str, _model: &str) -> Result<Arc<dyn Teacher>, DistillError> {
        Ok(Arc::from(build(self.0.clone()).expect("a known provider")))
    }
}

impl World {
    pub fn new(provider: &str, model: &str, articles: usize, profiles: usize, change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut options = Options::new(19, dir.path().join("provider"));
        options.key = Some(SECRET.into());
        change(&mut options);
        let emulator = Emulator::start(options);
        let key = Key::new(provider, SECRET.into(), KeySource::Environment("TEST".into())).expect("a key");
        let base = emulator.base_url();
        let settings = Settings {
            provider: provider.into(),
            model: model.into(),
            base_url: Some(if provider == "compatible" { format!("{base}/v1") } else { base }),
            key: Some(key),
            cache: true,
            concurrency: 4,
            max_batch: Some(40),
            poll: Some(Duration::from_secs(1)),
            ..Settings::default()
        };
        let emulator = Arc::new(Mutex::new(emulator));
        let now = AtomicI64::new(SystemClock.now().0);
        let recipe = Recipe::from_toml(RECIPE).expect("the shipped recipe");
        std::fs::create_dir_all(dir.path().join("raw")).expect("creates");
        Self {
            time: FakeTime { now, owed: AtomicI64::new(0), emulator: emulator.clone() },
            renderer: Renderer::new(&recipe).expect("renders"),
            profiles: some_profiles(profiles),
            articles: some_articles(articles),
            prices: PriceTable::from_toml(PRICES).expect("the shipped prices"),
            pilot: PilotRule::Never,
            scope: Scope::default(),
            dir,
            emulator,
            recipe,
            settings,
        }
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::open(&self.ledger_file()).expect("opens")
    }

    pub fn ledger_file(&self) -> PathBuf {
        self.dir.path().join("ledger.sqlite")
    }

    pub fn emulator<T>(&self, work: impl FnOnce(&mut Emulator) -> T) -> T {
        work(&mut self.emulator.lock().expect("one user"))
    }

    /// One process: runs until it ends, or dies after so many polls (`None`).
    pub fn process(&self, ear: &mut Ear, polls: usize) -> Option<Result<Step, DistillError>> {
        let teacher = build(self.settings.clone()).expect("a known provider");
        let set = PairSet::new(&self.recipe, &self.renderer, teacher.as_ref(), &self.profiles, &self.articles);
        let (mut ledger, raw) = (self.ledger(), RawStore::new(self.dir.path().join("raw")));
        let input = Digest::of("the phase's input");
        let desk = OneDesk(&self.settings);
        let mut distiller = Distiller::new(Tools {
            asking: &set,
            desk: &desk,
            recipe: &self.recipe,
            prices: &self.prices,
            ledger: &mut ledger,
            raw: &raw,
            clock: &self.time,
            pace: &self.time,
            conduct: ear,
        });
        let wanted = Wanted { input: &input, scope: &self.scope, seed: 19, pilot: self.pilot, pilot_requests: 40 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(Dies { inner: Box::pin(distiller.run(&wanted)), polls })
    }

    /// A batch of another program under the same key; its id.
    pub fn somebody_elses_batch(&self, requests: usize) -> String {
        let teacher = build(self.settings.clone()).expect("a known provider");
        let body = serde_json::json!({
            "model": self.settings.model, "max_tokens": 10, "messages": [{"role": "user", "content": "Good day"}],
        });
        let requests: Vec<Outgoing> =
            (0..requests).map(|i| Outgoing { custom_id: format!("theirs-{i}"), body: body.clone() }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let batches = teacher.batches().expect("a batch API");
        runtime.block_on(batches.submit(&NewBatch { label: "theirs", requests: &requests })).expect("made").id
    }

    pub fn go(&self) -> Result<Step, DistillError> {
        self.process(&mut Ear::default(), usize::MAX).expect("lives to its end")
    }

    /// Runs until a plan wants approval.
    pub fn plan(&self) -> Plan {
        match self.go().expect("plans") {
            Step::NeedsApproval(plan) => *plan,
            other => panic!("no plan to approve: {other:?}"),
        }
    }

    pub fn approve(&self, plan: &Plan, ceiling: Usd) {
        Approval::confirm(&mut self.ledger(), &plan.digest, ceiling, self.time.now()).expect("recorded");
    }

    /// Runs to the end, approving every plan at its worst case.
    pub fn finish(&self) {
        for _ in 0..12 {
            match self.go().unwrap_or_else(|e| panic!("{e}")) {
                Step::Done => return,
                Step::NeedsApproval(plan) => self.approve(&plan, plan.estimate.worst),
                Step::Stopped => panic!("nobody stopped it"),
            }
        }
        panic!("it plans for ever");
    }

    pub fn distilled(&self) -> Distilled {
        let teacher = build(self.settings.clone()).expect("a known provider");
        let set = PairSet::new(&self.recipe, &self.renderer, teacher.as_ref(), &self.profiles, &self.articles);
        Distilled::of(&set, &self.ledger()).expect("reads")
    }

    pub fn receipt(&self) -> Receipt {
        let ledger = self.ledger();
        receipt(&ledger, &ledger.plans().expect("reads")).expect("adds up")
    }

    /// What must hold whatever happened: no attempt billed twice, every billed answer in the ledger, every id in exactly
    /// one state, no plan above its ceiling.
    pub fn books_balance(&self) {
        let ledger = self.ledger();
        let mut billed: HashMap<String, usize> = HashMap::new();
        let bills = self.emulator(|e| e.billed());
        for bill in &bills {
            *billed.entry(bill.custom_id.clone()).or_default() += 1;
        }
        let twice: Vec<_> = billed.iter().filter(|(_, n)| **n > 1).collect();
        assert!(twice.is_empty(), "billed twice for one attempt: {twice:?}");
        let mut states: HashMap<String, Vec<RequestState>> = HashMap::new();
        for plan in ledger.plans().expect("reads") {
            for state in RequestState::ALL {
                for row in ledger.requests_in(&plan.digest, state).expect("reads") {
                    states.entry(row.request.custom_id).or_default().push(row.state);
                }
            }
            let recorded = Plan::of_row(&plan).expect("a plan");
            let cost = spent(&ledger, &plan.digest, &recorded.estimate.price).expect("adds up");
            let ceiling: Option<Usd> = all_ceilings(self, &plan.digest);
            assert!(cost <= ceiling.unwrap_or(Usd::ZERO), "plan {} cost {cost} of {ceiling:?}", plan.digest.short());
        }
        assert!(states.values().all(|s| s.len() == 1), "an id in two states");
        // What was asked one by one has no id of ours on the provider's bill.
        for id in billed.keys().filter(|id| !id.starts_with("sync-")) {
            assert!(states.contains_key(id), "{id} was billed and is not in the ledger");
        }
    }

    /// After a run to the end: nothing open, and our receipt is the provider's bill to the token.
    pub fn all_came_home(&self) {
        self.books_balance();
        let ledger = self.ledger();
        assert!(ledger.open_submissions().expect("reads").is_empty(), "something is open");
        let ours: Tokens = ledger.plans().expect("reads").iter().map(|p| ledger.usage(&p.digest).expect("reads").tokens).sum();
        let bills = self.emulator(|e| e.billed());
        let theirs = (
            bills.iter().map(|b| b.input).sum::<u64>(),
            bills.iter().map(|b| b.cache_write).sum::<u64>(),
            bills.iter().map(|b| b.cache_read).sum::<u64>(),
            bills.iter().map(|b| b.output).sum::<u64>(),
        );
        assert_eq!(
            (ours.input, ours.cache_write_5m + ours.cache_write_1h, ours.cache_read, ours.output),
            theirs,
            "bill and receipt differ"
        );
    }
}

/// The highest ceiling ever approved for a plan, void or not.
fn all_ceilings(world: &World, plan: &Digest) -> Option<Usd> {
    let db = rusqlite::Connection::open(world.ledger_file()).expect("opens");
    let mut query = db.prepare("SELECT ceiling FROM approval WHERE plan = ?1").expect("prepares");
    let rows = query.query_map([plan.as_str()], |r| r.get::<_, String>(0)).expect("reads");
    rows.map(|c| c.expect("text").parse::<Usd>().expect("an amount")).max()
}

pub fn some_profiles(n: usize) -> Vec<Profile> {
    let rows: Vec<ProfileRow> = serde_json::from_str(PROFILES).expect("shipped JSON");
    rows.into_iter().take(n).map(|r| r.into_profile().expect("sound")).collect()
}

/// The shipped articles, and as many made-up ones as are wanted beyond them.
pub fn some_articles(n: usize) -> Vec<Article> {
    let shipped: Vec<Article> = serde_json::from_str(ARTICLES).expect("shipped JSON");
    let made = (0..n.saturating_sub(shipped.len())).map(|i| {
        let json = serde_json::json!({
            "id": format!("imported-{i}"), "title": format!("Regional notice {i} about works on road {}", i * 7 % 113),
            "summary": format!("Works begin in week {} and last {} days. Residents can ask the office.", i % 52, i % 30),
            "source": "City office", "source_type": "official",
        });
        serde_json::from_value(json).expect("an article")
    });
    shipped.iter().take(n).cloned().chain(made).collect()
}

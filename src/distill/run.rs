//! The run: settle what is open, submit what is approved, bring it home, retry what was rejected. It can be killed
//! anywhere; run again, on this day or another, it goes on from what the ledger holds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::asking::{Asking, PromptBound};
use super::plan::Wanted;
use super::{Approval, DistillError, Pace, PairSet, Plan, ladder};
use crate::domain::{Clock, Conduct, Digest, Digester, Gate, Recipe, UnixMillis};
use crate::teacher::{PriceTable, Teacher};
use crate::workspace::{
    Cancel, Ledger, NewRequest, PlanRow, RawStore, RequestState, StoredTrace, SubmissionRow, SubmissionState,
};

/// Where the teachers of earlier plans come from: what was sent to a provider is brought home from that provider, whatever
/// `stratos.toml` says today.
pub trait Desk {
    fn teacher(&self, provider: &str, model: &str) -> Result<Arc<dyn Teacher>, DistillError>;
}

/// Everything a distillation needs.
pub struct Tools<'a> {
    pub asking: &'a dyn Asking,
    pub desk: &'a dyn Desk,
    pub recipe: &'a Recipe,
    pub prices: &'a PriceTable,
    pub ledger: &'a mut Ledger,
    pub raw: &'a RawStore,
    pub clock: &'a dyn Clock,
    pub pace: &'a dyn Pace,
    pub conduct: &'a mut dyn Conduct,
}

/// Stands for the provider as such among the looks; ids of submissions begin at 1.
pub(super) const PROVIDER: i64 = 0;

/// What this process knows of a batch it watches.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Look {
    /// Reads that failed in a row.
    pub failures: u32,
    /// Looks in a row at which the provider did not know it.
    pub missing: u32,
    /// Downloads that were cut.
    pub cuts: usize,
    /// Downloads that failed.
    pub fetches: u32,
    pub not_before: UnixMillis,
}

pub struct Distiller<'a> {
    pub(super) tools: Tools<'a>,
    pub(super) looks: HashMap<i64, Look>,
    /// Open submissions whose provider cannot be asked now; they hold nothing else up.
    pub(super) stuck: HashSet<i64>,
    /// Key and model were accepted, in this process.
    pub(super) checked: bool,
    /// Most requests in one batch, halved when the provider's queue is full.
    pub(super) chunk_cap: usize,
    teachers: HashMap<(String, String), Arc<dyn Teacher>>,
}

/// Where a distillation came to.
#[derive(Debug)]
pub enum Step {
    /// Nothing is sent before this plan is approved.
    NeedsApproval(Box<Plan>),
    /// Nothing is open and nothing is left to ask.
    Done,
    Stopped,
}

/// All kept traces of the pairs asked about.
#[derive(Debug)]
pub struct Distilled {
    pub traces: Vec<StoredTrace>,
    pub pairs: usize,
    /// Digest over pairs and traces.
    pub digest: Digest,
}

impl Distilled {
    pub fn of(set: &PairSet<'_>, ledger: &Ledger) -> Result<Self, DistillError> {
        let keys = set.keys();
        let mut traces = ledger.traces(&keys)?;
        traces.sort_by(|a, b| a.trace.pair.cmp(&b.trace.pair));
        let bind = |d: Digester, t: &StoredTrace| d.field(t.cache_key.as_str()).field(t.digest.as_str());
        let digest = traces.iter().fold(Digester::new(), bind).finish();
        Ok(Self { traces, pairs: keys.len(), digest })
    }
}

/// A stop or a pause is heard this often while waiting.
pub(super) const SLICE: Duration = Duration::from_millis(250);

impl<'a> Distiller<'a> {
    pub fn new(tools: Tools<'a>) -> Self {
        let chunk_cap = tools.asking.teacher().limits().requests.max(1);
        Self { tools, looks: HashMap::new(), stuck: HashSet::new(), checked: false, chunk_cap, teachers: HashMap::new() }
    }

    /// Goes as far as it can: to the end, to a plan that wants approval, or to the operator's stop.
    pub async fn run(&mut self, wanted: &Wanted<'_>) -> Result<Step, DistillError> {
        loop {
            if self.tools.conduct.gate() == Gate::Stop {
                return Ok(Step::Stopped);
            }
            self.tend().await?;
            let plan = match self.open_plan(wanted)? {
                Some(plan) => plan,
                // What was cancelled belongs into the next plan, once it is known what of it was answered.
                None => match if self.cancelling()? { None } else { self.new_plan(wanted).await? } {
                    Some(plan) => plan,
                    None if self.open()?.is_empty() => return Ok(Step::Done),
                    None => {
                        if self.wait().await == Gate::Stop {
                            return Ok(Step::Stopped);
                        }
                        continue;
                    }
                },
            };
            let Some(approval) = Approval::recorded(self.tools.ledger, &plan.digest)? else {
                return Ok(Step::NeedsApproval(Box::new(plan)));
            };
            if !self.submit_some(&plan, &approval).await? && self.wait().await == Gate::Stop {
                return Ok(Step::Stopped);
            }
        }
    }

    /// Makes the plan that is wanted, and sends nothing. `None`: there is nothing to ask.
    pub async fn plan(&mut self, wanted: &Wanted<'_>) -> Result<Option<Plan>, DistillError> {
        match self.open_plan(wanted)? {
            Some(plan) => Ok(Some(plan)),
            None => self.new_plan(wanted).await,
        }
    }

    /// Brings open batches one step further, passes cancellations on, and submits nothing.
    pub async fn tend_only(&mut self) -> Result<(), DistillError> {
        self.tend().await
    }

    async fn new_plan(&mut self, wanted: &Wanted<'_>) -> Result<Option<Plan>, DistillError> {
        let now = self.tools.clock.now();
        let teacher = self.tools.asking.teacher();
        let price = self.tools.prices.find(teacher.provider(), teacher.model(), teacher.mode(), now)?.clone();
        Plan::make(self.tools.asking, self.tools.ledger, &price, wanted, now).await
    }

    /// The current plan, if it has something to send, under way, or to retry.
    fn open_plan(&mut self, wanted: &Wanted<'_>) -> Result<Option<Plan>, DistillError> {
        let Some(row) = self.tools.ledger.plan_for(wanted.input)? else { return Ok(None) };
        let Some(plan) = Plan::of_row(&row).filter(|p| p.scope == *wanted.scope) else { return Ok(None) };
        let teacher = self.tools.asking.teacher();
        if (row.provider.as_str(), row.model.as_str()) != (teacher.provider(), teacher.model()) {
            return Ok(None);
        }
        let count = |state| self.tools.ledger.count_requests(&plan.digest, state);
        if count(RequestState::Planned)? + count(RequestState::Submitted)? > 0 || self.plan_retries(&plan)? > 0 {
            return Ok(Some(plan));
        }
        Ok(None)
    }

    /// Plans the next rung of everything that was rejected and has one, inside the same approval.
    fn plan_retries(&mut self, plan: &Plan) -> Result<usize, DistillError> {
        let asking = self.tools.asking;
        let bound = PromptBound { worst_ratio: None };
        let mut retries: Vec<NewRequest> = Vec::new();
        for row in self.tools.ledger.requests_in(&plan.digest, RequestState::Rejected)? {
            let key = &row.request.cache_key;
            let history = self.tools.ledger.history(key)?;
            let is_latest = history.last().is_some_and(|p| p.attempt == row.request.attempt);
            let next = ladder::next(&history, asking.max_output_tokens(), asking.max_attempts(), false);
            let (Some(next), true) = (next, is_latest) else { continue };
            let Some(question) = asking.question(&row.request.pair).filter(|q| asking.key(q) == *key) else { continue };
            retries.push(asking.row(&question, key.clone(), &next, &bound).0);
        }
        self.tools.ledger.add_requests(&plan.digest, &retries)?;
        if !retries.is_empty() {
            self.tell_rungs(plan, &retries);
        }
        Ok(retries.len())
    }

    /// Says what the next rungs are and what they add to the bill.
    fn tell_rungs(&mut self, plan: &Plan, retries: &[NewRequest]) {
        let mut by_rung: HashMap<&str, (usize, u64, u64)> = HashMap::new();
        for r in retries {
            let sum = by_rung.entry(r.rung.as_str()).or_default();
            *sum = (sum.0 + 1, sum.1 + r.prompt_most, sum.2 + r.max_output);
        }
        let mut rungs: Vec<_> = by_rung.into_iter().collect();
        rungs.sort_unstable();
        for (rung, (count, prompt, output)) in rungs {
            let most = plan.estimate.price.most(prompt, output, self.tools.asking.teacher().writes_cache());
            self.tools
                .conduct
                .warn(format!("{count} answers could not be used and are asked once more ({rung}), for at most {most}"));
        }
    }

    fn cancelling(&self) -> Result<bool, DistillError> {
        Ok(self.open()?.iter().any(|s| s.cancel != Cancel::No))
    }

    /// Submissions that are not finished and can be asked about.
    pub(super) fn open(&self) -> Result<Vec<SubmissionRow>, DistillError> {
        let open = self.tools.ledger.open_submissions()?;
        Ok(open.into_iter().filter(|s| !self.stuck.contains(&s.id)).collect())
    }

    /// The teacher that a plan's requests went to.
    pub(super) fn teacher_of(&mut self, plan: &PlanRow) -> Result<Arc<dyn Teacher>, DistillError> {
        let key = (plan.provider.clone(), plan.model.clone());
        if let Some(known) = self.teachers.get(&key) {
            return Ok(known.clone());
        }
        let teacher = self.tools.desk.teacher(&plan.provider, &plan.model)?;
        self.teachers.insert(key, teacher.clone());
        Ok(teacher)
    }

    /// Waits until the next look is due, in slices, so that a stop is heard.
    pub(super) async fn wait(&mut self) -> Gate {
        let mut left = self.tools.asking.teacher().limits().poll;
        while !left.is_zero() {
            let slice = left.min(SLICE);
            self.tools.pace.sleep(slice).await;
            left -= slice;
            if self.tools.conduct.gate() == Gate::Stop {
                return Gate::Stop;
            }
            let asked = |s: &SubmissionRow| s.cancel == Cancel::Asked && s.state == SubmissionState::Submitted;
            if self.open().is_ok_and(|open| open.iter().any(asked)) {
                break;
            }
        }
        Gate::Continue
    }
}

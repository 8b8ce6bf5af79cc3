//! What the server knows: batches, files, the prompt cache, the bills, its clock; and that all of it is on disk.
//! Knows no dialect. Every change is written (then renamed) before a reply says that it happened.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answers::{Ask, Fate, draw, fate, hex, share};
use super::records::{Batch, Draft, End, Line, Outcome, Phase, StoredFile};
use super::{BatchInfo, Bill, Finish, Options, Provider};

pub const HOUR: i64 = 3600;
pub const DAY: i64 = 24 * HOUR;

/// The small rest of the state.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Small {
    shifted: i64,
    made: u64,
    batches: Vec<String>,
    files: HashMap<String, StoredFile>,
    /// Prefix digest to the moment it is forgotten.
    cache: HashMap<String, i64>,
    /// Bills of synchronous calls.
    sync: Vec<Bill>,
}

pub struct World {
    pub options: Options,
    pub base: String,
    pub batches: Vec<Batch>,
    small: Small,
    calls: u64,
}

impl World {
    pub fn open(options: Options, base: String) -> Self {
        for dir in ["batches", "files"] {
            std::fs::create_dir_all(options.dir.join(dir)).expect("the emulator's state folder can be made");
        }
        let small: Small = read(&options.dir.join("state.json")).unwrap_or_default();
        let mut batches = Vec::new();
        for id in &small.batches {
            let mut batch: Batch = read(&batch_path(&options, id)).expect("a batch that was made is on disk");
            batch.outcomes = read(&outcomes_path(&options, id)).expect("a batch's outcomes are on disk");
            batches.push(batch);
        }
        Self { options, base, batches, small, calls: 0 }
    }

    /// Seconds since 1970 by its own clock.
    pub fn now(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        real + self.small.shifted
    }

    pub fn advance(&mut self, seconds: i64) {
        self.small.shifted += seconds;
        self.save();
    }

    /// A new id: the prefix, then letters and digits that depend on the seed and on how many were made.
    pub fn new_id(&mut self, prefix: &str, length: usize) -> String {
        self.small.made += 1;
        let n = self.small.made.to_string();
        let drawn = |part: &str| draw(self.options.seed, &["id", &n, part]);
        let letters = format!("{:016x}{:016x}{:016x}", drawn("0"), drawn("1"), drawn("2"));
        format!("{prefix}{}", letters.get(..length).unwrap_or(&letters))
    }

    /// A name for a call; not kept over a restart.
    pub fn request_id(&mut self) -> String {
        self.calls += 1;
        format!("req_{:016x}", draw(self.options.seed, &["call", &self.calls.to_string(), &self.small.made.to_string()]))
    }

    fn save(&self) {
        write(&self.options.dir.join("state.json"), &self.small);
    }

    pub fn save_batch(&self, at: usize, outcomes_too: bool) {
        let batch = &self.batches[at];
        if outcomes_too {
            write(&outcomes_path(&self.options, &batch.id), &batch.outcomes);
        }
        write(&batch_path(&self.options, &batch.id), batch);
    }

    pub fn find(&self, provider: Provider, id: &str) -> Option<usize> {
        self.batches.iter().position(|b| b.id == id && b.provider == provider && !b.deleted)
    }

    /// Makes a batch, decides how every request ends, and enters the bills.
    pub fn commit(&mut self, provider: Provider, id: String, draft: Draft, lines: Vec<Line>) -> usize {
        let stuck = draft.stuck || self.options.finish == Finish::Never;
        let outcomes =
            lines.into_iter().map(|(custom_id, ask)| self.outcome(provider, &id, custom_id, ask, stuck)).collect::<Vec<_>>();
        let (count, created) = (outcomes.len(), self.now());
        let mut batch = Batch {
            id: id.clone(),
            provider,
            created,
            looks: 0,
            phase: Phase::Running,
            count,
            model: draft.model,
            ended_at: None,
            cancel_at: None,
            stuck,
            foreign: false,
            deleted: false,
            failure: draft.failure,
            error_inside: draft.error_inside,
            note: draft.note,
            endpoint: draft.endpoint,
            input_file: draft.input_file,
            output_file: None,
            error_file: None,
            outcomes,
        };
        if batch.failure.is_some() {
            for outcome in &mut batch.outcomes {
                outcome.bill = None;
            }
        }
        self.batches.push(batch);
        self.save_batch(self.batches.len() - 1, true);
        self.small.batches.push(id);
        self.save();
        self.batches.len() - 1
    }

    fn outcome(
        &mut self,
        provider: Provider,
        batch: &str,
        custom_id: String,
        ask: Result<Ask, (String, String)>,
        stuck: bool,
    ) -> Outcome {
        let ask = match ask {
            Ok(ask) => ask,
            Err((kind, message)) => {
                return Outcome { custom_id, model: String::new(), end: End::Errored { kind, message }, bill: None, hour: false };
            }
        };
        let model = ask.model.clone();
        let hour = ask.prefix.as_ref().is_some_and(|(_, seconds)| *seconds == HOUR);
        if stuck {
            return Outcome { custom_id, model, end: End::Expired, bill: None, hour };
        }
        match fate(self.options.seed, &self.options.answers, &custom_id, &ask) {
            Fate::Said(said) => {
                let bill = Some(self.bill(provider, batch, &custom_id, &ask, said.output));
                Outcome { custom_id, model, end: End::Said(said), bill, hour }
            }
            Fate::Errored => {
                let (kind, message) = ("api_error".into(), "Internal server error".into());
                Outcome { custom_id, model, end: End::Errored { kind, message }, bill: None, hour }
            }
            Fate::Expired => Outcome { custom_id, model, end: End::Expired, bill: None, hour },
        }
    }

    /// Answers one prompt at once. The custom id is how often this prompt was asked before, so that a retry draws anew.
    pub fn answer(&mut self, provider: Provider, ask: &Ask) -> (Fate, Option<Bill>) {
        let digest = ask.digest();
        let nth = self.small.sync.iter().filter(|b| b.prompt == digest).count();
        let custom_id = format!("sync-{}-{nth}", digest.get(..12).unwrap_or_default());
        let fate = fate(self.options.seed, &self.options.answers, &custom_id, ask);
        let Fate::Said(said) = &fate else { return (fate, None) };
        let bill = self.bill(provider, "", &custom_id, ask, said.output);
        self.small.sync.push(bill.clone());
        self.save();
        (fate, Some(bill))
    }

    /// What a request costs, in tokens; moves the prompt cache.
    fn bill(&mut self, provider: Provider, batch: &str, custom_id: &str, ask: &Ask, output: u64) -> Bill {
        let (now, total) = (self.now(), ask.tokens());
        let (mut cache_write, mut cache_read) = (0, 0);
        if let Some((prefix, seconds)) = &ask.prefix {
            let held = (prefix.len().div_ceil(4) as u64).min(total);
            if held >= 1024 {
                let key = hex(&[prefix_digest(provider, &ask.model, prefix).to_be_bytes()].concat());
                let known = self.small.cache.get(&key).is_some_and(|until| *until > now);
                self.small.cache.insert(key, now + seconds);
                if provider == Provider::Anthropic && !known {
                    cache_write = held;
                } else if known {
                    cache_read = if provider == Provider::Anthropic { held } else { held / 128 * 128 };
                }
            }
        }
        Bill {
            custom_id: custom_id.into(),
            batch: batch.into(),
            provider,
            prompt: ask.digest(),
            title: ask.title(),
            reader: ask.reader(),
            input: total - cache_write - cache_read,
            cache_write,
            cache_read,
            output,
        }
    }

    pub fn bills(&self) -> Vec<Bill> {
        let batched = self.batches.iter().flat_map(|b| b.outcomes.iter().filter_map(|o| o.bill.clone()));
        batched.chain(self.small.sync.iter().cloned()).collect()
    }

    pub fn infos(&self) -> Vec<BatchInfo> {
        let info = |b: &Batch| BatchInfo {
            id: b.id.clone(),
            provider: b.provider,
            requests: b.count,
            state: b.phase,
            created: b.created,
            deleted: b.deleted,
        };
        self.batches.iter().map(info).collect()
    }

    /// Lets a batch move on: `look` says that its status was asked for.
    pub fn tick(&mut self, at: usize, look: bool) {
        let now = self.now();
        let batch = &mut self.batches[at];
        if batch.phase.ended() {
            return;
        }
        let limit = if batch.provider == Provider::Gemini { 2 * DAY } else { DAY };
        let due = match self.options.finish {
            Finish::AfterLooks(n) => batch.looks >= n,
            Finish::AfterSeconds(s) => now >= batch.created + s as i64,
            Finish::Never => false,
        };
        if batch.phase == Phase::Cancelling {
            if look {
                self.end(at, Phase::Cancelled);
            }
            return;
        }
        if batch.failure.is_some() {
            return if look && batch.looks > 0 { self.end(at, Phase::Failed) } else { self.looked(at, look) };
        }
        if due && !batch.stuck {
            if look || !matches!(self.options.finish, Finish::AfterLooks(_)) {
                self.end(at, Phase::Completed);
            }
            return;
        }
        if now >= batch.created + limit {
            return self.end(at, Phase::Expired);
        }
        self.looked(at, look);
    }

    fn looked(&mut self, at: usize, look: bool) {
        if look {
            self.batches[at].looks += 1;
            self.save_batch(at, false);
        }
    }

    /// Ends a batch. What had not been reached when it was cancelled or ran out of time is not billed.
    pub fn end(&mut self, at: usize, phase: Phase) {
        let (now, seed) = (self.now(), self.options.seed);
        let batch = &mut self.batches[at];
        batch.phase = phase;
        batch.ended_at = Some(now);
        if matches!(phase, Phase::Cancelled | Phase::Expired) {
            let nothing_reached = batch.stuck || batch.provider == Provider::Gemini;
            for outcome in &mut batch.outcomes {
                if nothing_reached || share(seed, &["reached", &outcome.custom_id]) >= 0.5 {
                    outcome.end = if phase == Phase::Cancelled { End::Canceled } else { End::Expired };
                    outcome.bill = None;
                }
            }
        }
        self.save_batch(at, true);
    }

    pub fn cancel(&mut self, at: usize) {
        let now = self.now();
        let batch = &mut self.batches[at];
        batch.phase = Phase::Cancelling;
        batch.cancel_at = Some(now);
        self.save_batch(at, false);
    }

    // Files.

    pub fn file(&self, id: &str) -> Option<&StoredFile> {
        self.small.files.get(id)
    }

    pub fn content(&self, id: &str) -> Option<Vec<u8>> {
        self.file(id).filter(|f| !f.open)?;
        std::fs::read(self.options.dir.join("files").join(id)).ok()
    }

    pub fn put_file(&mut self, file: StoredFile, content: &[u8]) {
        write_bytes(&self.options.dir.join("files").join(&file.id), content);
        self.small.files.insert(file.id.clone(), file);
        self.save();
    }

    /// The bytes of an upload so far.
    pub fn part(&self, id: &str) -> Vec<u8> {
        std::fs::read(self.options.dir.join("files").join(id)).unwrap_or_default()
    }

    pub fn drop_file(&mut self, id: &str) -> bool {
        let known = self.small.files.remove(id).is_some();
        self.save();
        known
    }
}

fn prefix_digest(provider: Provider, model: &str, prefix: &str) -> u64 {
    draw(0, &[provider.name(), model, prefix])
}

fn batch_path(options: &Options, id: &str) -> PathBuf {
    options.dir.join("batches").join(format!("{id}.json"))
}

fn outcomes_path(options: &Options, id: &str) -> PathBuf {
    options.dir.join("batches").join(format!("{id}.outcomes.json"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    Some(serde_json::from_slice(&bytes).expect("the emulator reads what it wrote"))
}

fn write<T: Serialize>(path: &Path, value: &T) {
    write_bytes(path, &serde_json::to_vec(value).expect("state is plain data"));
}

fn write_bytes(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).expect("the emulator's state folder can be written");
    std::fs::rename(&beside, path).expect("a file can be renamed within one folder");
}

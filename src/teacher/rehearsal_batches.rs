//! The rehearsal teacher as a provider: batches with states on disk, results in shuffled order, 0 $.
//!
//! Owns the imitation of a batch service, so that a rehearsed run goes the way a paid one goes, kill -9 included. The
//! judgement itself is `rehearsal`'s.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::rehearsal::{Judge, writer};
use super::{
    Ask, BatchState, Batches, ErrorKind, Limits, NewBatch, Outcome, Outgoing, Pending, Refusal, RemoteBatch, ResultLine, Stop,
    SubmitError, Teacher, TeacherError,
};
use crate::domain::{
    Article, Bands, Clock as _, DepthRules, Digest, Digester, Prism, Profile, SystemClock, Tokens, UnixMillis, estimate_tokens,
};

/// Looks until a batch has ended; a real one takes hours, a rehearsed one shows its states and is done.
const LOOKS: usize = 4;

/// Short enough not to be waited for, long enough to be seen.
const POLL: Duration = Duration::from_millis(60);

#[derive(Debug, Error)]
pub enum RehearsalTeacherError {
    #[error("the rehearsal teacher's word list: {0}")]
    Lexicon(String),
}

/// Answers from a deterministic reading of the PRISM rubric.
pub struct RehearsalTeacher {
    judge: Judge,
    model: String,
    depth: DepthRules,
    bands: Bands,
    think: bool,
    /// Where the "server" keeps its batches.
    dir: PathBuf,
    /// Share of answers that are spoilt on purpose.
    faults: f64,
}

/// One batch, as the imitated server stores it.
#[derive(Serialize, Deserialize)]
struct Batch {
    id: String,
    label: String,
    created: UnixMillis,
    looks: usize,
    #[serde(default)]
    canceled: bool,
    requests: Vec<Outgoing>,
}

/// What the judge reads; a paid provider has only the prompt.
#[derive(Deserialize)]
struct Material {
    profile: Profile,
    article: Article,
}

impl RehearsalTeacher {
    /// `think`: whether answers begin with a think block.
    pub fn new(
        model: &str,
        (depth, bands, think): (DepthRules, Bands, bool),
        dir: PathBuf,
        faults: f64,
    ) -> Result<Self, RehearsalTeacherError> {
        let judge = Judge::shipped().map_err(|e| RehearsalTeacherError::Lexicon(e.to_string()))?;
        Ok(Self { judge, model: model.into(), depth, bands, think, dir, faults })
    }

    fn judgement(&self, profile: &Profile, article: &Article) -> Prism {
        self.judge.judge(profile, article, &self.depth, &self.bands)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    fn load(path: &Path) -> Result<Batch, TeacherError> {
        let bytes = fs::read(path).map_err(|e| TeacherError::missing(format!("cannot read {}: {e}", path.display())))?;
        serde_json::from_slice(&bytes).map_err(|e| TeacherError::fatal(format!("{} is damaged: {e}", path.display())))
    }

    fn store(&self, batch: &Batch) -> std::io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let path = self.file(&batch.id);
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, serde_json::to_vec(batch).unwrap_or_default())?;
        fs::rename(temporary, path)
    }

    fn describe(batch: &Batch) -> RemoteBatch {
        let total = batch.requests.len();
        let ended = batch.canceled || batch.looks >= LOOKS;
        let answered = if ended { total } else { total * batch.looks / LOOKS };
        RemoteBatch {
            id: batch.id.clone(),
            state: if ended { BatchState::Ended } else { BatchState::InProgress },
            total: Some(total),
            answered: Some(answered),
            label: Some(batch.label.clone()),
            created: Some(batch.created),
            expires: None,
            why: None,
            short: false,
            results: Vec::new(),
        }
    }

    /// One look: the batch moves on by a step.
    fn look(&self, id: &str) -> Result<RemoteBatch, TeacherError> {
        let mut batch = Self::load(&self.file(id))?;
        if batch.looks < LOOKS {
            batch.looks += 1;
            self.store(&batch).map_err(|e| TeacherError::passing(format!("cannot write to {}: {e}", self.dir.display())))?;
        }
        Ok(Self::describe(&batch))
    }

    fn results(&self, id: &str) -> Result<Vec<u8>, TeacherError> {
        let batch = Self::load(&self.file(id))?;
        let mut lines: Vec<(Digest, String)> = batch
            .requests
            .iter()
            .map(|request| {
                let line = if batch.canceled { canceled_line(request) } else { self.result_line(request) };
                (Digester::new().field("order").field(&request.custom_id).finish(), line.to_string())
            })
            .collect();
        // As at a real provider, results do not come in the order of the requests.
        lines.sort();
        let text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        Ok((text.join("\n") + "\n").into_bytes())
    }

    fn result_line(&self, request: &Outgoing) -> Value {
        let Some(mut text) = self.text(request) else {
            return json!({"custom_id": request.custom_id, "result": {"type": "errored", "error": "the request has no material to judge"}});
        };
        let mut stop = Stop::End;
        if let Some(fault) = self.fault(request) {
            (text, stop) = fault.spoil(&text);
        }
        let input = estimate_tokens(request.body["system"].as_str().unwrap_or_default())
            + estimate_tokens(request.body["user"].as_str().unwrap_or_default());
        let usage = json!({"input_tokens": input, "output_tokens": estimate_tokens(&text)});
        json!({"custom_id": request.custom_id, "result": {"type": "succeeded", "text": text, "stop": stop, "usage": usage}})
    }

    /// The answer, before anything is spoilt: a judgement, or articles where those are asked for.
    fn text(&self, request: &Outgoing) -> Option<String> {
        let material = &request.body["material"];
        if material.get("write").is_some() {
            let brief: writer::Brief = serde_json::from_value(material.clone()).ok()?;
            let part = |key: &str| request.body[key].as_str().unwrap_or_default();
            let seed = Digester::new().field("articles").field(part("system")).field(part("user")).finish();
            let score = |profile: &Profile, article: &Article| self.judgement(profile, article).score;
            return Some(json!({"articles": writer::write(&brief, &seed, &score)}).to_string());
        }
        let material: Material = serde_json::from_value(material.clone()).ok()?;
        let prism = self.judgement(&material.profile, &material.article);
        Some(if self.think { prism.answer() } else { prism.score_line() })
    }

    /// Which answers are spoilt, and how: a pure function of the request's id, so a retry draws anew.
    fn fault(&self, request: &Outgoing) -> Option<Fault> {
        let digest = Digester::new().field("fault").field(&request.custom_id).finish();
        let draw = u32::from_str_radix(digest.as_str().get(..8)?, 16).ok()?;
        let spoilt = f64::from(draw) < self.faults * f64::from(u32::MAX);
        spoilt.then_some(match draw % 3 {
            0 => Fault::Cut,
            1 => Fault::OnTheFence,
            _ => Fault::NoScoreLine,
        })
    }
}

fn canceled_line(request: &Outgoing) -> Value {
    json!({"custom_id": request.custom_id, "result": {"type": "canceled"}})
}

/// What real teachers get wrong.
#[derive(Clone, Copy)]
enum Fault {
    Cut,
    OnTheFence,
    NoScoreLine,
}

impl Fault {
    fn spoil(self, text: &str) -> (String, Stop) {
        match self {
            Self::Cut => (text.chars().take(text.chars().count() / 2).collect(), Stop::TokenLimit),
            Self::OnTheFence => match (text.rfind("SCORE:"), text.rfind("| REASON:")) {
                (Some(score), Some(reason)) if score < reason => {
                    (format!("{}SCORE: 5.0 {}", &text[..score], &text[reason..]), Stop::End)
                }
                _ => (text.to_owned(), Stop::End),
            },
            Self::NoScoreLine => (text.split("SCORE:").next().unwrap_or_default().to_owned(), Stop::End),
        }
    }
}

impl Teacher for RehearsalTeacher {
    fn provider(&self) -> &'static str {
        "rehearsal"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn limits(&self) -> Limits {
        // Small batches, so that a rehearsal shows several.
        Limits { requests: 400, bytes: 32 << 20, poll: POLL, expires: None, settle: Duration::ZERO, concurrency: 1 }
    }

    fn batches(&self) -> Option<&dyn Batches> {
        Some(self)
    }

    fn encode(&self, ask: &Ask<'_>) -> Value {
        json!({
            "model": self.model,
            "max_tokens": ask.max_output_tokens,
            "system": ask.prompt.system(),
            "user": ask.prompt.user,
            "material": ask.material,
        })
    }

    fn ask<'a>(&'a self, request: &'a Outgoing) -> Pending<'a, Result<Vec<u8>, SubmitError>> {
        Box::pin(async move { Ok(self.result_line(request).to_string().into_bytes()) })
    }

    fn read_line(&self, line: &[u8]) -> Result<ResultLine, String> {
        let value: Value = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let custom_id = value["custom_id"].as_str().ok_or("the line has no custom_id")?.to_owned();
        let result = &value["result"];
        let tokens = |key: &str| result["usage"][key].as_u64().unwrap_or(0);
        let outcome = match result["type"].as_str() {
            Some("succeeded") => Outcome::Answered {
                text: result["text"].as_str().unwrap_or_default().to_owned(),
                stop: serde_json::from_value(result["stop"].clone()).unwrap_or(Stop::End),
                tokens: Tokens::plain(tokens("input_tokens"), tokens("output_tokens")),
            },
            Some("expired") => Outcome::Expired,
            Some("canceled") => Outcome::Canceled,
            _ => Outcome::Errored {
                why: result["error"].as_str().unwrap_or("unknown kind of result").to_owned(),
                kind: ErrorKind::Request,
            },
        };
        Ok(ResultLine { custom_id, outcome })
    }

    fn free_answer(&self, material: &Value) -> Option<Prism> {
        let material: Material = serde_json::from_value(material.clone()).ok()?;
        Some(self.judgement(&material.profile, &material.article))
    }
}

impl Batches for RehearsalTeacher {
    fn submit<'a>(&'a self, batch: &'a NewBatch<'a>) -> Pending<'a, Result<RemoteBatch, SubmitError>> {
        Box::pin(async move {
            let id = format!(
                "rehearsal_{}",
                Digester::new().field(batch.label).field(Digest::of_json(&batch.requests).as_str()).finish().short()
            );
            let (label, requests) = (batch.label.to_owned(), batch.requests.to_vec());
            let batch = Batch { id, label, created: SystemClock.now(), looks: 0, canceled: false, requests };
            self.store(&batch).map_err(|e| SubmitError::Refused {
                why: format!("cannot write to {}: {e}", self.dir.display()),
                kind: Refusal::Final,
            })?;
            Ok(Self::describe(&batch))
        })
    }

    fn watch<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<RemoteBatch, TeacherError>> {
        Box::pin(async move { self.look(remote) })
    }

    fn cancel<'a>(&'a self, remote: &'a str) -> Pending<'a, Result<(), TeacherError>> {
        Box::pin(async move {
            let mut batch = Self::load(&self.file(remote))?;
            batch.canceled = batch.looks < LOOKS;
            self.store(&batch).map_err(|e| TeacherError::passing(format!("cannot write to {}: {e}", self.dir.display())))
        })
    }

    fn fetch<'a>(&'a self, batch: &'a RemoteBatch, into: &'a mut (dyn Write + Send)) -> Pending<'a, Result<(), TeacherError>> {
        Box::pin(async move {
            let bytes = self.results(&batch.id)?;
            into.write_all(&bytes).map_err(|e| TeacherError::passing(format!("cannot store the results: {e}")))
        })
    }

    fn list(&self, since: UnixMillis) -> Pending<'_, Result<Vec<RemoteBatch>, TeacherError>> {
        Box::pin(async move {
            let Ok(entries) = fs::read_dir(&self.dir) else { return Ok(Vec::new()) };
            let mut paths: Vec<PathBuf> =
                entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "json")).collect();
            paths.sort();
            let mut batches = Vec::new();
            for path in paths {
                let batch = Self::load(&path)?;
                if batch.created >= since {
                    batches.push(Self::describe(&batch));
                }
            }
            Ok(batches)
        })
    }
}

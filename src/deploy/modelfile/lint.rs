//! What is wrong with a Modelfile, ours or anybody's: where it stands, what it is, why it matters, what to do, and the guard
//! that it belongs to. Owns the checks; whether a release may go on is its phase's.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::go::{GoError, GoTemplate};
use super::grammar::{self, Command, Name};
use super::{CONTEXT_STEP, Lengths, ModelfileError, options, turns};
use crate::deploy::digest_of;
use crate::domain::recipe::Sampling;
use crate::domain::{Digest, Finding, one_line};
use crate::guards::{Severity, guard};
use crate::student::ChatTemplate;

/// What Ollama does where a Modelfile says nothing.
const SERVER_CONTEXT: usize = 4096;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// From 1; 0: the file as a whole.
    pub line: usize,
    /// The row of the guards; empty: it is no Modelfile.
    pub guard: &'static str,
    pub what: String,
    pub why: String,
    pub remedy: String,
}

impl Remark {
    /// Whether a release must not go live with it.
    pub fn stops(&self) -> bool {
        guard(self.guard).is_none_or(|g| g.severity == Severity::Stop)
    }

    pub fn finding(&self) -> Finding {
        let place = if self.line == 0 { "Modelfile".to_owned() } else { format!("Modelfile line {}", self.line) };
        Finding::fail(self.guard, format!("{place}: {}; {}", self.what, self.why), self.remedy.clone())
    }
}

/// The weights that a Modelfile is for.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Where they lie.
    pub path: PathBuf,
    /// Of the file's bytes.
    pub digest: Digest,
}

/// What a Modelfile is held against; what is not known is not checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected<'a> {
    pub template: Option<&'a ChatTemplate>,
    /// The text of the token that the server writes before every prompt.
    pub bos: Option<&'a str>,
    pub terminator: Option<&'a str>,
    pub sampling: Option<&'a Sampling>,
    /// Whether answers begin with a think block.
    pub think: bool,
    pub lengths: Option<Lengths>,
    pub weights: Option<&'a Weights>,
}

/// Reads a file and lints it.
pub fn lint_file(path: &Path, expected: &Expected<'_>) -> Result<Vec<Remark>, ModelfileError> {
    let text = std::fs::read(path).map_err(|source| ModelfileError::Read { path: path.to_owned(), source })?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(lint(&String::from_utf8_lossy(&text), folder, expected))
}

/// Everything that is wrong with a Modelfile that lies, or would lie, in this folder; by line.
pub fn lint(text: &str, folder: &Path, expected: &Expected<'_>) -> Vec<Remark> {
    let commands = match grammar::read(text) {
        Ok(commands) => commands,
        Err(error) => return vec![not_read(error)],
    };
    let mut check = Check { commands: &commands, folder, expected, remarks: Vec::new() };
    check.from();
    check.switches();
    check.template();
    check.additions();
    check.parameters();
    check.sampling();
    check.lengths();
    check.stops();
    check.remarks.sort_by_key(|r| r.line);
    check.remarks
}

fn not_read(error: ModelfileError) -> Remark {
    let (line, what) = match error {
        ModelfileError::Syntax { line, why } => (line, why),
        other => (0, other.to_string()),
    };
    let remedy = "Mend the line, or write the file anew: stratos deploy modelfile".into();
    Remark { line, guard: "", what, why: "Ollama refuses the whole file".into(), remedy }
}

struct Check<'a> {
    commands: &'a [Command],
    folder: &'a Path,
    expected: &'a Expected<'a>,
    remarks: Vec<Remark>,
}

impl<'a> Check<'a> {
    fn add(&mut self, line: usize, guard: &'static str, what: impl Into<String>, why: &str, remedy: impl Into<String>) {
        self.remarks.push(Remark { line, guard, what: what.into(), why: why.to_owned(), remedy: remedy.into() });
    }

    fn all(&self, name: Name) -> impl Iterator<Item = &'a Command> + use<'a> {
        self.commands.iter().filter(move |c| c.name == name)
    }

    /// A parameter that is set several times has its last value.
    fn parameter(&self, key: &str) -> Option<&'a Command> {
        self.all(Name::Parameter).filter(|c| c.key == key).last()
    }

    fn from(&mut self) {
        let Some(from) = self.all(Name::From).last() else {
            return self.add(
                0,
                "S6",
                "there is no FROM",
                "nothing says which weights answer",
                "Add FROM with the release's GGUF.",
            );
        };
        let path = self.folder.join(&from.value);
        let shown = one_line(&from.value, 80);
        if !path.is_file() {
            let why = "a name means whatever the server has under it today, another quantisation too";
            let what = format!("FROM {shown} is no file beside the Modelfile");
            return self.add(from.line, "S6", what, why, "Name the release's GGUF by its path, such as ./gguf/model-q8_0.gguf.");
        }
        let Some(weights) = self.expected.weights else { return };
        let same = std::fs::canonicalize(&path).ok() == std::fs::canonicalize(&weights.path).ok();
        if same || digest_of(&path).is_ok_and(|(_, digest)| digest == weights.digest) {
            return;
        }
        let what = format!("FROM {shown} is another file than the release's {}", weights.path.display());
        let remedy = format!("Name the file with sha256 {}.", weights.digest.short());
        self.add(from.line, "S6", what, "its answers were never evaluated", remedy);
    }

    /// Switches that a reasoning model was not trained with here.
    fn switches(&mut self) {
        for command in self.commands {
            for (at, line) in command.value.split('\n').enumerate() {
                let lower = line.to_lowercase();
                let Some(switch) = ["/no_think", "/nothink"].into_iter().find(|s| lower.contains(s)) else { continue };
                let why = "the student was never trained with it and answers with nonsense (41 % unreadable, once)";
                self.add(command.line + at, "S1", format!("it holds '{switch}'"), why, "Take it out.");
            }
        }
    }

    fn template(&mut self) {
        if let Some(renderer) = self.all(Name::Renderer).last() {
            let what = format!("RENDERER {} renders in the template's place", one_line(&renderer.value, 40));
            self.add(
                renderer.line,
                "S2",
                what,
                "what it writes cannot be compared with training",
                "Take it out; TEMPLATE says it all.",
            );
        }
        let Some(template) = self.all(Name::Template).last() else {
            let line = self.all(Name::From).last().map_or(0, |c| c.line);
            let why = "Ollama guesses a template then, or sends the bare prompt: the system prompt is dropped";
            return self.add(
                line,
                "S2",
                "a bare FROM without a TEMPLATE",
                why,
                "Write the trained template: stratos deploy modelfile.",
            );
        };
        let Some(trained) = self.expected.template else { return };
        match GoTemplate::new(&template.value) {
            Ok(go) => self.compare(template, &go, trained),
            Err(error) => self.not_proved(template, &error),
        }
    }

    fn not_proved(&mut self, template: &Command, error: &GoError) {
        let what = format!("the template cannot be proved: {}", one_line(&error.to_string(), 160));
        let why = "a template that differs by one newline changes the tokens";
        self.add(template.line, "S2", what, why, "Write the trained template: stratos deploy modelfile.");
    }

    /// The first conversation that is rendered otherwise than training did is enough to see.
    fn compare(&mut self, template: &Command, go: &GoTemplate, trained: &ChatTemplate) {
        for (what, messages) in turns::probes() {
            let wanted = match turns::trained(trained, self.expected.bos, &messages) {
                Ok(wanted) => wanted,
                Err(error) => {
                    let what = format!("the student's own template fails: {}", one_line(&error.to_string(), 160));
                    return self.add(template.line, "S2", what, "nothing can be compared with it", "Export the release again.");
                }
            };
            let served = match turns::served(go, &messages) {
                Ok(served) => served,
                Err(error) => return self.not_proved(template, &error),
            };
            if self.expected.think && served.matches("<think>").count() > wanted.matches("<think>").count() {
                let why = "the student was trained to open its think block itself: it scores without thinking, or thinks twice";
                let remedy = "End the template where the assistant begins.";
                return self.add(template.line, "S1", "the template begins a think block for the assistant", why, remedy);
            }
            if let Some(difference) = turns::difference(&served, &wanted) {
                let what = format!("for {what}, {difference}");
                let why = "other text is other tokens than the student was trained on";
                return self.add(template.line, "S2", what, why, "Write the trained template: stratos deploy modelfile.");
            }
        }
    }

    /// What adds to the weights or to the conversation.
    fn additions(&mut self) {
        if let Some(system) = self.all(Name::System).last() {
            let why = "every reader has a system prompt of their own; this one answers for nobody";
            self.add(system.line, "S2", "a SYSTEM prompt is fixed", why, "Take it out; requests bring their reader's prompt.");
        }
        if let Some(message) = self.all(Name::Message).next() {
            let why = "the student was trained on one article and one answer, nothing before them";
            self.add(message.line, "S2", "a MESSAGE stands before every conversation", why, "Take it out.");
        }
        for adapter in self.all(Name::Adapter) {
            let why = "a DoRA adapter cannot be said in GGUF, and newer servers take none";
            self.add(
                adapter.line,
                "S7",
                "an ADAPTER is laid over the weights",
                why,
                "Name the merged GGUF of the release in FROM.",
            );
        }
    }

    fn parameters(&mut self) {
        for command in self.all(Name::Parameter) {
            if let Some(what) = options::defect(&command.key, &command.value) {
                let why = "Ollama refuses the file, or answers without it";
                self.add(command.line, "S5", what, why, "Mend the parameter's name or value.");
            }
        }
    }

    fn sampling(&mut self) {
        let Some(rules) = self.expected.sampling else { return };
        let temperature = self.parameter("temperature");
        let value = temperature.and_then(|c| c.value.parse::<f64>().ok());
        if self.expected.think && value.is_some_and(|t| t < rules.temperature_floor) {
            let (line, floor) = (temperature.map_or(0, |c| c.line), rules.temperature_floor);
            let what = format!("temperature {} is below the recipe's floor {floor}", value.unwrap_or_default());
            self.add(line, "S4", what, "think blocks loop there until the limit", format!("Set it to {}.", rules.temperature));
        } else {
            self.same("temperature", rules.temperature.max(rules.temperature_floor));
        }
        self.same("top_p", rules.top_p);
        self.same("top_k", rules.top_k as f64);
        self.same("repeat_penalty", f64::from(rules.repeat_penalty));
    }

    /// A figure that the evaluation was made with.
    fn same(&mut self, key: &'static str, wanted: f64) {
        let set = self.parameter(key);
        let why = "answers are drawn otherwise than in the evaluation";
        // Through f32, as `repeat_penalty` comes from one.
        let shown = (wanted * 1e6).round() / 1e6;
        match set.map(|c| (c.line, c.value.parse::<f64>())) {
            None => self.add(0, "S4", format!("{key} is not set"), why, format!("Set it to {shown}.")),
            Some((line, Ok(value))) if (value - wanted).abs() > 1e-6 => {
                self.add(line, "S4", format!("{key} is {value}, the recipe has {shown}"), why, format!("Set it to {shown}."));
            }
            // What is no number was said already.
            Some(_) => {}
        }
    }

    fn lengths(&mut self) {
        let number = |c: &Command| c.value.parse::<i64>().ok();
        let predict = self.parameter("num_predict");
        let (line, limit) = (predict.map_or(0, |c| c.line), predict.and_then(number));
        let wanted = self.expected.lengths.map(Lengths::num_predict);
        let remedy = match wanted {
            Some(wanted) => format!("Set it to {wanted}: the measured p99 of the answers × 1.5."),
            None => "Measure the answers ('stratos validate'), then write it: stratos deploy modelfile.".into(),
        };
        match (limit, wanted) {
            (None, _) if predict.is_none() => {
                self.add(0, "S3", "num_predict is not set", "an answer that loops is never ended", remedy);
            }
            (Some(limit), Some(wanted)) if limit > 0 && (limit as usize) < wanted => {
                let what = format!("num_predict {limit} is smaller than {wanted}");
                self.add(line, "S3", what, "long answers are cut before their score", remedy);
            }
            (Some(limit), Some(wanted)) if limit <= 0 || limit as usize > wanted * 2 => {
                let what = format!("num_predict {limit} is a guess, {wanted} was measured");
                self.add(line, "S3", what, "an answer that loops costs all of it", remedy);
            }
            _ => {}
        }
        let Some(lengths) = self.expected.lengths else { return };
        let context = self.parameter("num_ctx");
        let room = context.and_then(number).map_or(SERVER_CONTEXT, |n| usize::try_from(n).unwrap_or(0));
        let answer = limit.and_then(|n| usize::try_from(n).ok()).unwrap_or_else(|| lengths.num_predict());
        let needed = lengths.longest_prompt + answer;
        if room < needed {
            let line = context.map_or(0, |c| c.line);
            let what = format!("num_ctx {room} is smaller than the {needed} tokens of the longest prompt and its answer");
            let remedy = format!("Set it to {}.", needed.next_multiple_of(CONTEXT_STEP));
            self.add(line, "S8", what, "the server cuts the prompt's beginning, silently", remedy);
        }
    }

    fn stops(&mut self) {
        let stops: Vec<&Command> = self.all(Name::Parameter).filter(|c| c.key == "stop").collect();
        let said = |text: &str| stops.iter().any(|c| c.value == text);
        if let Some(end) = self.expected.terminator.filter(|end| !said(end)) {
            let what = format!("the stop '{}' is missing, which ends a turn", one_line(end, 40));
            let line = stops.first().map_or(0, |c| c.line);
            self.add(
                line,
                "T10",
                what,
                "an answer runs on into a next turn",
                format!("Add PARAMETER stop {}.", one_line(end, 40)),
            );
        }
        let rules = self.expected.sampling;
        for stop in rules.into_iter().flat_map(|r| &r.stop).filter(|s| !said(s)) {
            let what = format!("the recipe's stop '{}' is missing", one_line(stop, 40));
            self.add(0, "T10", what, "answers end otherwise than in the evaluation", "Add it as a PARAMETER stop.");
        }
        let Some(end) = self.expected.terminator else { return };
        let known = |text: &str| text == end || rules.is_some_and(|r| r.stop.iter().any(|s| s == text));
        for stop in stops.iter().filter(|c| !known(&c.value)) {
            let breaks =
                ["SCORE", "REASON", "<think>", "</think>", "\n", "|", "."].iter().any(|part| part.contains(stop.value.as_str()));
            if breaks || stop.value.is_empty() {
                let what = format!("the stop '{}' is a part of every answer", one_line(&stop.value, 40));
                self.add(stop.line, "T10", what, "answers are cut before they are whole", "Take it out.");
            }
        }
    }
}

//! The Modelfile of a release: how Ollama is told to answer as the student was trained and evaluated.
//!
//! Owns what is written into it, its grammar, the template's translation with its proof, and the lint of any Modelfile. Knows
//! no server: `ollama` sends what stands here.

mod go;
mod go_parse;
mod grammar;
mod lint;
mod options;
mod turns;

pub use lint::{Expected, Remark, Weights, lint, lint_file};

use std::fmt::Write as _;

use serde_json::{Map, Value};
use thiserror::Error;

use self::grammar::{Command, Name, quote};
use crate::domain::ChatMessage;
use crate::domain::recipe::Sampling;
use crate::student::{ChatTemplate, StudentError};

/// `num_predict` is the measured p99 of the answers, and half of it more (S3).
const ROOM: f64 = 1.5;
/// Contexts are whole multiples of it.
const CONTEXT_STEP: usize = 256;
/// Tokens that the repeat penalty looks back, as the embedded engine does.
const REPEAT_WINDOW: usize = 64;

#[derive(Debug, Error)]
pub enum ModelfileError {
    #[error("line {line}: {why}")]
    Syntax { line: usize, why: String },
    #[error(
        "guard S2: this model's chat template cannot be said in a Modelfile: {why}. Serve it by llama.cpp, which reads the \
         GGUF's own template, or let 'stratos serve' answer"
    )]
    Template { why: String },
    #[error(
        "guard S3: num_predict would be a guess: {why}. Run 'stratos validate' first: it measures how long this student's answers are"
    )]
    Unmeasured { why: String },
    #[error("there is no FROM line; a Modelfile needs the weights that it is for")]
    NoFrom,
    #[error("cannot read {path}: {source}", path = path.display())]
    Read { path: std::path::PathBuf, source: std::io::Error },
    #[error(transparent)]
    Student(#[from] StudentError),
}

/// How long answers and prompts are: counted on answers that were given, or held to a recipe's own limit. There is no way to
/// make one from a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    basis: Basis,
    longest_prompt: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    Measured { answers: usize, p99: usize },
    Recipe { limit: usize },
}

impl Lengths {
    /// From the tokens of each answer and of the longest prompt.
    pub fn measured(answers: &[usize], longest_prompt: usize) -> Result<Self, ModelfileError> {
        let mut sorted: Vec<usize> = answers.iter().copied().filter(|n| *n > 0).collect();
        sorted.sort_unstable();
        // The nearest rank.
        let rank = (sorted.len() * 99).div_ceil(100);
        let p99 = rank.checked_sub(1).and_then(|at| sorted.get(at)).copied();
        let p99 = p99.ok_or_else(|| ModelfileError::Unmeasured { why: "no answer was measured".into() })?;
        Self { basis: Basis::Measured { answers: sorted.len(), p99 }, longest_prompt }.checked()
    }

    /// Before any student was evaluated: the limit that the recipe gives the embedded engine.
    pub fn of_recipe(rules: &Sampling, longest_prompt: usize) -> Result<Self, ModelfileError> {
        Self { basis: Basis::Recipe { limit: rules.max_new_tokens }, longest_prompt }.checked()
    }

    fn checked(self) -> Result<Self, ModelfileError> {
        match self.longest_prompt {
            0 => Err(ModelfileError::Unmeasured { why: "no prompt was measured".into() }),
            _ => Ok(self),
        }
    }

    pub fn num_predict(self) -> usize {
        match self.basis {
            Basis::Measured { p99, .. } => (p99 as f64 * ROOM).ceil() as usize,
            Basis::Recipe { limit } => limit,
        }
    }

    pub fn num_ctx(self) -> usize {
        (self.longest_prompt + self.num_predict()).next_multiple_of(CONTEXT_STEP)
    }

    fn words(self) -> String {
        match self.basis {
            Basis::Measured { answers, p99 } => format!("{ROOM} × {p99} tokens, the p99 of {answers} measured answers"),
            Basis::Recipe { .. } => {
                format!("the recipe's limit; a release's own Modelfile has {ROOM} × the p99 of its measured answers")
            }
        }
    }
}

/// What a Modelfile is written from.
#[derive(Debug, Clone)]
pub struct Spec<'a> {
    /// Comment lines at its head.
    pub about: Vec<String>,
    /// The weights, below the Modelfile's folder.
    pub from: String,
    pub template: &'a ChatTemplate,
    /// The text of the token that the server writes before every prompt, where the GGUF says that it does.
    pub bos: Option<&'a str>,
    /// Ends a turn.
    pub terminator: &'a str,
    pub sampling: &'a Sampling,
    pub lengths: Lengths,
}

impl Spec<'_> {
    /// The text. Its template is proved against the student's own.
    pub fn write(&self) -> Result<String, ModelfileError> {
        let template = turns::go_template(self.template, self.bos)?;
        let rules = self.sampling;
        let mut out = String::new();
        for line in &self.about {
            let _ = writeln!(out, "# {}", crate::domain::one_line(line, 400));
        }
        if turns::trims(self.template)? {
            out += "# The model's own template drops white space around messages and Ollama's cannot: send them without.\n";
        }
        let _ = writeln!(out, "\nFROM {}\n\nTEMPLATE \"\"\"{template}\"\"\"\n", quote(&self.from));
        let longest_prompt = self.lengths.longest_prompt;
        let temperature = rules.temperature.max(rules.temperature_floor);
        let _ = writeln!(out, "PARAMETER temperature {temperature}");
        let _ = writeln!(out, "PARAMETER top_p {}\nPARAMETER top_k {}\nPARAMETER min_p 0", rules.top_p, rules.top_k);
        let _ = writeln!(out, "PARAMETER repeat_penalty {}\nPARAMETER repeat_last_n {REPEAT_WINDOW}", rules.repeat_penalty);
        let _ = writeln!(out, "# {}", self.lengths.words());
        let _ = writeln!(out, "PARAMETER num_predict {}", self.lengths.num_predict());
        let _ = writeln!(out, "# the longest prompt, {longest_prompt} tokens, and num_predict, in steps of {CONTEXT_STEP}");
        let _ = writeln!(out, "PARAMETER num_ctx {}", self.lengths.num_ctx());
        for stop in std::iter::once(self.terminator).chain(rules.stop.iter().map(String::as_str)) {
            let _ = writeln!(out, "PARAMETER stop {}", quote(stop));
        }
        Ok(out)
    }
}

/// The text that a server with this template reads for a conversation.
pub fn render(template: &str, messages: &[ChatMessage]) -> Result<String, ModelfileError> {
    let rendered = go::GoTemplate::new(template).and_then(|go| turns::served(&go, messages));
    rendered.map_err(|e| ModelfileError::Template { why: e.to_string() })
}

/// A Modelfile as it is read: what `ollama create` sends of it.
#[derive(Debug, Clone)]
pub struct Modelfile {
    commands: Vec<Command>,
}

impl Modelfile {
    pub fn read(text: &str) -> Result<Self, ModelfileError> {
        let commands = grammar::read(text)?;
        if commands.iter().all(|c| c.name != Name::From) {
            return Err(ModelfileError::NoFrom);
        }
        Ok(Self { commands })
    }

    fn last(&self, name: Name) -> Option<&str> {
        self.commands.iter().rev().find(|c| c.name == name).map(|c| c.value.as_str())
    }

    pub fn from(&self) -> &str {
        self.last(Name::From).unwrap_or_default()
    }

    pub fn template(&self) -> Option<&str> {
        self.last(Name::Template)
    }

    pub fn system(&self) -> Option<&str> {
        self.last(Name::System)
    }

    /// Typed, as the API wants them.
    pub fn parameters(&self) -> Result<Map<String, Value>, ModelfileError> {
        options::parameters(&self.commands)
    }
}

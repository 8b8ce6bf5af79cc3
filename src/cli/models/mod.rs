//! `stratos models`: what a model on disk is, and how it reads text. The student's files do the work.

mod store;
mod unload;

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use color_eyre::eyre::{Result, WrapErr as _, eyre};
use serde_json::{Value, json};

use crate::domain::one_line;
use crate::headless::say;
use crate::student::adapter::{Adapted, AdapterRules};
use crate::student::base::{Base, Projection};
use crate::student::matrix::Keep;
use crate::student::outline::{Outline, Words};
use crate::student::pass::Pass;
use crate::student::peft::Adapter;
use crate::student::template::ChatTemplate;
use crate::student::{PackedTexts, Student};
use crate::train::forecast::{self, AdapterPlan, BaseSize, Forecast};
use crate::train::learner::Load;
use crate::train::neighbours;
use crate::workspace::Workspace;

/// Names shown of the many special tokens that some models reserve.
const SHOWN: usize = 24;

#[derive(Debug, Subcommand)]
pub enum Models {
    /// Show what a model is: architecture, size, precision, vocabulary, memory, template, special tokens
    Inspect {
        /// A model's folder (config.json, safetensors, tokenizer.json) or a .gguf file
        path: PathBuf,
        /// Also the digest by which releases, answers and guard S6 know it; this reads all of its weights
        #[arg(long)]
        digest: bool,
        #[arg(long)]
        json: bool,
    },
    /// What this workspace has
    List {
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model from the hub (`HF_ENDPOINT` names a mirror, `HF_TOKEN` opens gated models)
    Pull {
        /// owner/name, or owner/name@revision
        id: String,
        /// A GGUF file by its name or a part of it, instead of the safetensors files
        #[arg(long)]
        gguf: Option<String>,
        /// Ask whether the revision has changed, even if the model is complete
        #[arg(long)]
        refresh: bool,
    },
    /// Copy a model on this disk into the workspace
    Import {
        /// A model's folder or a .gguf file
        path: PathBuf,
        #[arg(long)]
        name: Option<String>,
    },
    /// Show what Ollama holds of the GPU's memory; with --consent, have it let go (guard T20)
    Unload {
        /// Where Ollama listens
        #[arg(long, default_value = neighbours::OLLAMA_URL)]
        url: String,
        /// The digits that were shown with the models
        #[arg(long)]
        consent: Option<String>,
    },
    /// Logits of token ids, with an adapter or without: [[ids], …] on standard input, a row for each token back
    Logits {
        /// A model's folder or a .gguf file
        path: PathBuf,
        /// A PEFT adapter's folder
        #[arg(long)]
        adapter: Option<PathBuf>,
        /// Instead of a row, the likeliest next token and its probability: [[[id, p], …], …]
        #[arg(long)]
        likeliest: bool,
    },
    /// Turn text into ids: one JSON string a line on standard input, one JSON array of ids a line back; nothing is added
    Tokenize {
        /// A model's folder or a .gguf file
        path: PathBuf,
    },
}

pub fn models(root: &Path, act: Models) -> Result<ExitCode> {
    let workspace = || Workspace::open(root);
    match act {
        Models::Inspect { path, digest, json } => inspect(&path, digest, json),
        Models::Tokenize { path } => tokenize(&path),
        Models::Logits { path, adapter, likeliest } => logits(&path, adapter.as_deref(), likeliest),
        Models::List { json } => store::list(&workspace()?, json),
        Models::Pull { id, gguf, refresh } => store::pull(&workspace()?, &id, gguf, refresh),
        Models::Import { path, name } => store::import(&workspace()?, &path, name),
        Models::Unload { url, consent } => unload::run(&url, consent.as_deref()),
    }
}

/// Reads `[[ids], …]` and writes, for each text, a row of logits for each token.
fn logits(path: &Path, adapter: Option<&Path>, likeliest: bool) -> Result<ExitCode> {
    let text = std::io::read_to_string(std::io::stdin())?;
    let texts: Vec<Vec<u32>> = serde_json::from_str(&text).wrap_err("standard input must hold [[ids], …]")?;
    let (config, weights) = Base::bare(path, Keep::AsStored)?;
    let adapter = adapter.map(|folder| Adapter::load(folder, &weights)).transpose()?;
    let merged = Adapted::new(&weights, adapter.as_ref().map(|a| (&a.rules, &a.numbers)));
    if let Some(odd) = texts.iter().flatten().find(|id| **id as usize >= config.vocab_size) {
        return Err(eyre!("token {odd} is not one of the model's {}", config.vocab_size));
    }
    let pass = Pass::new(&config);
    for (n, ids) in texts.iter().enumerate() {
        let rows: Vec<u32> = (0..ids.len() as u32).collect();
        let logits = pass.logits(&merged, &PackedTexts::new([(ids.as_slice(), 0)]), &rows);
        let rows = logits.chunks_exact(config.vocab_size);
        let rows = if likeliest {
            json!(rows.map(likeliest_of).collect::<Vec<_>>()).to_string()
        } else {
            serde_json::to_string(&rows.collect::<Vec<_>>())?
        };
        let (open, close) = (if n == 0 { "[" } else { "" }, if n + 1 == texts.len() { "]" } else { "," });
        say(&format!("{open}{rows}{close}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The first largest of a row, and its share of all.
fn likeliest_of(logits: &[f32]) -> (usize, f64) {
    let (best, most) =
        logits.iter().enumerate().fold((0, f32::NEG_INFINITY), |(i, m), (n, v)| if *v > m { (n, *v) } else { (i, m) });
    (best, 1.0 / logits.iter().map(|v| f64::from(v - most).exp()).sum::<f64>())
}

fn inspect(path: &Path, digest: bool, json: bool) -> Result<ExitCode> {
    let outline = Outline::of(path)?;
    let digest = if digest { Some(Student::load(path)?.digest().clone()) } else { None };
    if json {
        let mut report = report(path, &outline);
        if let Some(digest) = digest {
            report["digest"] = json!(digest);
        }
        say(&plain(&report.to_string()));
    } else {
        let digest = digest.map(|d| ("digest", d.as_str().to_owned()));
        for (name, value) in lines(&outline).into_iter().chain(digest) {
            say(&format!("{name:<16} {}", one_line(&value, 2000)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// JSON with control characters that it may hold as they are written out; a terminal might obey them.
fn plain(json: &str) -> String {
    let escaped = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escaped).collect()
}

/// Everything for programs.
fn report(path: &Path, outline: &Outline) -> Value {
    let (config, codec) = (&outline.config, outline.codec.as_ref());
    let (error, codec) = (codec.err().map(ToString::to_string), codec.ok());
    let special = codec.map(|c| {
        let tokens = c.tokenizer.special_tokens();
        tokens.into_iter().map(|(name, id)| json!({"name": name, "id": id})).collect::<Vec<_>>()
    });
    json!({
        "path": path.display().to_string(),
        "architecture": config.family.name(),
        "parameters": outline.parameters,
        "bytes": outline.bytes,
        "precision": outline.precision(),
        "precisions": outline.precisions,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "positions": config.max_position_embeddings,
        "vocabulary": config.vocab_size,
        "tied": config.tie_word_embeddings,
        "tokens": codec.map(|c| c.tokenizer.vocab_size()),
        "template": codec.is_some(),
        "thinking": codec.map(|c| thinks(&c.template)),
        "terminator": codec.map(|c| json!({"name": c.tokenizer.end_name(), "id": c.tokenizer.end()})),
        "pad": codec.map(|c| c.tokenizer.pad()),
        "bos": codec.and_then(|c| c.tokenizer.bos()),
        "special_tokens": special,
        "memory_forecast": forecasts(outline).map(|(name, f)| json!({"for": name, "bytes": f.total(), "parts": f.parts})),
        "problem": error,
    })
}

/// A usual run that the forecast shows: `DoRA` of rank 16 on all seven matrices, four rows of 512 tokens, a fifth with loss.
const ROWS: usize = 4;
const TOKENS: usize = 512;

/// Memory for training (whole, and as lean as it gets) and for scoring, in bytes.
fn forecasts(outline: &Outline) -> [(&'static str, Forecast); 3] {
    let targets = Projection::ALL.map(|p| p.name().to_owned()).to_vec();
    let rules = AdapterRules { dora: true, rank: 16, alpha: 32.0, rslora: false, dropout: 0.0, targets };
    let (config, base, threads) = (&outline.config, BaseSize::from(outline), rayon::current_num_threads());
    let plan = AdapterPlan { config, base, precision: Keep::AsStored, rules: &rules, recompute: false, threads };
    let load = |rows: usize| Load { tokens: rows * TOKENS, loss_rows: rows * TOKENS / 5, seen: rows * TOKENS, longest: TOKENS };
    let lean = AdapterPlan { recompute: true, ..plan.clone() };
    [
        ("training", plan.training(load(ROWS))),
        ("lean_training", lean.training(load(1))),
        ("scoring", forecast::scoring(config, base, Keep::AsStored, TOKENS / 4)),
    ]
}

/// The template can be told to think or not.
fn thinks(template: &ChatTemplate) -> bool {
    template.source().contains("enable_thinking")
}

/// The same for people.
fn lines(outline: &Outline) -> Vec<(&'static str, String)> {
    let config = &outline.config;
    let kinds: Vec<String> = outline.precisions.iter().map(|(name, count)| format!("{name} {}", short(*count))).collect();
    let tied = if config.tie_word_embeddings { "shared with the output layer" } else { "output layer of its own" };
    let (heads, kv, width) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
    let mut lines = vec![
        ("architecture", config.family.name().to_owned()),
        ("parameters", format!("{} ({})", short(outline.parameters), outline.parameters)),
        ("precision", format!("{} ({}), {:.2} GB", outline.precision(), kinds.join(", "), outline.bytes as f64 / 1e9)),
        ("layers", format!("{} of width {}, gate {}", config.num_hidden_layers, config.hidden_size, config.intermediate_size)),
        ("heads", format!("{heads} of width {width}, {kv} key heads")),
        ("vocabulary", format!("{} rows, {tied}", config.vocab_size)),
        ("positions", config.max_position_embeddings.to_string()),
    ];
    for (name, forecast) in forecasts(outline) {
        let (name, what) = match name {
            "training" => ("memory to train", format!("DoRA r 16, {ROWS} rows of {TOKENS} tokens, base as stored")),
            "lean_training" => ("at the least", "recompute, one row".to_owned()),
            _ => ("memory to score", "48 rows side by side".to_owned()),
        };
        lines.push((name, format!("{} ({what}: {})", forecast::mib(forecast.total()), forecast.words())));
    }
    let codec = match &outline.codec {
        Ok(codec) => codec,
        Err(error) => {
            lines.push(("text", format!("not usable: {error}")));
            return lines;
        }
    };
    let (tokenizer, special) = (&codec.tokenizer, codec.tokenizer.special_tokens());
    let thinking = if thinks(&codec.template) { ", thinking can be switched" } else { "" };
    lines.push(("template", format!("yes{thinking}")));
    lines.push(("turns end with", format!("{} ({})", tokenizer.end_name(), tokenizer.end())));
    let mut names: Vec<String> = special.iter().take(SHOWN).map(|(name, id)| format!("{name} {id}")).collect();
    if special.len() > SHOWN {
        names.push(format!("and {} more", special.len() - SHOWN));
    }
    lines.push(("special tokens", names.join(", ")));
    lines
}

/// 134515008 as 134.5 M.
fn short(count: u64) -> String {
    let count = count as f64;
    match count {
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n => format!("{:.1} K", n / 1e3),
    }
}

fn tokenize(path: &Path) -> Result<ExitCode> {
    let words = Words::load(path)?;
    for (n, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.wrap_err_with(|| format!("line {}", n + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let text: String = serde_json::from_str(&line).map_err(|e| eyre!("line {} is not a JSON string: {e}", n + 1))?;
        say(&serde_json::to_string(&words.encode(&text)?)?);
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::safe_text;

    #[test]
    fn sizes_are_short() {
        assert_eq!([134_515_008, 8_030_000_000, 2_500].map(short), ["134.5 M", "8.03 B", "2.5 K"]);
    }

    #[test]
    fn nothing_from_a_file_reaches_the_terminal_raw() {
        let hostile = "\u{1b}[2J<eos>\u{202e}\r\n";
        assert_eq!(one_line(hostile, 2000), safe_text(hostile).trim());
        assert!(!one_line(hostile, 2000).contains('\u{1b}'));
        assert_eq!(plain("\"a\u{9b}ü\""), "\"a\\u009bü\"");
    }
}

//! The dataset card: `README.md` with the front matter that dataset hubs read, and what a person needs to know.
//!
//! Owns the wording. Every figure comes from the dataset's statistics or the caller's facts.

use super::{Format, PublishedFile};
use crate::dataset::stats::DatasetStats;
use crate::domain::{Digest, one_line};

pub(super) const FILE: &str = "README.md";

/// What one guard said of this dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardLine {
    pub id: String,
    pub passed: bool,
    pub saw: String,
    /// The reason a failed stop guard was overridden with.
    pub overridden: Option<String>,
}

/// What the card tells beside the figures.
#[derive(Debug, Clone)]
pub struct CardFacts<'a> {
    pub dataset: &'a Digest,
    pub recipe: &'a Digest,
    pub summary: &'a str,
    /// As dataset hubs spell it; "other" where nobody decided.
    pub licence: &'a str,
    pub languages: &'a [String],
    pub stats: &'a DatasetStats,
    /// Rows by who judged, their prompts and how pairs were chosen, with counts.
    pub provenance: Vec<(String, usize)>,
    pub guards: Vec<GuardLine>,
    /// What is sealed and on no side of this export, in words.
    pub sealed: Vec<String>,
}

pub(super) fn card(format: Format, facts: &CardFacts<'_>, files: &[PublishedFile]) -> String {
    let stats = facts.stats;
    let t = &stats.totals;
    let mut out = front_matter(facts, files);
    let mut say = |text: String| out.push(text);
    say(format!("\n# {}\n\n{}\n", line(&stats.recipe), line(facts.summary)));
    say(format!(
        "{} rows in the `{format}` form: {} to train on ({} read in an epoch, by `repeats`) and {} held out; {} articles for \
         {} readers. Written by `stratos dataset export`.",
        t.rows, t.train, t.epoch, t.eval, t.articles, t.profiles
    ));
    say("\n## Where the labels come from\n\n| source | rows |\n| --- | --: |".into());
    facts.provenance.iter().for_each(|(source, rows)| say(format!("| {} | {rows} |", cell(source))));
    say(format!(
        "\n## Split\n\nBy clusters of articles, so that no article and no near-copy of one is on both sides: {} clusters to train \
         on, {} held out, stratified by reader and band. Seed {}.\n",
        t.train_clusters, t.eval_clusters, stats.seed
    ));
    if facts.sealed.is_empty() {
        say("No hold-out is sealed in the workspace this was written from.".into());
    }
    facts.sealed.iter().for_each(|words| say(line(words)));
    say("\n## Bands\n\n| band | train | per epoch | held out |\n| --- | --: | --: | --: |".into());
    for b in &stats.by_band {
        say(format!("| {} | {} | {} | {} |", cell(&b.band), b.train, b.epoch, b.eval));
    }
    say("\n## Guards\n\n| guard | said | saw |\n| --- | --- | --- |".into());
    for g in &facts.guards {
        say(format!("| {} | {} | {} |", cell(&g.id), said(g), cell(&g.saw)));
    }
    say("\n## Left out\n".into());
    if stats.quarantined.is_empty() && stats.rejected.is_empty() {
        say("Nothing was.".into());
    }
    stats.quarantined.iter().chain(&stats.rejected).for_each(|(why, n)| say(format!("- {}: {n}", line(why))));
    say("\n## Digests (SHA-256)\n\n| what | digest |\n| --- | --- |".into());
    say(format!("| dataset | `{}` |\n| recipe | `{}` |", facts.dataset.as_str(), facts.recipe.as_str()));
    for file in files {
        say(format!("| {} | `{}` |", cell(&file.name), file.digest.as_str()));
    }
    say(format!(
        "\n## Licence\n\n`{}`. Titles and summaries belong to their publishers, labels and reasons fall under the terms of the \
         teachers above: check both before this leaves your machine.\n",
        line(facts.licence)
    ));
    out.join("\n")
}

fn said(guard: &GuardLine) -> String {
    match (&guard.overridden, guard.passed) {
        (_, true) => "passed".to_owned(),
        (Some(why), false) => format!("overridden: {}", cell(why)),
        (None, false) => "failed".to_owned(),
    }
}

/// YAML in double quotes, so that no text can be anything but a text.
fn front_matter(facts: &CardFacts<'_>, files: &[PublishedFile]) -> Vec<String> {
    let text = |s: &str| serde_json::Value::String(one_line(s, 200)).to_string();
    let size = match facts.stats.totals.rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        _ => "100K<n<1M",
    };
    let mut out = vec!["---".to_owned(), format!("license: {}", text(facts.licence))];
    if !facts.languages.is_empty() {
        let codes: Vec<String> = facts.languages.iter().map(|code| text(code)).collect();
        out.push(format!("language: [{}]", codes.join(", ")));
    }
    out.push(format!("pretty_name: {}", text(&facts.stats.recipe)));
    out.push("task_categories: [\"text-generation\"]\ntags: [\"relevance\", \"distillation\", \"stratos\"]".into());
    out.push(format!("size_categories: [\"{size}\"]\nconfigs:\n- config_name: \"default\"\n  data_files:"));
    for file in files.iter().filter(|f| f.rows > 0) {
        let split = file.name.split('.').next().unwrap_or_default();
        out.push(format!("  - split: {}\n    path: {}", text(split), text(&file.name)));
    }
    out.push("---".into());
    out
}

fn line(text: &str) -> String {
    one_line(text, 2000)
}

fn cell(text: &str) -> String {
    line(text).replace('|', "\\|")
}

//! The statistics in words: plain lines of at most 80 columns, and Markdown.
//!
//! Owns the wording and layout; every figure comes from `stats`.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthStr;

use crate::domain::one_line;

use super::stats::DatasetStats;
use super::tokens::{Quantiles, TokenStats};

/// One section: a heading, sentences, and a table where there is one.
struct Section {
    title: &'static str,
    text: Vec<String>,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Section {
    fn new(title: &'static str) -> Self {
        Self { title, text: Vec::new(), head: Vec::new(), rows: Vec::new() }
    }

    fn say(mut self, line: impl Into<String>) -> Self {
        self.text.push(line.into());
        self
    }

    fn table(mut self, head: &[&'static str], rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        self.head = head.to_vec();
        self.rows = rows.into_iter().collect();
        self
    }
}

const WIDTH: usize = 80;
/// Rows of a list that are printed; the rest are counted in the line above it.
const LISTED: usize = 12;

pub(super) fn lines(stats: &DatasetStats) -> Vec<String> {
    let mut out = Vec::new();
    for section in sections(stats) {
        if !out.is_empty() {
            out.push(String::new());
        }
        out.push(section.title.to_uppercase());
        for line in &section.text {
            wrap(line, &mut out);
        }
        let widths: Vec<usize> = (0..section.head.len())
            .map(|c| section.rows.iter().map(|r| cell(r, c).width()).chain([section.head[c].width()]).max().unwrap_or(0))
            .collect();
        let head: Vec<String> = section.head.iter().map(|h| (*h).to_owned()).collect();
        let table = if section.rows.is_empty() { &[][..] } else { std::slice::from_ref(&head) };
        for row in table.iter().chain(&section.rows) {
            let cells: Vec<String> = widths.iter().enumerate().map(|(c, w)| pad(cell(row, c), *w, c == 0)).collect();
            out.push(one_line_keeping_spaces(&format!("  {}", cells.join("  "))));
        }
    }
    out
}

pub(super) fn markdown(stats: &DatasetStats) -> String {
    let mut out = format!("# Dataset statistics: {}\n", stats.recipe);
    for section in sections(stats) {
        out.push_str("\n## ");
        out.push_str(section.title);
        out.push_str("\n\n");
        for line in &section.text {
            out.push_str(line);
            out.push_str("\n\n");
        }
        if section.rows.is_empty() {
            continue;
        }
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        out.push_str(&row(section.head.iter().map(|h| (*h).to_owned()).collect()));
        out.push_str(&row((0..section.head.len()).map(|c| if c == 0 { "---" } else { "--:" }.to_owned()).collect()));
        for cells in section.rows {
            out.push_str(&row(cells.iter().map(|c| c.replace('|', "\\|")).collect()));
        }
    }
    out
}

fn cell(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

fn pad(text: &str, width: usize, left: bool) -> String {
    let space = " ".repeat(width.saturating_sub(text.width()));
    if left { format!("{text}{space}") } else { format!("{space}{text}") }
}

/// Cuts at the right edge and trims; cells are already free of control characters.
fn one_line_keeping_spaces(line: &str) -> String {
    let mut out = String::new();
    for c in line.trim_end().chars() {
        out.push(c);
        if out.width() > WIDTH {
            out.pop();
            break;
        }
    }
    out
}

fn wrap(text: &str, out: &mut Vec<String>) {
    let mut line = String::from(" ");
    for word in text.split_whitespace() {
        if line.width() + 1 + word.width() > WIDTH && line.trim() != "" {
            out.push(std::mem::replace(&mut line, String::from("   ")));
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push(one_line_keeping_spaces(&line));
}

fn sections(stats: &DatasetStats) -> Vec<Section> {
    let mut all = vec![totals(stats), bands(stats), mix(stats), profiles(stats)];
    if !stats.think.is_empty() {
        all.push(think(stats));
    }
    all.push(contrast(stats));
    all.push(tokens(stats.tokens.as_ref()));
    all.push(left_out(stats));
    all
}

fn totals(stats: &DatasetStats) -> Section {
    let t = &stats.totals;
    let teachers = counts(&stats.by_teacher);
    let mut section = Section::new("Totals")
        .say(format!(
            "{} rows: {} articles in {} clusters, {} readers; seed {}",
            t.rows, t.articles, t.clusters, t.profiles, stats.seed
        ))
        .say(format!("training: {} rows ({} clusters), {} read per epoch after up-sampling", t.train, t.train_clusters, t.epoch))
        .say(format!(
            "held out: {} rows ({}, {} clusters); no reader and band is more than {:.1} rows off its quota",
            t.eval,
            percent(t.eval, t.rows),
            t.eval_clusters,
            stats.worst_stratum_gap,
        ))
        .say(format!("judged by: {teachers}"))
        .say(format!("{:.0} % of the rows were judged without being screened first", stats.unscreened_share * 100.0));
    if let Some((score, n)) = stats.modal_score {
        section = section.say(format!("most frequent score: {score:.1} ({} of the rows)", percent(n, t.rows)));
    }
    section
}

fn bands(stats: &DatasetStats) -> Section {
    let t = &stats.totals;
    let row = |b: &super::stats::BandStats| {
        vec![
            b.band.clone(),
            b.train.to_string(),
            percent(b.train, t.train),
            b.epoch.to_string(),
            percent(b.epoch, t.epoch),
            b.eval.to_string(),
            percent(b.eval, t.eval),
        ]
    };
    Section::new("Bands").table(&["band", "train", "", "per epoch", "", "held out", ""], stats.by_band.iter().map(row))
}

fn mix(stats: &DatasetStats) -> Section {
    let row = |m: &super::balance::TargetOutcome| {
        let share = |s: f64| format!("{:.1} %", s * 100.0);
        let met = if m.unmet_reason.is_none() { "yes" } else { "no" };
        vec![m.bands.join(" + "), share(m.wanted), share(m.raw), share(m.achieved), met.to_owned()]
    };
    let mut section = Section::new("Wanted mix of an epoch")
        .say(format!("no row is read more than {} times, none is dropped", stats.max_repeat))
        .table(&["bands", "wanted", "as it came", "achieved", "met"], stats.mix.iter().map(row));
    for m in &stats.mix {
        if let Some(why) = &m.unmet_reason {
            section = section.say(format!("{}: {why}", m.bands.join(" + ")));
        }
    }
    section
}

fn profiles(stats: &DatasetStats) -> Section {
    let row = |p: &super::stats::ProfileStats| {
        let bands: Vec<String> = p.bands.iter().map(ToString::to_string).collect();
        vec![
            one_line(&p.profile, 30),
            p.train.to_string(),
            p.epoch.to_string(),
            p.eval.to_string(),
            format!("{:.2}", p.mean_score),
            bands.join("/"),
        ]
    };
    let names: Vec<&str> = stats.by_band.iter().map(|b| b.band.as_str()).collect();
    Section::new("Readers")
        .say(format!("rows by band: {}", names.join("/")))
        .table(&["reader", "train", "per epoch", "held out", "mean", "by band"], stats.by_profile.iter().map(row))
}

fn think(stats: &DatasetStats) -> Section {
    let row = |t: &super::stats::TierStats| {
        let words = |n: f64| format!("{n:.0}");
        vec![
            t.tier.clone(),
            format!("{}-{}", t.range.0, t.range.1),
            t.n.to_string(),
            t.min.to_string(),
            words(t.median),
            words(t.mean),
            t.max.to_string(),
            percent(t.outside, t.n),
        ]
    };
    Section::new("Words of the think blocks")
        .say(format!("{} rows are flagged for a think block outside its tier's range", stats.flagged))
        .table(&["tier", "asked", "rows", "min", "median", "mean", "max", "outside"], stats.think.iter().map(row))
}

fn contrast(stats: &DatasetStats) -> Section {
    let row = |p: &super::contrastive::ContrastivePair| {
        let reader =
            |(profile, score): &(crate::domain::ProfileId, f64)| format!("{} {score:.1}", one_line(profile.as_str(), 20));
        vec![one_line(p.article.as_str(), 16), reader(&p.high), reader(&p.low)]
    };
    Section::new("Contrastive pairs")
        .say(format!(
            "{} pairs of readers of one article lie more than {:.1} apart; the widest:",
            stats.contrastive_pairs, stats.contrastive_delta
        ))
        .table(&["article", "high", "low"], stats.contrastive_examples.iter().map(row))
}

fn tokens(stats: Option<&TokenStats>) -> Section {
    let section = Section::new("Tokens");
    let Some(t) = stats else { return section.say("not counted yet; the student's tokenizer counts them") };
    let part = |name: &str, q: Quantiles| format!("{name}: median {}, p95 {}, p99 {}, longest {}", q.p50, q.p95, q.p99, q.max);
    let limit = t.limit.map_or_else(String::new, |l| format!("; the student reads at most {l}"));
    let tall = t.bins.iter().map(|b| b.rows).max().unwrap_or(0).max(1);
    let bar = |b: &super::tokens::Bin| {
        let length = (b.rows * 40).div_ceil(tall);
        vec![format!("{}-{}", b.from, b.to.saturating_sub(1)), b.rows.to_string(), pad(&"█".repeat(length), 40, true)]
    };
    let mut section = section
        .say(part("total", t.total))
        .say(part("prompt", t.prompt))
        .say(part("completion", t.completion))
        .say(format!("recommended maximum: {} (p99 and a tenth){limit}", t.recommended_max))
        .say(format!("{} rows are longer; nothing is cut silently", t.over_long.len()));
    for (id, n) in t.over_long.iter().take(LISTED) {
        section = section.say(format!("{}: {n} tokens", one_line(id, 60)));
    }
    if t.over_long.len() > LISTED {
        section = section.say(format!("and {} more", t.over_long.len() - LISTED));
    }
    section.table(&["tokens", "rows", ""], t.bins.iter().map(bar))
}

fn left_out(stats: &DatasetStats) -> Section {
    Section::new("Left out and joined")
        .say(format!("answers rejected: {}", counts(&stats.rejected)))
        .say(format!("rows quarantined: {}", counts(&stats.quarantined)))
        .say(format!("judgements held out by the seal: {}", counts(&stats.set_aside)))
        .say(format!("articles that are another's copy: {}", counts(&stats.joins)))
}

/// "too short 3, format 1", or "none"
fn counts(counts: &BTreeMap<String, usize>) -> String {
    let parts: Vec<String> = counts.iter().filter(|(_, n)| **n > 0).map(|(k, n)| format!("{} {n}", one_line(k, 60))).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

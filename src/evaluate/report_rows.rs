//! The parts of a report that come from its rows: scores, bands, readers, groups, the worst answers. Owns their tables.

use super::plots::{self, Bar};
use super::report_doc::{Block, Grid, Section};
use super::report_parts::{ReportInput, cell, interval};
use super::{Evaluation, FEW_ROWS, Group, charged, figure, spearman};
use crate::domain::{Bands, one_line, safe_text};

/// Bins of the score histogram: half points on a scale of ten.
const BINS: usize = 20;
/// Rows whose answers are shown.
const WORST: usize = 12;
/// Readers of so many rows have a ρ worth a tier.
const RHO_FROM: usize = 5;
/// Characters of an answer that are shown.
const ANSWER: usize = 2_000;

pub(super) fn scores(input: &ReportInput<'_>) -> Section {
    let e = input.evaluation;
    let scale = input.recipe.scale.range();
    let truth: Vec<f64> = e.rows.iter().map(|r| r.truth).collect();
    let predicted: Vec<f64> = e.rows.iter().filter_map(|r| r.predicted).collect();
    let mut data = Grid::new(&["from", "truth", "predicted"]);
    let bins = plots::shares(&truth, scale, BINS).into_iter().zip(plots::shares(&predicted, scale, BINS));
    for (place, (g, p)) in bins.enumerate() {
        let from = scale.0 + place as f64 * (scale.1 - scale.0) / BINS as f64;
        data.row(vec![format!("{from:.1}"), format!("{:.1} %", 100.0 * g), format!("{:.1} %", 100.0 * p)]);
    }
    let caption = "Shares of true and of predicted scores".to_owned();
    let svg = plots::histogram(&caption, scale, BINS, &[("truth", truth), ("predicted", predicted)]);
    let modal = format!("The most frequent prediction makes up {} of all readable ones.", figure(e.metrics.modal_share));
    Section { title: "Scores".into(), blocks: vec![Block::Plot { caption, svg, data }, Block::Text(modal)] }
}

pub(super) fn bands(input: &ReportInput<'_>) -> Section {
    let (e, bands) = (input.evaluation, &input.recipe.bands);
    let mut grid = Grid::new(&["band of the truth", "from", "rows", "MAE", "95 % interval"]);
    for band in &e.metrics.bands {
        let within = e.groups.iter().find(|g| g.by == "band" && g.name == band.name).and_then(|g| g.intervals.get("mae"));
        let cells = vec![band.name.clone(), band.from.to_string(), band.n.to_string(), figure(band.mae), interval(within)];
        grid.weak_row(cells, band.n < FEW_ROWS);
    }
    let mut counts = vec![vec![0_usize; bands.len() + 1]; bands.len()];
    for row in &e.rows {
        let column = row.predicted.map_or(bands.len(), |p| bands.index(p));
        counts[bands.index(row.truth)][column] += 1;
    }
    let rows: Vec<&str> = bands.names().collect();
    let mut columns = rows.clone();
    columns.push("unreadable");
    let mut head = vec!["true band"];
    head.extend(&columns);
    let mut data = Grid::new(&head);
    for (name, row) in rows.iter().zip(&counts) {
        data.row(std::iter::once((*name).to_owned()).chain(row.iter().map(ToString::to_string)).collect());
    }
    let caption = "Rows by true and predicted band; darker: a larger share of the row".to_owned();
    let svg = plots::confusion(&caption, &rows, &columns, &counts);
    Section { title: "Bands".into(), blocks: vec![Block::Table(grid), Block::Plot { caption, svg, data }] }
}

/// ρ of one reader's rows, and how many could be read.
fn rho(e: &Evaluation, profile: &str) -> (Option<f64>, usize) {
    let rows = e.rows.iter().filter(|r| r.profile == profile);
    let (truth, predicted): (Vec<f64>, Vec<f64>) = rows.filter_map(|r| r.predicted.map(|p| (r.truth, p))).unzip();
    let rho = if truth.len() >= RHO_FROM { spearman(&truth, &predicted) } else { None };
    (rho, truth.len())
}

/// The tier of a ρ, a negative one flagged.
pub fn tier_words(tiers: Option<&Bands>, rho: Option<f64>) -> String {
    let name = match (tiers, rho) {
        (Some(tiers), Some(rho)) => tiers.name_of(rho).to_owned(),
        _ => String::new(),
    };
    match rho {
        Some(rho) if rho < 0.0 && name.is_empty() => "NEGATIVE".into(),
        Some(rho) if rho < 0.0 => format!("{name}, NEGATIVE"),
        _ => name,
    }
}

pub(super) fn readers(input: &ReportInput<'_>) -> Section {
    let e = input.evaluation;
    let groups: Vec<&Group> = e.groups.iter().filter(|g| g.by == "profile").collect();
    let tiers = input.tiers;
    let mut grid = Grid::new(&["reader", "rows", "ρ", "tier", "MAE", "contrast ordered", "unreadable"]);
    let mut found: Vec<(&Group, Option<f64>, usize)> = groups
        .iter()
        .map(|g| {
            let (rho, read) = rho(e, &g.name);
            (*g, rho, read)
        })
        .collect();
    found.sort_by(|a, b| b.1.unwrap_or(-2.0).total_cmp(&a.1.unwrap_or(-2.0)).then_with(|| a.0.name.cmp(&b.0.name)));
    for (group, rho, read) in &found {
        let m = &group.metrics;
        let cells = vec![
            group.name.clone(),
            m.n.to_string(),
            figure(*rho),
            tier_words(tiers, *rho),
            cell(m, &group.intervals, "mae"),
            figure(m.contrast_ordered),
            m.n.saturating_sub(*read).to_string(),
        ];
        grid.weak_row(cells, group.weak());
    }
    let bars: Vec<Bar> = groups
        .iter()
        .map(|g| Bar { name: g.name.clone(), value: g.metrics.mae, interval: g.intervals.get("mae").copied(), main: !g.weak() })
        .collect();
    let caption = "MAE by reader with 95 % intervals; readers of few rows in the second colour".to_owned();
    let plot = Block::Plot { svg: plots::bars(&caption, "MAE", &bars), caption, data: Grid::default() };
    let mut blocks = vec![plot, Block::Table(grid)];
    if let Some(tiers) = tiers {
        let named: Vec<String> = tiers.names().zip(tiers.edges()).map(|(name, from)| format!("{name} from {from}")).collect();
        blocks.push(Block::Text(format!("Tiers of ρ by the recipe: {}; a negative ρ is flagged.", named.join(", "))));
    }
    Section { title: "Readers".into(), blocks }
}

pub(super) fn groups(e: &Evaluation) -> Option<Section> {
    let mut grid = Grid::new(&["rows", "n", "MAE", "macro-band MAE", "ρ", "direction", "unreadable"]);
    for group in e.groups.iter().filter(|g| !["band", "profile"].contains(&g.by.as_str())) {
        let m = &group.metrics;
        let cells = vec![
            format!("{}: {}", group.by, one_line(&group.name, 60)),
            m.n.to_string(),
            cell(m, &group.intervals, "mae"),
            cell(m, &group.intervals, "macro_band_mae"),
            cell(m, &group.intervals, "spearman"),
            cell(m, &group.intervals, "direction_accuracy"),
            m.parse_failures.to_string(),
        ];
        grid.weak_row(cells, group.weak());
    }
    (!grid.rows.is_empty()).then(|| Section { title: "Groups".into(), blocks: vec![Block::Table(grid)] })
}

/// The answers farthest from the truth, to read.
pub(super) fn worst(input: &ReportInput<'_>) -> Option<Section> {
    let e = input.evaluation;
    let error = |r: &&super::JudgedRow| charged(r.truth, r.predicted, &input.recipe.scale);
    let mut rows: Vec<&super::JudgedRow> = e.rows.iter().filter(|r| error(r) > 1e-9).collect();
    rows.sort_by(|a, b| error(b).total_cmp(&error(a)).then_with(|| (&a.article, &a.profile).cmp(&(&b.article, &b.profile))));
    let mut blocks = Vec::new();
    for row in rows.into_iter().take(WORST) {
        let title = (input.title)(&row.article).unwrap_or_else(|| row.article.clone());
        let said = row.predicted.map_or_else(|| "no readable score".to_owned(), |p| format!("{p:.1}"));
        let why = row.defect.as_deref().map(|d| format!(" ({})", one_line(d, 120))).unwrap_or_default();
        blocks.push(Block::Text(format!(
            "{} for {}: {said}{why}, the truth is {:.1} by {}",
            one_line(&title, 160),
            one_line(&row.profile, 60),
            row.truth,
            one_line(&row.source, 60)
        )));
        if !row.output.is_empty() {
            let answer = safe_text(&row.output);
            let shown: String = answer.chars().take(ANSWER).collect();
            let more = if shown.len() < answer.len() { "…" } else { "" };
            blocks.push(Block::Quote(format!("{shown}{more}")));
        }
    }
    (!blocks.is_empty()).then(|| Section { title: "Answers farthest from the truth".into(), blocks })
}

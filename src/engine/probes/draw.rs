//! Which rows are probed: some of every band, seeded (guard E3). Owns the drawing, the other reader of a row, and the square
//! of articles and readers.

use std::collections::BTreeMap;

use crate::domain::{Article, Digest, Digester, Profile, Recipe};
use crate::evaluate::SQUARE;

/// A judged row that may be probed.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    pub article: &'a Article,
    pub profile: &'a Profile,
    /// Who else is asked about the article; [`draw`] chooses.
    pub other: &'a Profile,
    pub truth: f64,
    /// As the model wrote it.
    pub output: &'a str,
}

/// What was drawn.
#[derive(Debug, Clone)]
pub struct Drawn<'a> {
    pub rows: Vec<Judged<'a>>,
    /// Articles, and readers, of the awareness check.
    pub square: (Vec<&'a Article>, Vec<&'a Profile>),
}

fn lot(seed: u64, parts: &[&str]) -> Digest {
    parts.iter().fold(Digester::new().field("probe").field(seed.to_le_bytes()), Digester::field).finish()
}

/// Draws at most `n` rows, the bands of the truth taking turns, and the articles and readers of the awareness check, as
/// many as the recipe says or five of each: first those of drawn rows whose truth is highest, so that somebody cares. The other reader of a row is the one whose truth on the article is
/// farthest away, else any.
pub fn draw<'a>(rows: &[Judged<'a>], profiles: &'a [Profile], recipe: &Recipe, n: usize, seed: u64) -> Drawn<'a> {
    let bands = &recipe.bands;
    let mut by_band: BTreeMap<usize, Vec<(Digest, Judged<'a>)>> = BTreeMap::new();
    for row in rows {
        let lot = lot(seed, &[row.article.id.as_str(), row.profile.id.as_str()]);
        by_band.entry(bands.index(row.truth)).or_default().push((lot, *row));
    }
    let mut queues: Vec<Vec<(Digest, Judged<'a>)>> = by_band.into_values().collect();
    // Drawn from the back, the highest band first.
    for queue in &mut queues {
        queue.sort_by(|a, b| b.0.cmp(&a.0));
    }
    let mut drawn = Vec::new();
    while drawn.len() < n && queues.iter().any(|queue| !queue.is_empty()) {
        for queue in queues.iter_mut().rev() {
            if drawn.len() < n
                && let Some((_, row)) = queue.pop()
            {
                drawn.push(Judged { other: other(&row, rows, profiles, seed), ..row });
            }
        }
    }
    let size = recipe.awareness.map_or((SQUARE, SQUARE), |a| (a.articles, a.profiles));
    let square = square(&drawn, profiles, size, seed);
    Drawn { rows: drawn, square }
}

fn other<'a>(row: &Judged<'a>, rows: &[Judged<'a>], profiles: &'a [Profile], seed: u64) -> &'a Profile {
    let same = rows.iter().filter(|r| r.article.id == row.article.id && r.profile.id != row.profile.id);
    let gap = |r: &&Judged<'a>| (r.truth - row.truth).abs();
    let judged = same.max_by(|a, b| gap(a).total_cmp(&gap(b)).then_with(|| b.profile.id.cmp(&a.profile.id)));
    let any = || {
        let others = profiles.iter().filter(|p| p.id != row.profile.id);
        others.min_by_key(|p| lot(seed, &["other", row.article.id.as_str(), row.profile.id.as_str(), p.id.as_str()]))
    };
    judged.map(|r| r.profile).or_else(any).unwrap_or(row.profile)
}

fn square<'a>(
    drawn: &[Judged<'a>],
    profiles: &'a [Profile],
    size: (usize, usize),
    seed: u64,
) -> (Vec<&'a Article>, Vec<&'a Profile>) {
    let mut ordered: Vec<&Judged<'a>> = drawn.iter().collect();
    ordered.sort_by(|a, b| b.truth.total_cmp(&a.truth));
    let (mut articles, mut readers): (Vec<&'a Article>, Vec<&'a Profile>) = (Vec::new(), Vec::new());
    for row in ordered {
        if articles.len() < size.0 && articles.iter().all(|a| a.id != row.article.id) {
            articles.push(row.article);
            if readers.iter().all(|p| p.id != row.profile.id) {
                readers.push(row.profile);
            }
        }
    }
    let mut more: Vec<&'a Profile> = profiles.iter().filter(|p| readers.iter().all(|r| r.id != p.id)).collect();
    more.sort_by_key(|p| lot(seed, &["square", p.id.as_str()]));
    readers.extend(more);
    readers.truncate(size.1);
    (articles, readers)
}

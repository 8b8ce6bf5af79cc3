//! Training and held-out rows: a seeded split over article clusters, stratified by reader and band.
//!
//! Owns which side a row is on, and guard D3, which proves it from the texts again. Does not own the clusters' rules
//! (`cluster`) or any repetition of rows (`balance`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::{Article, ArticleId, BandIndex, ProfileId};
use crate::guards::Finding;

use super::cluster::{ClusterId, Clusters, cluster};
use super::seeded::{below, generator, shuffle};

/// What the split needs to know of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKey {
    pub article: ArticleId,
    pub profile: ProfileId,
    pub band: BandIndex,
}

/// How much of one reader's rows in one band is held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StratumShare {
    pub profile: ProfileId,
    pub band: BandIndex,
    pub rows: usize,
    pub eval: usize,
}

impl StratumShare {
    pub fn share(&self) -> f64 {
        self.eval as f64 / self.rows.max(1) as f64
    }
}

/// The two sides, as ascending indices into the rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Split {
    pub train: Vec<usize>,
    pub eval: Vec<usize>,
    pub eval_clusters: BTreeSet<ClusterId>,
    pub train_clusters: usize,
    pub strata: Vec<StratumShare>,
}

/// Passes over all clusters; each only ever lowers the loss, and few are needed.
const MAX_PASSES: usize = 20;
/// Partners tried for each held-out cluster when swapping.
const SWAPS: usize = 48;

/// Holds out about `share` of the rows as whole clusters, so that every reader, every band and every pair of the two
/// has about that share. Both sides have a cluster where there are two and a share is asked for.
pub fn split(rows: &[RowKey], clusters: &Clusters, share: f64, seed: u64) -> Split {
    let mut of_cluster: BTreeMap<ClusterId, Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        of_cluster.entry(clusters.cluster_of(&row.article)).or_default().push(i);
    }
    let held = Search::new(rows, &of_cluster, share).run(seed);

    let mut out = Split::default();
    for ((id, members), held) in of_cluster.iter().zip(held) {
        if held {
            out.eval_clusters.insert(id.clone());
            out.eval.extend(members);
        } else {
            out.train_clusters += 1;
            out.train.extend(members);
        }
    }
    out.train.sort_unstable();
    out.eval.sort_unstable();
    out.strata = strata(rows, &out.eval);
    out
}

fn strata(rows: &[RowKey], eval: &[usize]) -> Vec<StratumShare> {
    let mut counts: BTreeMap<(&ProfileId, BandIndex), (usize, usize)> = BTreeMap::new();
    for row in rows {
        counts.entry((&row.profile, row.band)).or_default().0 += 1;
    }
    for row in eval.iter().filter_map(|&i| rows.get(i)) {
        counts.entry((&row.profile, row.band)).or_default().1 += 1;
    }
    let one = |((profile, band), (rows, eval)): ((&ProfileId, _), _)| StratumShare { profile: profile.clone(), band, rows, eval };
    counts.into_iter().map(one).collect()
}

/// (reader or all, band or all)
type QuotaKey<'a> = (Option<&'a ProfileId>, Option<BandIndex>);

/// Something whose held-out count should be near a quota: all rows, a reader, a band, or a reader in a band.
#[derive(Debug, Clone, Copy)]
struct Quota {
    wanted: f64,
    held: f64,
}

impl Quota {
    /// How far off, so that a rare band weighs as much as a common one.
    fn loss(self, change: f64) -> f64 {
        let off = self.held + change - self.wanted;
        off * off / self.wanted.max(0.5)
    }
}

/// Greedy choice, rare bands first, then flips and swaps of whole clusters while they bring the quotas nearer.
struct Search {
    quotas: Vec<Quota>,
    /// Per cluster: (quota, rows of the cluster that count towards it).
    touches: Vec<Vec<(usize, f64)>>,
    /// Per cluster: how rare its rarest stratum is.
    rarity: Vec<usize>,
    held: Vec<bool>,
    share: f64,
}

impl Search {
    fn new(rows: &[RowKey], of_cluster: &BTreeMap<ClusterId, Vec<usize>>, share: f64) -> Self {
        let mut index: BTreeMap<QuotaKey, (usize, usize)> = BTreeMap::new();
        let keys = |row: &RowKey| [(false, false), (true, false), (false, true), (true, true)].map(|(p, b)| (p, b, row.band));
        for row in rows {
            for (p, b, band) in keys(row) {
                let next = index.len();
                index.entry((p.then_some(&row.profile), b.then_some(band))).or_insert((next, 0)).1 += 1;
            }
        }
        let mut quotas = vec![Quota { wanted: 0.0, held: 0.0 }; index.len()];
        for &(at, count) in index.values() {
            quotas[at].wanted = share * count as f64;
        }
        let mut touches = Vec::with_capacity(of_cluster.len());
        let mut rarity = Vec::with_capacity(of_cluster.len());
        for members in of_cluster.values() {
            let mut counted: BTreeMap<usize, f64> = BTreeMap::new();
            let mut rarest = usize::MAX;
            for row in members.iter().filter_map(|&i| rows.get(i)) {
                for (p, b, band) in keys(row) {
                    if let Some(&(at, count)) = index.get(&(p.then_some(&row.profile), b.then_some(band))) {
                        *counted.entry(at).or_default() += 1.0;
                        rarest = rarest.min(count);
                    }
                }
            }
            touches.push(counted.into_iter().collect());
            rarity.push(rarest);
        }
        let held = vec![false; of_cluster.len()];
        Self { quotas, touches, rarity, held, share }
    }

    /// Change of the loss if the cluster changed sides.
    fn gain(&self, cluster: usize) -> f64 {
        let sign = if self.held[cluster] { -1.0 } else { 1.0 };
        self.touches[cluster].iter().map(|&(q, n)| self.quotas[q].loss(sign * n) - self.quotas[q].loss(0.0)).sum()
    }

    fn flip(&mut self, cluster: usize) {
        let sign = if self.held[cluster] { -1.0 } else { 1.0 };
        for &(q, n) in &self.touches[cluster] {
            self.quotas[q].held += sign * n;
        }
        self.held[cluster] = !self.held[cluster];
    }

    fn run(mut self, seed: u64) -> Vec<bool> {
        let n = self.held.len();
        if n < 2 || self.share <= 0.0 {
            return self.held;
        }
        let mut rng = generator(seed, "split", 0);
        let mut order: Vec<usize> = (0..n).collect();
        shuffle(&mut order, &mut rng);
        let mut rare_first = order.clone();
        rare_first.sort_by_key(|&c| self.rarity[c]);
        for c in rare_first {
            if self.gain(c) < 0.0 {
                self.flip(c);
            }
        }
        for _ in 0..MAX_PASSES {
            let mut better = false;
            for &c in &order {
                if self.gain(c) < -1e-9 {
                    self.flip(c);
                    better = true;
                }
            }
            let outside: Vec<usize> = order.iter().copied().filter(|&c| !self.held[c]).collect();
            let inside: Vec<usize> = order.iter().copied().filter(|&c| self.held[c]).collect();
            for c in inside {
                let before = self.gain(c);
                self.flip(c);
                let partner = (0..SWAPS.min(outside.len()))
                    .map(|_| outside[below(&mut rng, outside.len())])
                    .filter(|&o| !self.held[o])
                    .map(|o| (before + self.gain(o), o))
                    .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
                    .filter(|(change, _)| *change < -1e-9);
                if let Some((_, o)) = partner {
                    self.flip(o);
                    better = true;
                } else {
                    self.flip(c);
                }
            }
            if !better {
                break;
            }
        }
        self.keep_both_sides(&order);
        self.held
    }

    /// Moves the cluster that costs least where a side was left empty.
    fn keep_both_sides(&mut self, order: &[usize]) {
        let held = self.held.iter().filter(|h| **h).count();
        if held != 0 && held != self.held.len() {
            return;
        }
        let cheapest = order.iter().copied().min_by(|&a, &b| self.gain(a).total_cmp(&self.gain(b)));
        if let Some(c) = cheapest {
            self.flip(c);
        }
    }
}

/// Guard D3: clusters the articles of both sides anew, from their texts, and looks for one that is on both. Nothing
/// the split computed is trusted.
pub fn d3<'a>(train: impl IntoIterator<Item = &'a Article>, eval: impl IntoIterator<Item = &'a Article>) -> Finding {
    let train: Vec<&Article> = train.into_iter().collect();
    let eval: Vec<&Article> = eval.into_iter().collect();
    let clusters = cluster(train.iter().chain(&eval).copied());
    let of = |side: &[&Article]| side.iter().map(|a| clusters.cluster_of(&a.id)).collect::<BTreeSet<_>>();
    let (train_clusters, eval_clusters) = (of(&train), of(&eval));
    let shared: Vec<&ClusterId> = train_clusters.intersection(&eval_clusters).collect();
    if shared.is_empty() {
        return Finding::pass(
            "D3",
            format!("{} training and {} held-out article clusters share none", train_clusters.len(), eval_clusters.len()),
        );
    }
    let named: Vec<String> = shared.iter().take(5).map(|c| describe(c, &clusters, &train, &eval)).collect();
    Finding::fail(
        "D3",
        format!("{} article clusters are on both sides of the split; the first: {}", shared.len(), named.join("; ")),
        "build the dataset again from these articles, so that each cluster goes to one side",
    )
}

/// "a1 (training) = b7 (held out)"
fn describe(cluster: &ClusterId, clusters: &Clusters, train: &[&Article], eval: &[&Article]) -> String {
    let first = |side: &[&Article]| {
        side.iter()
            .map(|a| &a.id)
            .filter(|id| clusters.cluster_of(id) == *cluster)
            .min()
            .map_or_else(String::new, ToString::to_string)
    };
    format!("{} (training) = {} (held out)", first(train), first(eval))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{article, article_id, profile_id};
    use super::*;
    use proptest::prelude::*;

    fn row(article: usize, profile: usize, band: BandIndex) -> RowKey {
        RowKey { article: article_id(&format!("a{article:04}")), profile: profile_id(&format!("p{profile}")), band }
    }

    #[test]
    fn every_reader_and_band_gives_about_its_share() {
        // 100 articles, 10 readers; an article is critical for one reader, high for the next, noise for the rest.
        let mut rows = Vec::new();
        for a in 0..100 {
            for p in 0..10 {
                let band = if p == a % 10 {
                    4
                } else if p == (a + 1) % 10 {
                    3
                } else {
                    0
                };
                rows.push(row(a, p, band));
            }
        }
        let out = split(&rows, &Clusters::default(), 0.10, 19);
        assert_eq!((out.train.len(), out.eval.len()), (900, 100));
        for stratum in &out.strata {
            assert!((stratum.eval as f64 - stratum.rows as f64 * 0.1).abs() <= 1.0, "{stratum:?}");
        }
        assert!(out.strata.iter().filter(|s| s.band == 4).map(|s| s.eval).sum::<usize>() == 10);
    }

    #[test]
    fn two_clusters_give_one_to_each_side_and_one_cluster_stays_in_training() {
        let out = split(&[row(1, 0, 0), row(2, 0, 0)], &Clusters::default(), 0.1, 1);
        assert_eq!((out.train.len(), out.eval.len()), (1, 1));
        let out = split(&[row(1, 0, 0), row(1, 1, 0)], &Clusters::default(), 0.1, 1);
        assert_eq!((out.train.len(), out.eval.len()), (2, 0));
        assert_eq!(split(&[], &Clusters::default(), 0.1, 1), Split::default());
    }

    #[test]
    fn a_copy_on_the_other_side_is_named() {
        let text =
            "The company said on Tuesday that it will hire forty graduates in Kuwait this spring, most of them in software.";
        let a = article("a", "Equate hires forty graduates", text, "");
        let b = article("b", "Forty jobs", text, "");
        let c = article("c", "Something else entirely here", "No words in common.", "");
        assert!(!d3([&a], [&c]).failed());
        let finding = d3([&a, &c], [&b]);
        assert!(finding.failed() && finding.saw.contains("a (training) = b (held out)"), "{}", finding.saw);
    }

    proptest! {
        #[test]
        fn no_cluster_is_ever_on_both_sides(
            cells in prop::collection::vec((0usize..40, 0usize..6, 0usize..5), 0..200),
            joins in prop::collection::vec((0usize..40, 0usize..40), 0..10),
            share in 0.01f64..0.6,
            seed in any::<u64>(),
        ) {
            let rows: Vec<RowKey> = cells.iter().map(|&(a, p, b)| row(a, p, b)).collect();
            // Articles that share a title are one cluster.
            let mut title: Vec<usize> = (0..40).collect();
            for (a, b) in joins {
                title[a] = title[b];
            }
            let articles: Vec<Article> = (0..40)
                .map(|a| article(&format!("a{a:04}"), &format!("title number w{} x{} y{}", title[a], title[a], title[a]), "", ""))
                .collect();
            let clusters = cluster(&articles);
            let out = split(&rows, &clusters, share, seed);
            let of = |side: &[usize]| side.iter().map(|&i| clusters.cluster_of(&rows[i].article)).collect::<BTreeSet<_>>();
            let (train, eval) = (of(&out.train), of(&out.eval));
            prop_assert!(train.is_disjoint(&eval));
            prop_assert_eq!(out.train.len() + out.eval.len(), rows.len());
            let all = train.len() + eval.len();
            prop_assert!(all < 2 || (!train.is_empty() && !eval.is_empty()));
            prop_assert_eq!(split(&rows, &clusters, share, seed), out);
        }
    }
}

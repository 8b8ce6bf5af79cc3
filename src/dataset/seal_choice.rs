//! Choosing what is sealed: whole clusters, so that every mix of annotator, reader and band gives its share, and readers
//! that differ from one another.
//!
//! Owns the choice as a pure function of what is known and a seed. What is done with it is `seal`'s.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Article, BandIndex, Motivation, PairKey, Profile, ProfileId};

use super::cluster::{ClusterId, Clusters};
use super::seal::{SealedArticle, SealedCluster};
use super::seeded::{generator, shuffle};
use super::split::{RowKey, split};

/// A judged pair, as the choice sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedPair {
    pub pair: PairKey,
    pub annotator: String,
    pub band: BandIndex,
}

/// Fewer judged pairs than this say little about a reader.
const TELLING: usize = 30;

/// Whole clusters with about `share` of the clusters and of the rows, of every annotator's rows for every reader, and of
/// each band of them. `rows` of readers that are held out anyway should not be among them.
pub fn choose_clusters(articles: &[Article], clusters: &Clusters, rows: &[JudgedPair], share: f64, seed: u64) -> Vec<SealedCluster> {
    let stratum = |text: &str| {
        let plain: String = text.chars().map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).take(90).collect();
        ProfileId::new(format!("~{plain}")).ok()
    };
    let mut keys: Vec<RowKey> = Vec::with_capacity(rows.len() + articles.len());
    for row in rows {
        let name = format!("{}/{}", row.annotator, row.pair.profile);
        if let Some(profile) = stratum(&name) {
            keys.push(RowKey { article: row.pair.article.clone(), profile, band: row.band });
        }
    }
    // Every cluster is one row of a stratum of its own, so that the share holds for clusters too, judged or not.
    if let Some(profile) = stratum("clusters") {
        let firsts = clusters.members();
        let first = firsts.values().filter_map(|members| members.first());
        keys.extend(first.map(|id| RowKey { article: (*id).clone(), profile: profile.clone(), band: 0 }));
    }
    let chosen: BTreeSet<ClusterId> = split(&keys, clusters, share, seed).eval_clusters;
    sealed(articles, clusters, &chosen)
}

/// The clusters of some articles, whole.
pub fn sealed(articles: &[Article], clusters: &Clusters, chosen: &BTreeSet<ClusterId>) -> Vec<SealedCluster> {
    let mut members: BTreeMap<ClusterId, Vec<SealedArticle>> = BTreeMap::new();
    for article in articles {
        let cluster = clusters.cluster_of(&article.id);
        if chosen.contains(&cluster) {
            members.entry(cluster).or_default().push(SealedArticle::of(article));
        }
    }
    members.into_iter().map(|(id, articles)| SealedCluster { id: id.to_string(), articles }).collect()
}

/// `n` readers with enough judged pairs, drawn by the seed, each from another group where there are several: readers are
/// alike where the same annotators judged them and the same thing makes them read.
pub fn choose_readers(profiles: &[Profile], rows: &[JudgedPair], n: usize, seed: u64) -> Vec<ProfileId> {
    let mut judged: BTreeMap<&ProfileId, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for row in rows {
        let entry = judged.entry(&row.pair.profile).or_default();
        entry.0 += 1;
        entry.1.insert(&row.annotator);
    }
    let telling = judged.values().filter(|(count, _)| *count >= TELLING).count();
    let least = if telling >= n { TELLING } else { 1 };
    let mut groups: BTreeMap<(bool, BTreeSet<&str>), Vec<ProfileId>> = BTreeMap::new();
    for profile in profiles {
        if let Some((_, by)) = judged.get(&profile.id).filter(|(count, _)| *count >= least) {
            groups.entry((profile.motivation == Motivation::Career, by.clone())).or_default().push(profile.id.clone());
        }
    }
    let mut random = generator(seed, "sealed readers", 0);
    let mut groups: Vec<Vec<ProfileId>> = groups.into_values().collect();
    for group in &mut groups {
        group.sort();
        shuffle(group, &mut random);
    }
    shuffle(&mut groups, &mut random);
    // Larger groups first, so that one reader of a rare kind is not the first to go.
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let most = groups.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..most).flat_map(|turn| groups.iter().filter_map(move |group| group.get(turn)));
    let mut chosen: Vec<ProfileId> = turns.take(n).cloned().collect();
    chosen.sort();
    chosen
}

#[cfg(test)]
mod tests {
    use super::super::cluster::cluster;
    use super::super::testing::{article, article_id, profiles};
    use super::*;

    fn rows(profiles: &[Profile], articles: usize) -> Vec<JudgedPair> {
        let row = |a: usize, p: usize| JudgedPair {
            pair: PairKey { article: article_id(&format!("a{a:03}")), profile: profiles[p].id.clone() },
            annotator: if p < 5 { "one" } else { "two" }.into(),
            band: if (a + p).is_multiple_of(10) { 4 } else { 0 },
        };
        (0..articles).flat_map(|a| (0..profiles.len()).map(move |p| row(a, p))).collect()
    }

    fn articles(n: usize) -> Vec<Article> {
        (0..n).map(|a| article(&format!("a{a:03}"), &format!("number w{a} x{a} y{a} z{a}"), &format!("text{a}"), "")).collect()
    }

    #[test]
    fn a_fifth_of_the_clusters_has_a_fifth_of_the_rows_of_every_kind() {
        let (profiles, articles) = (profiles(), articles(200));
        // Only half of the articles are judged; the share holds for the others too.
        let rows = rows(&profiles, 100);
        let clusters = cluster(&articles);
        let chosen = choose_clusters(&articles, &clusters, &rows, 0.2, 19);
        assert!((38..=42).contains(&chosen.len()), "{}", chosen.len());
        let inside: BTreeSet<&str> = chosen.iter().flat_map(|c| &c.articles).map(|a| a.id.as_str()).collect();
        for band in [0, 4] {
            for annotator in ["one", "two"] {
                let of = |r: &&JudgedPair| r.band == band && r.annotator == annotator;
                let all = rows.iter().filter(of).count();
                let held = rows.iter().filter(of).filter(|r| inside.contains(r.pair.article.as_str())).count();
                let share = held as f64 / all as f64;
                assert!((0.15..=0.25).contains(&share), "{band} {annotator}: {share}");
            }
        }
        assert_eq!(choose_clusters(&articles, &clusters, &rows, 0.2, 19), chosen);
        assert_ne!(choose_clusters(&articles, &clusters, &rows, 0.2, 20), chosen);
    }

    #[test]
    fn readers_are_drawn_from_different_groups() {
        let profiles = profiles();
        let rows = rows(&profiles, 40);
        let chosen = choose_readers(&profiles, &rows, 4, 19);
        assert_eq!(chosen.len(), 4);
        let kind = |id: &ProfileId| {
            let at = profiles.iter().position(|p| p.id == *id).expect("known");
            (profiles[at].motivation, at < 5)
        };
        let kinds: BTreeSet<String> = chosen.iter().map(|id| format!("{:?}", kind(id))).collect();
        let there: BTreeSet<String> = profiles.iter().map(|p| format!("{:?}", kind(&p.id))).collect();
        assert_eq!(kinds.len(), there.len().min(4));
        assert_eq!(choose_readers(&profiles, &rows, 4, 19), chosen);
        assert_eq!(choose_readers(&profiles, &rows, 99, 19).len(), profiles.len());
        assert!(choose_readers(&profiles, &[], 4, 19).is_empty());
    }
}

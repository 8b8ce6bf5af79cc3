//! Choosing what is sealed: whole clusters, so that every mix of annotator, reader and band gives its share, and readers
//! that differ from one another.
//!
//! Owns the choice as a pure function of what is known and a seed. What is done with it is `seal`'s.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Article, BandIndex, Motivation, PairKey, Profile, ProfileId};

use super::cluster::{ClusterId, Clusters};
use super::seal::{Person, SealedArticle, SealedCluster, person};
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
pub fn choose_clusters(
    articles: &[Article],
    clusters: &Clusters,
    rows: &[JudgedPair],
    share: f64,
    seed: u64,
) -> Vec<SealedCluster> {
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

/// One person, under all of its ids.
#[derive(Default)]
struct Candidate<'a> {
    ids: Vec<ProfileId>,
    judged: usize,
    by: BTreeSet<&'a str>,
    career: bool,
}

/// `n` readers with enough judged pairs, drawn by the seed, each from another group where there are several: readers are
/// alike where the same annotators judged them and the same thing makes them read. A reader that is known under several
/// ids is held out under all of them. One with more than a tenth of all pairs is drawn only if there is no other: without
/// it the dataset would be another.
pub fn choose_readers(profiles: &[Profile], rows: &[JudgedPair], n: usize, seed: u64) -> Vec<ProfileId> {
    let mut judged: BTreeMap<&ProfileId, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for row in rows {
        let entry = judged.entry(&row.pair.profile).or_default();
        entry.0 += 1;
        entry.1.insert(&row.annotator);
    }
    let mut persons: BTreeMap<Person, Candidate<'_>> = BTreeMap::new();
    for profile in profiles {
        let candidate = persons.entry(person(profile)).or_default();
        candidate.ids.push(profile.id.clone());
        candidate.career |= profile.motivation == Motivation::Career;
        if let Some((count, by)) = judged.get(&profile.id) {
            candidate.judged += count;
            candidate.by.extend(by);
        }
    }
    let all: Vec<Candidate<'_>> = persons.into_values().filter(|c| c.judged > 0).collect();
    let fair = |c: &&Candidate<'_>| c.judged >= TELLING && c.judged * 10 <= rows.len();
    let candidates: Vec<&Candidate<'_>> =
        if all.iter().filter(fair).count() >= n { all.iter().filter(fair).collect() } else { all.iter().collect() };
    let mut groups: BTreeMap<(bool, &BTreeSet<&str>), Vec<&Candidate<'_>>> = BTreeMap::new();
    for candidate in candidates {
        groups.entry((candidate.career, &candidate.by)).or_default().push(candidate);
    }
    let mut random = generator(seed, "sealed readers", 0);
    let mut groups: Vec<Vec<&Candidate<'_>>> = groups.into_values().collect();
    for group in &mut groups {
        group.sort_by(|a, b| a.ids.cmp(&b.ids));
        shuffle(group, &mut random);
    }
    shuffle(&mut groups, &mut random);
    // Larger groups first, so that one reader of a rare kind is not the first to go.
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let most = groups.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..most).flat_map(|turn| groups.iter().filter_map(move |group| group.get(turn)));
    let mut chosen: Vec<ProfileId> = turns.take(n).flat_map(|candidate| candidate.ids.iter().cloned()).collect();
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

    #[test]
    fn a_reader_of_two_names_is_drawn_whole_and_one_that_carries_the_data_last() {
        let mut profiles = profiles();
        let twin = Profile { id: ProfileId::new("twin").expect("id"), context: "Told otherwise.".into(), ..profiles[0].clone() };
        let rows = rows(&profiles, 40);
        let rows: Vec<JudgedPair> = rows
            .into_iter()
            .flat_map(|row| if row.pair.profile == profiles[1].id { vec![row.clone(), row] } else { vec![row] })
            .collect();
        let first = profiles[0].id.clone();
        profiles.push(twin);
        let all_but_one = choose_readers(&profiles, &rows, 9, 19);
        assert!(!all_but_one.contains(&profiles[1].id), "a sixth of the rows");
        assert!(all_but_one.contains(&first) && all_but_one.iter().any(|id| id.as_str() == "twin"));
        assert_eq!(choose_readers(&profiles, &rows, 10, 19).len(), 11);
    }
}

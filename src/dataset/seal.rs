//! The sealed hold-out: article clusters and readers that no training row may touch.
//!
//! Owns what a seal holds (the members' texts, so that a later copy is found even when the rows are gone), finding
//! copies, and setting rows aside. Where the file lies, that nobody changed it, and who looked is the engine's; how the
//! members are chosen is `seal_choice`'s.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

use crate::domain::{Article, ArticleId, Digest, PairKey, Profile, ProfileId};
use crate::guards::Finding;

use super::cluster::{ClusterId, Clusters, cluster};
use super::keys::words;

/// Version of the file.
const FORMAT: u32 = 1;

/// An article as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SealedArticle {
    pub id: ArticleId,
    pub title: String,
    pub summary: String,
    pub source: String,
    pub url: String,
}

impl SealedArticle {
    pub fn of(article: &Article) -> Self {
        Self {
            id: article.id.clone(),
            title: article.title.clone(),
            summary: article.summary.clone(),
            source: article.source.clone(),
            url: article.url.clone(),
        }
    }

    fn article(&self) -> Option<Article> {
        let Self { id, title, summary, source, url } = self;
        serde_json::from_value(json!({"id": id, "title": title, "summary": summary, "source": source, "url": url})).ok()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SealedCluster {
    /// The smallest id of the cluster when it was sealed.
    pub id: String,
    pub articles: Vec<SealedArticle>,
}

/// A reader all of whose rows are held out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SealedReader {
    pub id: ProfileId,
    pub role: String,
    pub location: String,
    pub context: String,
}

impl SealedReader {
    pub fn of(profile: &Profile) -> Self {
        let Profile { id, role, location, context, .. } = profile.clone();
        Self { id, role, location, context }
    }

    fn person(&self) -> Person {
        (words(&self.role), words(&self.location))
    }
}

/// Who a reader is, however it is called: role and place. Prompts that tell more or less of the same reader are one person.
pub type Person = (Vec<String>, Vec<String>);

pub fn person(profile: &Profile) -> Person {
    (words(&profile.role), words(&profile.location))
}

/// A sealed hold-out, as its file says it. The same workspace and seed make the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seal {
    pub format: u32,
    /// Digest of the seal that this one contains.
    pub previous: Option<Digest>,
    pub seed: u64,
    /// Share of clusters and rows that was asked for.
    pub share: f64,
    pub clusters: Vec<SealedCluster>,
    pub readers: Vec<SealedReader>,
}

#[derive(Debug, Clone, PartialEq, Error)]
pub enum SealError {
    #[error("it is no seal: {0}")]
    Unreadable(String),
    #[error("it has format {0}, which this program does not know")]
    Format(u32),
}

/// Which part of a pair is held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    Article,
    Reader,
    Both,
}

impl Held {
    pub fn label(self) -> &'static str {
        match self {
            Self::Article => "sealed article",
            Self::Reader => "sealed reader",
            Self::Both => "sealed article and reader",
        }
    }
}

/// An article outside the seal that is in one cluster with one inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCopy {
    pub article: ArticleId,
    pub title: String,
    /// A sealed member of the cluster.
    pub of: ArticleId,
    /// The step that joined it, in words: "same title", "near text (83 %)".
    pub by: String,
}

impl Seal {
    /// A seal of whole clusters and readers. Order of the arguments does not matter.
    pub fn new(seed: u64, share: f64, mut clusters: Vec<SealedCluster>, mut readers: Vec<SealedReader>) -> Self {
        for cluster in &mut clusters {
            cluster.articles.sort();
        }
        clusters.sort();
        readers.sort();
        Self { format: FORMAT, previous: None, seed, share, clusters, readers }
    }

    /// This seal with more clusters and readers; `digest` is this one's. Clusters that share an id become one.
    #[must_use]
    pub fn with(&self, digest: &Digest, more: Vec<SealedCluster>, readers: Vec<SealedReader>) -> Self {
        let mut clusters: BTreeMap<String, BTreeSet<SealedArticle>> = BTreeMap::new();
        for cluster in self.clusters.iter().cloned().chain(more) {
            clusters.entry(cluster.id).or_default().extend(cluster.articles);
        }
        let clusters = clusters.into_iter().map(|(id, articles)| SealedCluster { id, articles: articles.into_iter().collect() });
        let readers: BTreeSet<SealedReader> = self.readers.iter().cloned().chain(readers).collect();
        let sealed = Self::new(self.seed, self.share, clusters.collect(), readers.into_iter().collect());
        Self { previous: Some(digest.clone()), ..sealed }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // Plain text fields always serialise.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let seal: Self = serde_json::from_slice(bytes).map_err(|e| SealError::Unreadable(e.to_string()))?;
        if seal.format == FORMAT { Ok(seal) } else { Err(SealError::Format(seal.format)) }
    }

    pub fn article_ids(&self) -> BTreeSet<&ArticleId> {
        self.clusters.iter().flat_map(|c| &c.articles).map(|a| &a.id).collect()
    }

    pub fn reader_ids(&self) -> BTreeSet<&ProfileId> {
        self.readers.iter().map(|r| &r.id).collect()
    }

    /// The articles as they were sealed.
    pub fn articles(&self) -> Vec<Article> {
        self.clusters.iter().flat_map(|c| &c.articles).filter_map(SealedArticle::article).collect()
    }

    /// Articles of `known` that are the same as a sealed one under another id, address, title or wording.
    pub fn copies(&self, known: &[Article]) -> Vec<SealedCopy> {
        let sealed = self.articles();
        let clusters = cluster(known.iter().chain(&sealed));
        let inside = self.article_ids();
        let mut sealed_of: BTreeMap<ClusterId, &ArticleId> = BTreeMap::new();
        for id in &inside {
            sealed_of.entry(clusters.cluster_of(id)).or_insert(id);
        }
        let mut copies: BTreeMap<&ArticleId, SealedCopy> = BTreeMap::new();
        for article in known.iter().filter(|a| !inside.contains(&a.id)) {
            if let Some(of) = sealed_of.get(&clusters.cluster_of(&article.id)) {
                let (of, by) = joined_by(&clusters, &article.id, &inside, of);
                copies.insert(&article.id, SealedCopy { article: article.id.clone(), title: article.title.clone(), of, by });
            }
        }
        copies.into_values().collect()
    }

    /// Readers of `known` with the role and place of a sealed one and another id: (reader, the sealed one).
    pub fn twins<'a>(&self, known: impl IntoIterator<Item = &'a Profile>) -> Vec<(ProfileId, ProfileId)> {
        let persons: BTreeMap<Person, &ProfileId> = self.readers.iter().map(|r| (r.person(), &r.id)).collect();
        let sealed = self.reader_ids();
        let outside = known.into_iter().filter(|p| !sealed.contains(&p.id));
        outside.filter_map(|p| persons.get(&person(p)).map(|id| (p.id.clone(), (*id).clone()))).collect()
    }

    /// The clusters that `copies` belong to, grown by them; for [`Seal::with`].
    pub fn grown_by(&self, copies: &[SealedCopy], known: &[Article]) -> Vec<SealedCluster> {
        let texts: BTreeMap<&ArticleId, &Article> = known.iter().map(|a| (&a.id, a)).collect();
        let of_article: BTreeMap<&ArticleId, &str> =
            self.clusters.iter().flat_map(|c| c.articles.iter().map(|a| (&a.id, c.id.as_str()))).collect();
        let grown = copies.iter().filter_map(|copy| {
            let id = (*of_article.get(&copy.of)?).to_owned();
            Some(SealedCluster { id, articles: vec![SealedArticle::of(texts.get(&copy.article)?)] })
        });
        grown.collect()
    }
}

/// The join of an article that says most: one with a sealed member, else any; with that member.
fn joined_by(clusters: &Clusters, id: &ArticleId, sealed: &BTreeSet<&ArticleId>, fallback: &ArticleId) -> (ArticleId, String) {
    let own = clusters.joins.iter().filter(|join| join.a == *id || join.b == *id);
    let other = |join: &super::cluster::Join| if join.a == *id { join.b.clone() } else { join.a.clone() };
    let mut found: Option<(ArticleId, String)> = None;
    for join in own {
        let other = other(join);
        if sealed.contains(&other) {
            return (other, join.reason.to_string());
        }
        found.get_or_insert_with(|| (fallback.clone(), format!("{} with {other}", join.reason)));
    }
    found.unwrap_or_else(|| (fallback.clone(), "same id".into()))
}

/// What a seal holds out, for quick questions about many pairs.
pub struct Sealed<'a> {
    articles: BTreeSet<&'a ArticleId>,
    readers: BTreeSet<&'a ProfileId>,
}

impl<'a> Sealed<'a> {
    pub fn new(seal: &'a Seal) -> Self {
        Self { articles: seal.article_ids(), readers: seal.reader_ids() }
    }

    pub fn holds(&self, pair: &PairKey) -> Option<Held> {
        match (self.articles.contains(&pair.article), self.readers.contains(&pair.profile)) {
            (true, true) => Some(Held::Both),
            (true, false) => Some(Held::Article),
            (false, true) => Some(Held::Reader),
            (false, false) => None,
        }
    }
}

/// Rows that one finding names.
const NAMED: usize = 8;

/// Guard D3 for the seal: rows to be taught from whose article is a copy of a sealed one, or whose reader is a sealed one
/// under another id. `rows` are the pairs outside the seal.
pub fn d3_sealed<'a>(
    copies: &[SealedCopy],
    twins: &[(ProfileId, ProfileId)],
    rows: impl IntoIterator<Item = &'a PairKey>,
) -> Option<Finding> {
    let by_article: BTreeMap<&ArticleId, &SealedCopy> = copies.iter().map(|copy| (&copy.article, copy)).collect();
    let by_reader: BTreeMap<&ProfileId, &ProfileId> = twins.iter().map(|(twin, of)| (twin, of)).collect();
    let (mut of_copies, mut of_twins) = (BTreeMap::<&ArticleId, Vec<&PairKey>>::new(), BTreeMap::<&ProfileId, usize>::new());
    for pair in rows {
        if let Some(copy) = by_article.get(&pair.article) {
            of_copies.entry(&copy.article).or_default().push(pair);
        }
        if let Some((twin, _)) = by_reader.get_key_value(&pair.profile) {
            *of_twins.entry(twin).or_default() += 1;
        }
    }
    if of_copies.is_empty() && of_twins.is_empty() {
        return None;
    }
    let count: usize = of_copies.values().map(Vec::len).sum();
    let mut named: Vec<String> = of_copies
        .iter()
        .map(|(id, pairs)| {
            let copy = by_article[id];
            let readers: Vec<&str> = pairs.iter().take(3).map(|p| p.profile.as_str()).collect();
            let more = if pairs.len() > 3 { format!(" and {} more", pairs.len() - 3) } else { String::new() };
            format!("{id} is {} ({}), with rows for {}{more}", copy.of, copy.by, readers.join(", "))
        })
        .collect();
    named.extend(of_twins.iter().map(|(twin, n)| format!("reader {twin} is {} ({n} rows)", by_reader[twin])));
    let all = named.len();
    named.truncate(NAMED);
    let rest = if all > NAMED { format!("; and {} more", all - NAMED) } else { String::new() };
    let twin_rows: usize = of_twins.values().sum();
    let readers = if twin_rows > 0 { format!(", {twin_rows} about sealed readers under another id") } else { String::new() };
    Some(Finding::fail(
        "D3",
        format!("{count} rows are about {} copies of sealed articles{readers}: {}{rest}", of_copies.len(), named.join("; ")),
        "take the copies into the seal with 'stratos dataset seal --add-copies'; what was trained on them before is no longer \
         judged by sealed rows",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{article, article_id, profile_id, profiles};
    use super::*;

    const SUMMARY: &str = "The company said on Tuesday that it will hire forty graduates in Kuwait this spring, most of them \
                           in software, and that applications are open until the end of March on its careers page.";

    fn sealed() -> Seal {
        let a = article("a", "Equate hires forty graduates in Kuwait", SUMMARY, "https://one.example/x");
        let cluster = SealedCluster { id: "a".into(), articles: vec![SealedArticle::of(&a)] };
        Seal::new(19, 0.2, vec![cluster], vec![SealedReader::of(&profiles()[0])])
    }

    fn known() -> Vec<Article> {
        vec![
            article("exact", "Equate hires forty graduates in Kuwait", SUMMARY, "https://one.example/x"),
            article("retitled", "Read this now", SUMMARY, "https://two.example/y"),
            article("syndicated", "EQUATE hires forty graduates in Kuwait", "Short.", "https://three.example/z"),
            article("tracked", "Other words entirely", "And another text.", "http://www.one.example/x/?utm_source=rss"),
            article("other", "Jazeera Airways adds a route to Houston", "The carrier starts in June.", ""),
        ]
    }

    #[test]
    fn copies_are_found_though_the_sealed_row_itself_is_gone() {
        let found: Vec<String> = sealed().copies(&known()).iter().map(|c| c.article.to_string()).collect();
        assert_eq!(found, ["exact", "retitled", "syndicated", "tracked"]);
        assert!(sealed().copies(&known()).iter().all(|c| c.of.as_str() == "a"));
    }

    #[test]
    fn rows_of_copies_are_named_and_adopting_the_copies_ends_it() {
        let (seal, known) = (sealed(), known());
        let copies = seal.copies(&known);
        let pair = |a: &str| PairKey { article: article_id(a), profile: profile_id("p") };
        let rows = [pair("retitled"), pair("other")];
        let finding = d3_sealed(&copies, &[], &rows).expect("a copy has a row");
        assert!(
            finding.saw.starts_with("1 rows are about 1 copies") && finding.saw.contains("retitled is a (near text"),
            "{}",
            finding.saw
        );
        assert_eq!(d3_sealed(&copies, &[], &rows[1..]), None, "a copy without rows is no leak");
        let digest = Digest::of(seal.to_bytes());
        let grown = seal.with(&digest, seal.grown_by(&copies, &known), Vec::new());
        assert_eq!(grown.previous, Some(digest));
        assert!(grown.copies(&known).is_empty());
        assert_eq!((grown.clusters.len(), grown.clusters[0].articles.len()), (1, 5));
        assert!(seal.article_ids().is_subset(&grown.article_ids()));
    }

    #[test]
    fn a_sealed_reader_under_another_id_is_told() {
        let mut all = profiles();
        all[1] = Profile { id: profile_id("twin"), ..all[0].clone() };
        let twins = sealed().twins(&all);
        assert_eq!(twins, [(profile_id("twin"), all[0].id.clone())]);
        let row = PairKey { article: article_id("other"), profile: profile_id("twin") };
        assert!(d3_sealed(&[], &twins, [&row]).expect("a twin has a row").saw.contains("reader twin is"));
    }

    #[test]
    fn the_file_reads_back_and_other_bytes_are_refused() {
        let seal = sealed();
        assert_eq!(Seal::from_bytes(&seal.to_bytes()), Ok(seal.clone()));
        assert!(matches!(Seal::from_bytes(b"{}"), Err(SealError::Unreadable(_))));
        assert_eq!(Seal::from_bytes(&Seal { format: 9, ..seal }.to_bytes()), Err(SealError::Format(9)));
    }

    #[test]
    fn both_halves_of_a_pair_can_be_held_out() {
        let seal = sealed();
        let sealed = Sealed::new(&seal);
        let pair = |a: &str, p: &ProfileId| PairKey { article: article_id(a), profile: p.clone() };
        let (inside, outside) = (profiles()[0].id.clone(), profile_id("p"));
        assert_eq!(sealed.holds(&pair("a", &outside)), Some(Held::Article));
        assert_eq!(sealed.holds(&pair("b", &inside)), Some(Held::Reader));
        assert_eq!(sealed.holds(&pair("a", &inside)), Some(Held::Both));
        assert_eq!(sealed.holds(&pair("b", &outside)), None);
    }
}

//! Article clusters: which rows are the same article under another id, address, title or wording.
//!
//! Owns the rules of sameness and the reason of each join. Does not decide what is done with a cluster: the split
//! keeps it on one side, the articles tab shows it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{Article, ArticleId};

use super::{keys, near};

/// Names a cluster by the smallest article id in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(ArticleId);

impl ClusterId {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why two articles are one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum JoinReason {
    SameUrl,
    SameTitle,
    /// Jaccard similarity of the shingles of title and summary.
    NearText {
        similarity: f64,
    },
}

impl JoinReason {
    /// Short stable name to count by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SameUrl => "same url",
            Self::SameTitle => "same title",
            Self::NearText { .. } => "near text",
        }
    }
}

impl fmt::Display for JoinReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NearText { similarity } => write!(f, "near text ({:.0} %)", similarity * 100.0),
            other => f.pad(other.kind()),
        }
    }
}

/// One step that made a cluster: `b` joined the cluster of `a`. The joins of a cluster of n articles are n − 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Join {
    pub a: ArticleId,
    pub b: ArticleId,
    #[serde(flatten)]
    pub reason: JoinReason,
}

/// Which article belongs to which cluster, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clusters {
    pub of: BTreeMap<ArticleId, ClusterId>,
    pub joins: Vec<Join>,
}

impl Clusters {
    /// The cluster of an article; one that was never clustered is alone.
    pub fn cluster_of(&self, article: &ArticleId) -> ClusterId {
        self.of.get(article).cloned().unwrap_or_else(|| ClusterId(article.clone()))
    }

    /// Articles of each cluster, in order of id.
    pub fn members(&self) -> BTreeMap<&ClusterId, Vec<&ArticleId>> {
        let mut members: BTreeMap<&ClusterId, Vec<&ArticleId>> = BTreeMap::new();
        for (article, cluster) in &self.of {
            members.entry(cluster).or_default().push(article);
        }
        members
    }

    pub fn len(&self) -> usize {
        self.members().len()
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Joins by kind of reason.
    pub fn joins_by_reason(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for join in &self.joins {
            *counts.entry(join.reason.kind()).or_default() += 1;
        }
        counts
    }
}

/// Clusters articles by id, canonical url, normalised title and near-duplicate text. Rows with one id are one article
/// even where their texts differ. The result does not depend on the order of the input.
pub fn cluster<'a>(articles: impl IntoIterator<Item = &'a Article>) -> Clusters {
    let mut rows: Vec<&Article> = articles.into_iter().collect();
    rows.sort_by(|a, b| (&a.id, &a.title, &a.summary, &a.url).cmp(&(&b.id, &b.title, &b.summary, &b.url)));
    let mut sets = Sets::new(&rows);
    for i in 1..rows.len() {
        if rows[i].id == rows[i - 1].id {
            sets.join(i - 1, i, None);
        }
    }

    let mut urls: HashMap<String, usize> = HashMap::new();
    let mut titles: HashMap<String, usize> = HashMap::new();
    let mut texts = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        if let Some(url) = keys::canonical_url(&row.url) {
            sets.join(*urls.entry(url).or_insert(i), i, Some(JoinReason::SameUrl));
        }
        if let Some(key) = title_key(row) {
            sets.join(*titles.entry(key).or_insert(i), i, Some(JoinReason::SameTitle));
        }
        texts.push(shingles_of(row));
    }

    near::near_pairs(
        &texts,
        &mut sets,
        |sets, a, b| sets.root(a) == sets.root(b),
        |sets, a, b, shared, union| {
            let similarity = shared as f64 / union as f64;
            sets.join(a, b, Some(JoinReason::NearText { similarity }));
        },
    );
    sets.finish()
}

/// What one article is compared with others by, made once.
pub struct Likeness {
    url: Option<String>,
    title: Option<String>,
    shingles: Vec<u64>,
}

impl Likeness {
    pub fn to(article: &Article) -> Self {
        Self { url: keys::canonical_url(&article.url), title: title_key(article), shingles: shingles_of(article) }
    }

    /// Why another article is the same one, by the rules of [`cluster`]; `None`: it is not.
    pub fn of(&self, other: &Article) -> Option<JoinReason> {
        if self.url.is_some() && self.url == keys::canonical_url(&other.url) {
            return Some(JoinReason::SameUrl);
        }
        if self.title.is_some() && self.title == title_key(other) {
            return Some(JoinReason::SameTitle);
        }
        let theirs = shingles_of(other);
        let similarity = near::similarity(&self.shingles, &theirs)?;
        Some(JoinReason::NearText { similarity })
    }
}

fn shingles_of(article: &Article) -> Vec<u64> {
    let mut text = title_words(article);
    text.extend(keys::words(&article.summary));
    keys::shingles(&text)
}

/// What two articles with the same title share: the title, or where it is too short to tell, title and summary. `None`:
/// neither says enough.
pub fn title_key(article: &Article) -> Option<String> {
    let title = title_words(article);
    if keys::is_telling_title(&title) {
        return Some(title.join(" "));
    }
    let summary = keys::words(&article.summary);
    // Few words are shared by chance; with the same summary they are not.
    (!summary.is_empty()).then(|| format!("{}\n{}", title.join(" "), summary.join(" ")))
}

/// The words of the title without a trailing " - Name of the source".
fn title_words(article: &Article) -> Vec<String> {
    let mut title = keys::words(&article.title);
    let source = keys::words(&article.source);
    let has_separator = article.title.contains([' ', '|', '–', '—', '-']);
    if has_separator && !source.is_empty() && title.len() > source.len() + 3 && title.ends_with(&source) {
        title.truncate(title.len() - source.len());
    }
    title
}

/// Union-find over rows; the root of a set is its first row, so its id is the smallest.
struct Sets<'a> {
    rows: &'a [&'a Article],
    parent: Vec<usize>,
    joins: Vec<Join>,
}

impl<'a> Sets<'a> {
    fn new(rows: &'a [&'a Article]) -> Self {
        Self { rows, parent: (0..rows.len()).collect(), joins: Vec::new() }
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.parent[i] != i {
            self.parent[i] = self.parent[self.parent[i]];
            i = self.parent[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize, reason: Option<JoinReason>) {
        let (root_a, root_b) = (self.root(a), self.root(b));
        if root_a == root_b {
            return;
        }
        self.parent[root_a.max(root_b)] = root_a.min(root_b);
        if let Some(reason) = reason {
            self.joins.push(Join { a: self.rows[a].id.clone(), b: self.rows[b].id.clone(), reason });
        }
    }

    fn finish(mut self) -> Clusters {
        let mut of = BTreeMap::new();
        for i in 0..self.rows.len() {
            let root = self.root(i);
            of.insert(self.rows[i].id.clone(), ClusterId(self.rows[root].id.clone()));
        }
        Clusters { of, joins: self.joins }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{article, real_articles};
    use super::*;

    const SUMMARY: &str = "The company said on Tuesday that it will hire forty graduates in Kuwait this spring, most of them \
                           in software, and that applications are open until the end of March on its careers page.";

    fn joined(articles: &[Article]) -> Vec<&'static str> {
        cluster(articles).joins.iter().map(|j| j.reason.kind()).collect()
    }

    #[test]
    fn an_exact_copy_under_another_id_is_found() {
        let a = article("a", "Equate hires forty graduates in Kuwait", SUMMARY, "");
        let b = Article { id: ArticleId::new("b").expect("id"), ..a.clone() };
        assert_eq!(joined(&[a, b]), ["same title"]);
    }

    #[test]
    fn a_retitled_copy_is_found_by_its_text() {
        let a = article("a", "Equate hires forty graduates in Kuwait", SUMMARY, "https://one.example/x");
        let b = article("b", "Forty jobs for young engineers", SUMMARY, "https://two.example/y");
        assert_eq!(joined(&[a, b]), ["near text"]);
    }

    #[test]
    fn a_syndicated_copy_is_found_by_title_or_by_url() {
        let a = article("a", "Equate hires forty graduates in Kuwait", SUMMARY, "https://one.example/x");
        let mut b = article("b", "EQUATE hires forty graduates in Kuwait - Gulf Wire", "Short.", "https://two.example/y");
        b.source = "Gulf Wire".into();
        let c = article("c", "Different words here", "Nothing alike", "http://www.one.example/x/?utm_source=rss");
        let clusters = cluster(&[c, b, a]);
        assert_eq!(clusters.len(), 1);
        assert!(clusters.of.values().all(|c| c.as_str() == "a"));
        assert_eq!(clusters.joins_by_reason(), [("same title", 1), ("same url", 1)].into());
    }

    #[test]
    fn a_short_title_joins_only_with_its_summary() {
        let a = article("a", "Markets today", "Oil rose by two percent after the meeting in Vienna ended.", "");
        let b = article("b", "Markets today", "Gold fell as traders waited for the central bank to speak.", "");
        let c = article("c", "Markets Today!", "Oil rose by two percent after the meeting in Vienna ended", "");
        assert_eq!(cluster(&[a.clone(), b.clone()]).len(), 2);
        assert_eq!(cluster(&[a, b, c]).len(), 2);
    }

    #[test]
    fn different_articles_stay_apart() {
        let a = article("a", "Equate hires forty graduates in Kuwait", SUMMARY, "https://one.example/x");
        let b = article("b", "Jazeera Airways adds a route to Houston", "The carrier starts in June with four flights.", "");
        assert_eq!(cluster(&[a, b]).len(), 2);
    }

    #[test]
    fn copies_in_arabic_and_japanese_are_found() {
        let a = article(
            "a",
            "برومو كنز الغلابة",
            "أطلق اليوم السابع برومو المسلسل الجديد الذي يعرض في شهر رمضان على شاشته وعلى موقعه",
            "",
        );
        let b =
            article("b", "شاهد الآن", "أَطلق اليوم السابع برومو المسلسل الجديد الذي يعرض في شهر رمضان على شاشته وعلى موقعه", "");
        assert_eq!(joined(&[a, b]), ["near text"]);
        let c = article("c", "新工場", "東京で新しい半導体工場が来月開業すると会社が発表した。投資額は五千億円である。", "");
        let d = article("d", "半導体", "東京で新しい半導体工場が来月開業すると会社が発表した。投資額は五千億円である", "");
        assert_eq!(joined(&[c, d]), ["near text"]);
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter() {
        let mut rows = vec![
            article("a", "Equate hires forty graduates in Kuwait", SUMMARY, "https://one.example/x"),
            article("b", "Forty jobs", SUMMARY, "https://two.example/y"),
            article("c", "Other words", "", "https://two.example/y#z"),
        ];
        let first = cluster(&rows);
        rows.reverse();
        assert_eq!(cluster(&rows), first);
    }

    #[test]
    fn rows_with_one_id_are_one_article() {
        let rows = [article("a", "One two three four", "x", ""), article("a", "Five six seven eight", "y", "")];
        let clusters = cluster(&rows);
        assert_eq!((clusters.of.len(), clusters.len()), (1, 1));
    }

    #[test]
    fn real_articles_are_clustered_and_the_joins_can_be_read() {
        let Some(articles) = real_articles() else { return };
        let start = std::time::Instant::now();
        let clusters = cluster(&articles);
        eprintln!(
            "{} articles, {} clusters, {:?} in {:?}",
            articles.len(),
            clusters.len(),
            clusters.joins_by_reason(),
            start.elapsed()
        );
        let by_id: BTreeMap<_, _> = articles.iter().map(|a| (&a.id, a)).collect();
        for join in &clusters.joins {
            eprintln!("  {}: {} | {}", join.reason, by_id[&join.a].title, by_id[&join.b].title);
        }
        assert!(clusters.len() <= articles.len());
    }

    #[test]
    #[ignore = "a measurement: 200,000 articles"]
    fn two_hundred_thousand_articles_stay_feasible() {
        use super::super::seeded::{below, generator};
        let mut rng = generator(1, "bench", 0);
        let mut text = |n: usize| -> String {
            // Common words are common: the product of two draws is small more often than not.
            let word = |_| format!("w{}", below(&mut rng, 250) * below(&mut rng, 250) % 30_011);
            (0..n).map(word).collect::<Vec<_>>().join(" ")
        };
        let mut rows: Vec<Article> = Vec::new();
        for i in 0..200_000 {
            let copy = (i % 20 == 19).then(|| rows[i / 2].summary.clone());
            let summary = copy.unwrap_or_else(|| format!("subscribe now to read the full story {}", text(35)));
            rows.push(article(&format!("a{i}"), &text(9), &summary, ""));
        }
        let start = std::time::Instant::now();
        let clusters = cluster(&rows);
        eprintln!("{} clusters of {} articles in {:?}", clusters.len(), rows.len(), start.elapsed());
        assert_eq!(clusters.len(), 190_000);
    }
}

//! What a student must beat. Owns the baselines that know no language model: the constant, the profile's median and
//! word overlap; they are fitted on training data only and predict on the same rows as the student.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::{Article, Digest, Profile};

/// Names that [`Baselines::predict`] knows.
pub const BASELINES: [&str; 3] = ["constant", "profile median", "lexical"];

/// Weights of the lexical baseline: bias, tracked hits, interest hits, tf-idf cosine, place hit.
const FEATURES: usize = 5;
/// Ridge penalty on every weight but the bias.
const RIDGE: f64 = 1.0;

/// Words too frequent to say what a text is about.
const STOP_WORDS: [&str; 40] = [
    "a", "about", "after", "all", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "have", "how", "in", "into",
    "is", "it", "its", "more", "new", "none", "of", "on", "or", "our", "that", "the", "their", "they", "this", "to", "was",
    "were", "who", "will", "with", "you",
];

/// The fitted baselines.
#[derive(Debug, Clone, PartialEq)]
pub struct Baselines {
    constant: f64,
    profile_medians: BTreeMap<String, f64>,
    /// ln((1 + articles) / (1 + articles with the word)) + 1
    idf: HashMap<String, f64>,
    unseen_idf: f64,
    weights: [f64; FEATURES],
    /// Ends of the scale; its middle is said where there is no training data at all.
    scale: (f64, f64),
    /// Rows that it was fitted on.
    rows: usize,
}

impl Baselines {
    /// Fits all baselines on training pairs and the teacher's scores of them, which lie on `scale`.
    pub fn fit(train: &[(&Profile, &Article, f64)], scale: (f64, f64)) -> Self {
        let train: Vec<_> = train.iter().copied().filter(|(.., score)| score.is_finite()).collect();
        let mut by_profile: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (profile, _, score) in &train {
            by_profile.entry(profile.id.as_str().to_owned()).or_default().push(*score);
        }
        let constant = median(train.iter().map(|(.., score)| *score)).unwrap_or(f64::midpoint(scale.0, scale.1));
        let profile_medians =
            by_profile.into_iter().filter_map(|(id, scores)| median(scores.into_iter()).map(|m| (id, m))).collect();
        let (idf, unseen_idf) = fit_idf(&train);
        let weights = [0.0; FEATURES];
        let mut fitted = Self { constant, profile_medians, idf, unseen_idf, weights, scale, rows: train.len() };
        let mut points = Vec::with_capacity(train.len());
        let mut profiles: HashMap<&str, ProfileWords> = HashMap::new();
        let mut articles: HashMap<&str, ArticleWords> = HashMap::new();
        for (profile, article, score) in &train {
            let reader = profiles.entry(profile.id.as_str()).or_insert_with(|| ProfileWords::of(profile));
            let text = articles.entry(article.id.as_str()).or_insert_with(|| ArticleWords::of(article));
            points.push((fitted.features(reader, text), *score));
        }
        fitted.weights = ridge(&points).unwrap_or([fitted.constant, 0.0, 0.0, 0.0, 0.0]);
        fitted
    }

    /// The median of the training scores: the constant with the least absolute error there.
    pub fn constant(&self) -> f64 {
        self.constant
    }

    /// Whether there was anything to fit them on.
    pub fn fitted(&self) -> bool {
        self.rows > 0
    }

    /// Names what they were fitted to: the same numbers, the same digest.
    pub fn digest(&self) -> Digest {
        let idf: BTreeMap<&String, &f64> = self.idf.iter().collect();
        Digest::of_json(&(self.constant, &self.profile_medians, idf, self.weights, self.scale))
    }

    /// What the baseline of that name says, on the scale. A profile without training rows and an unknown name get the
    /// constant.
    pub fn predict(&self, name: &str, profile: &Profile, article: &Article) -> f64 {
        match name {
            "profile median" => self.profile_medians.get(profile.id.as_str()).copied().unwrap_or(self.constant),
            "lexical" => self.lexical(&ProfileWords::of(profile), &ArticleWords::of(article)),
            _ => self.constant,
        }
    }

    /// The same for many pairs; the words of each profile and article are taken once.
    pub fn predict_all<'a>(&self, name: &str, pairs: impl Iterator<Item = (&'a Profile, &'a Article)>) -> Vec<f64> {
        let mut profiles: HashMap<&str, ProfileWords> = HashMap::new();
        let mut articles: HashMap<&str, ArticleWords> = HashMap::new();
        let mut predict = |(profile, article): (&'a Profile, &'a Article)| {
            if name != "lexical" {
                return self.predict(name, profile, article);
            }
            let reader = profiles.entry(profile.id.as_str()).or_insert_with(|| ProfileWords::of(profile));
            let text = articles.entry(article.id.as_str()).or_insert_with(|| ArticleWords::of(article));
            self.lexical(reader, text)
        };
        pairs.map(&mut predict).collect()
    }

    fn lexical(&self, reader: &ProfileWords, text: &ArticleWords) -> f64 {
        let score: f64 = self.features(reader, text).iter().zip(&self.weights).map(|(f, w)| f * w).sum();
        score.clamp(self.scale.0, self.scale.1)
    }

    /// 1, ln(1 + tracked names in the article), ln(1 + interest words in it), tf-idf cosine, place named.
    fn features(&self, profile: &ProfileWords, article: &ArticleWords) -> [f64; FEATURES] {
        let named = |phrases: &[Vec<String>]| phrases.iter().filter(|phrase| article.contains(phrase)).count() as f64;
        let interests = profile.interests.iter().filter(|word| article.counts.contains_key(*word)).count() as f64;
        let place = if named(&profile.places) > 0.0 { 1.0 } else { 0.0 };
        [1.0, named(&profile.tracked).ln_1p(), interests.ln_1p(), self.cosine(&profile.counts, &article.counts), place]
    }

    fn cosine(&self, a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>) -> f64 {
        let weight = |word: &str, count: f64| count.ln_1p() * self.idf.get(word).copied().unwrap_or(self.unseen_idf);
        let norm = |counts: &BTreeMap<String, f64>| counts.iter().map(|(w, c)| weight(w, *c).powi(2)).sum::<f64>().sqrt();
        let dot: f64 = a.iter().filter_map(|(w, c)| b.get(w).map(|d| weight(w, *c) * weight(w, *d))).sum();
        let norms = norm(a) * norm(b);
        if norms > 0.0 { dot / norms } else { 0.0 }
    }
}

struct ProfileWords {
    tracked: Vec<Vec<String>>,
    interests: HashSet<String>,
    places: Vec<Vec<String>>,
    counts: BTreeMap<String, f64>,
}

impl ProfileWords {
    fn of(profile: &Profile) -> Self {
        let phrases = |texts: &mut dyn Iterator<Item = &str>| -> Vec<Vec<String>> {
            texts.map(|t| words(t).collect::<Vec<_>>()).filter(|words| !words.is_empty()).collect()
        };
        let interests: HashSet<String> = profile.interests.iter().flat_map(|i| content_words(i)).collect();
        let everything =
            [&profile.role, &profile.context, &profile.location].into_iter().chain(&profile.tracked).chain(&profile.interests);
        Self {
            tracked: phrases(&mut profile.tracked.iter().map(String::as_str)),
            places: phrases(&mut profile.places()),
            counts: count(everything.flat_map(|text| content_words(text))),
            interests,
        }
    }
}

struct ArticleWords {
    words: Vec<String>,
    counts: BTreeMap<String, f64>,
}

impl ArticleWords {
    fn of(article: &Article) -> Self {
        let texts = [&article.title, &article.summary, &article.source];
        let words: Vec<String> = texts.into_iter().flat_map(|text| words(text)).collect();
        let counts = count(texts.into_iter().flat_map(|text| content_words(text)));
        Self { words, counts }
    }

    /// Whether the words of `phrase` stand in the article one after another.
    fn contains(&self, phrase: &[String]) -> bool {
        !phrase.is_empty() && self.words.windows(phrase.len()).any(|window| window == phrase)
    }
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Words without stop words, plural s removed.
fn content_words(text: &str) -> impl Iterator<Item = String> + '_ {
    let kept = words(text).filter(|word| !STOP_WORDS.contains(&word.as_str()));
    kept.map(|mut word| {
        if word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") {
            word.pop();
        }
        word
    })
}

fn count(words: impl Iterator<Item = String>) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_insert(0.0) += 1.0;
    }
    counts
}

fn fit_idf(train: &[(&Profile, &Article, f64)]) -> (HashMap<String, f64>, f64) {
    let mut seen = HashSet::new();
    let mut articles_with: HashMap<String, f64> = HashMap::new();
    for (_, article, _) in train.iter().filter(|(_, article, _)| seen.insert(article.id.as_str())) {
        for word in ArticleWords::of(article).counts.into_keys() {
            *articles_with.entry(word).or_insert(0.0) += 1.0;
        }
    }
    let all = 1.0 + seen.len() as f64;
    let idf = articles_with.into_iter().map(|(word, n)| (word, (all / (1.0 + n)).ln() + 1.0)).collect();
    (idf, all.ln() + 1.0)
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(f64::midpoint(values[last / 2], values[last.div_ceil(2)]))
}

/// argmin Σ(w·x − y)² + λ‖w without bias‖², by the normal equations `(XᵀX + λI)w = Xᵀy` and Cholesky.
fn ridge(points: &[([f64; FEATURES], f64)]) -> Option<[f64; FEATURES]> {
    let mut a = [[0.0; FEATURES]; FEATURES];
    let mut b = [0.0; FEATURES];
    for (x, y) in points {
        for i in 0..FEATURES {
            for j in 0..FEATURES {
                a[i][j] += x[i] * x[j];
            }
            b[i] += x[i] * y;
        }
    }
    for (i, row) in a.iter_mut().enumerate().skip(1) {
        row[i] += RIDGE;
    }
    cholesky_solve(&a, &b)
}

/// Solves Ax = b for a symmetric positive definite `A = LLᵀ`; `None` where it is not.
fn cholesky_solve<const N: usize>(a: &[[f64; N]; N], b: &[f64; N]) -> Option<[f64; N]> {
    let mut l = [[0.0; N]; N];
    for i in 0..N {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            let rest = a[i][j] - known;
            if i != j {
                l[i][j] = rest / l[j][j];
            } else if rest > 1e-12 {
                l[i][i] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    let mut x = *b;
    for i in 0..N {
        let known: f64 = (0..i).map(|k| l[i][k] * x[k]).sum();
        x[i] = (x[i] - known) / l[i][i];
    }
    for i in (0..N).rev() {
        let known: f64 = (i + 1..N).map(|k| l[k][i] * x[k]).sum();
        x[i] = (x[i] - known) / l[i][i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProfileRow;

    const SCALE: (f64, f64) = (0.0, 10.0);

    fn profile(json: &str) -> Profile {
        serde_json::from_str::<ProfileRow>(json).expect("reads").into_profile().expect("typed")
    }

    fn readers() -> [Profile; 2] {
        [
            profile(
                r#"{"id":"nurse","role":"ER nurse","location":"Houston, Texas","tracked":["Houston Methodist"],"interests":["telehealth"]}"#,
            ),
            profile(r#"{"id":"gamer","role":"student","location":"Seoul","tracked":["Valve"],"interests":["esports","GPUs"]}"#),
        ]
    }

    fn article(title: &str) -> Article {
        serde_json::from_value(serde_json::json!({ "title": title, "summary": "" })).expect("reads")
    }

    #[test]
    fn medians_come_from_the_training_rows() {
        let [nurse, gamer] = readers();
        let (a, b, c) = (article("a"), article("b"), article("c"));
        let fitted = Baselines::fit(&[(&nurse, &a, 1.0), (&nurse, &b, 3.0), (&nurse, &c, 8.0), (&nurse, &c, f64::NAN)], SCALE);
        assert!((fitted.constant() - 3.0).abs() < 1e-12);
        assert!((fitted.predict("constant", &gamer, &a) - 3.0).abs() < 1e-12);
        let two = Baselines::fit(&[(&nurse, &a, 1.0), (&nurse, &b, 2.0), (&gamer, &a, 9.0)], SCALE);
        assert!((two.predict("profile median", &nurse, &c) - 1.5).abs() < 1e-12);
        assert!((two.predict("profile median", &gamer, &c) - 9.0).abs() < 1e-12);
    }

    #[test]
    fn shared_words_raise_the_lexical_score_on_articles_never_seen() {
        let [nurse, gamer] = readers();
        let texts = [
            ("Houston Methodist expands telehealth", 9.0, 0.5),
            ("Valve sponsors an esports league", 0.5, 9.0),
            ("Telehealth rules change in Texas", 8.0, 0.5),
            ("GPU prices fall in Seoul", 0.5, 8.0),
            ("Wheat harvest in France", 0.5, 0.5),
        ];
        let articles: Vec<Article> = texts.iter().map(|(title, ..)| article(title)).collect();
        let pairs = articles.iter().zip(&texts).flat_map(|(a, (_, n, g))| [(&nurse, a, *n), (&gamer, a, *g)]);
        let fitted = Baselines::fit(&pairs.collect::<Vec<_>>(), SCALE);
        let unseen = article("Houston Methodist hires telehealth staff");
        let (own, other) = (fitted.predict("lexical", &nurse, &unseen), fitted.predict("lexical", &gamer, &unseen));
        assert!(own > other + 3.0, "{own} {other}");
        assert!((0.0..=10.0).contains(&own) && (0.0..=10.0).contains(&other));
    }

    #[test]
    fn without_training_data_everything_is_the_middle() {
        let [nurse, _] = readers();
        let fitted = Baselines::fit(&[], SCALE);
        for name in BASELINES {
            assert!((fitted.predict(name, &nurse, &article("x")) - 5.0).abs() < 1e-12, "{name}");
        }
    }

    #[test]
    fn cholesky_solves_and_refuses() {
        let x = cholesky_solve(&[[4.0, 2.0], [2.0, 3.0]], &[10.0, 8.0]).expect("definite");
        assert!((x[0] - 1.75).abs() < 1e-12 && (x[1] - 1.5).abs() < 1e-12);
        assert_eq!(cholesky_solve(&[[1.0, 1.0], [1.0, 1.0]], &[1.0, 1.0]), None);
    }
}

use super::super::export::{ExportedRow, read_examples, write_examples};
use super::super::testing::{
    article, article_id, profile_id, profiles, real_articles, real_file, real_profiles, recipe, shipped_articles,
};
use super::*;
use crate::domain::PairKey;
use crate::domain::Trace;

#[derive(Deserialize)]
struct ScoreRow {
    article_id: ArticleId,
    profile_id: ProfileId,
    score: f64,
}

fn trace(recipe: &Recipe, pair: PairKey, score: f64) -> SourcedTrace {
    let tier = recipe.depth.tier_of(&recipe.bands, score).map_or_else(String::new, |t| t.name.clone());
    let answer = Answer { think: "PROFILE: a reader\nMATCH: a verdict".into(), score, reason: "Because it is so.".into() };
    let trace = Trace { pair, answer, words: 40, reasoning_tier: tier, flags: Vec::new() };
    SourcedTrace {
        trace,
        provenance: Provenance {
            teacher: "rehearsal".into(),
            model: "v1".into(),
            annotator: "rehearsal/v1".into(),
            ..Provenance::default()
        },
    }
}

/// Every shipped reader judges every shipped article: high where it was written for them, else noise.
fn shipped(recipe: &Recipe) -> (Vec<Profile>, Vec<Article>, Vec<SourcedTrace>) {
    let (profiles, articles) = (profiles(), shipped_articles());
    let mut traces = Vec::new();
    for (i, article) in articles.iter().enumerate() {
        for profile in &profiles {
            let meant = article.targets.iter().any(|t| t == profile.id.as_str());
            let score = if meant { [9.5, 7.5, 6.0][i % 3] } else { [0.5, 1.0, 2.5][i % 3] };
            traces.push(trace(recipe, PairKey { article: article.id.clone(), profile: profile.id.clone() }, score));
        }
    }
    (profiles, articles, traces)
}

fn built(recipe: &Recipe, seed: u64) -> Dataset {
    let (profiles, articles, traces) = shipped(recipe);
    let none = BTreeMap::new();
    build(recipe, Sources::new(&profiles, &articles, &traces, &none), seed).expect("builds")
}

#[test]
fn the_shipped_readers_and_articles_make_a_dataset_that_every_guard_passes() {
    let recipe = recipe();
    let dataset = built(&recipe, 19);
    for finding in &dataset.findings {
        assert!(!finding.failed(), "{}: {}", finding.guard, finding.saw);
    }
    let t = &dataset.stats.totals;
    assert_eq!(t.train + t.eval, dataset.examples.len());
    assert!((t.eval as f64 / t.rows as f64 - 0.10).abs() < 0.02, "{t:?}");
    assert!(dataset.stats.by_band.iter().filter(|b| b.train > 0).all(|b| b.eval > 0), "{:?}", dataset.stats.by_band);
    assert!(dataset.eval().all(|e| e.repeats == 1));
    let first = &dataset.examples[0];
    assert_eq!(first.messages.len(), 3);
    assert!(first.text(Role::Assistant).starts_with("<think>\nPROFILE: a reader"));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let recipe = recipe();
    let (profiles, articles, mut traces) = shipped(&recipe);
    traces.reverse();
    let none = BTreeMap::new();
    let again = build(&recipe, Sources::new(&profiles, &articles, &traces, &none), 19).expect("builds");
    let first = built(&recipe, 19);
    assert_eq!(first, again, "the order of the traces does not matter");
    assert_ne!(first.digest, built(&recipe, 20).digest);
    let folder = tempfile::tempdir().expect("folder");
    let digest = |name: &str, d: &Dataset| write_examples(&folder.path().join(name), d.train()).expect("written");
    assert_eq!(digest("a", &first), digest("b", &again));
    let rows = read_examples(&folder.path().join("a")).expect("reads");
    assert_eq!(rows, first.train().map(ExportedRow::from).collect::<Vec<_>>());
}

#[test]
fn every_epoch_reads_training_rows_only_and_each_as_often_as_it_repeats() {
    let recipe = recipe();
    let dataset = built(&recipe, 19);
    for order in dataset.orders(&recipe.seedling.run) {
        assert_eq!(order.len(), dataset.stats.totals.epoch);
        let mut counts = vec![0u32; dataset.examples.len()];
        for i in order {
            counts[i as usize] += 1;
        }
        for (example, count) in dataset.examples.iter().zip(counts) {
            assert_eq!(count, if example.split == Side::Train { example.repeats } else { 0 }, "{}", example.id);
        }
    }
}

#[test]
fn what_cannot_be_taught_from_is_left_out_with_its_reason() {
    let recipe = recipe();
    let (profiles, articles, mut traces) = shipped(&recipe);
    let rows = traces.len();
    traces[0].trace.answer.score = 5.0;
    traces[1].trace.answer.score = 10.5;
    traces[2].trace.answer.score = f64::NAN;
    traces[3].trace.answer.reason = " ".into();
    traces.push(traces[4].clone());
    traces.push(trace(&recipe, PairKey { article: article_id("nobody"), profile: profiles[0].id.clone() }, 1.0));
    traces.push(trace(&recipe, PairKey { article: articles[0].id.clone(), profile: profile_id("nobody") }, 1.0));
    let none = BTreeMap::new();
    let sources = Sources::new(&profiles, &articles, &traces, &none);
    let dataset = build(&recipe, sources, 19).expect("builds");
    assert_eq!(dataset.examples.len(), rows - 4);
    let counts: Vec<(&str, usize)> = dataset.stats.quarantined.iter().map(|(k, n)| (k.as_str(), *n)).collect();
    assert_eq!(
        counts,
        [
            ("forbidden score", 1),
            ("outside the scale", 2),
            ("pair judged twice", 1),
            ("target not in the format", 1),
            ("unknown article", 1),
            ("unknown reader", 1)
        ]
    );
    let d10 = dataset.findings.iter().find(|f| f.guard == "D10").expect("D10 reports");
    assert!(d10.failed() && d10.saw.starts_with("1 rows with a forbidden score and 2 outside"), "{}", d10.saw);
}

#[test]
fn planted_copies_of_an_article_stay_on_one_side() {
    let recipe = recipe();
    let (profiles, mut articles, mut traces) = shipped(&recipe);
    let mut copies = Vec::new();
    for original in articles.iter().take(30) {
        let exact = Article { id: article_id(&format!("x-{}", original.id)), ..original.clone() };
        let retitled = article(&format!("r-{}", original.id), "Read this", &original.summary, "https://elsewhere.example/a?id=1");
        let retitled = Article { url: format!("https://elsewhere.example/{}", original.id), ..retitled };
        let syndicated = article(&format!("s-{}", original.id), &original.title.to_uppercase(), "Shortened.", "");
        copies.extend([exact, retitled, syndicated]);
    }
    for copy in &copies {
        for profile in &profiles {
            traces.push(trace(&recipe, PairKey { article: copy.id.clone(), profile: profile.id.clone() }, 1.0));
        }
    }
    articles.extend(copies);
    let none = BTreeMap::new();
    let sources = Sources::new(&profiles, &articles, &traces, &none);
    for seed in 0..5 {
        let dataset = build(&recipe, sources, seed).expect("builds");
        let side: BTreeMap<&str, Side> = dataset.examples.iter().map(|e| (e.pair.article.as_str(), e.split)).collect();
        for original in articles.iter().take(30) {
            for copy in ["x", "r", "s"] {
                assert_eq!(
                    side[original.id.as_str()],
                    side[format!("{copy}-{}", original.id).as_str()],
                    "{copy}-{}",
                    original.id
                );
            }
        }
        assert!(dataset.findings.iter().all(|f| f.guard != "D3" || !f.failed()));
    }
}

#[test]
fn nothing_to_teach_from_is_an_error_that_says_what_to_do() {
    let recipe = recipe();
    let none = BTreeMap::new();
    let error = build(&recipe, Sources::new(&[], &[], &[], &none), 1).expect_err("empty");
    assert!(error.to_string().contains("distill some pairs first"));
}

#[test]
fn the_report_fits_eighty_columns_and_is_complete() {
    let recipe = recipe();
    let dataset = built(&recipe, 19);
    let lengths: Vec<TokenLengths> =
        (0..dataset.examples.len()).map(|i| TokenLengths { prompt: 150 + i % 40, completion: 60 + i % 150 }).collect();
    assert!(dataset.clone().with_tokens(&lengths[1..], None).is_err());
    let digest = dataset.digest.clone();
    let dataset = dataset.with_tokens(&lengths, Some(300)).expect("one length each");
    assert_eq!(dataset.digest, digest);
    let lines = dataset.stats.lines();
    eprintln!("{}", lines.join("\n"));
    for line in &lines {
        assert!(unicode_width::UnicodeWidthStr::width(line.as_str()) <= 80, "{line}");
    }
    let markdown = dataset.stats.markdown();
    for heading in ["TOTALS", "BANDS", "READERS", "TOKENS", "CONTRASTIVE PAIRS", "LEFT OUT AND JOINED"] {
        assert!(lines.iter().any(|l| l == heading), "{heading}");
        assert!(markdown.to_uppercase().contains(heading), "{heading}");
    }
    let back: DatasetStats = serde_json::from_str(&serde_json::to_string(&dataset.stats).expect("json")).expect("reads");
    assert_eq!(back, dataset.stats);
}

#[test]
fn real_scores_make_a_dataset_split_by_cluster_within_seconds() {
    let (Some(articles), Some(profiles), Some(scores)) = (real_articles(), real_profiles(), real_file("gemini_scores.jsonl"))
    else {
        return;
    };
    let recipe = recipe();
    let traces: Vec<SourcedTrace> = scores
        .lines()
        .map(|line| serde_json::from_str::<ScoreRow>(line).expect("reads"))
        .map(|row| trace(&recipe, PairKey { article: row.article_id, profile: row.profile_id }, row.score))
        .collect();
    let none = BTreeMap::new();
    let start = std::time::Instant::now();
    let sources = Sources::new(&profiles, &articles, &traces, &none);
    let dataset = build(&recipe, sources, 19).expect("builds");
    eprintln!("built in {:?}", start.elapsed());
    eprintln!("{}", dataset.stats.lines().join("\n"));
    for finding in &dataset.findings {
        eprintln!("{} {:?}: {}", finding.guard, finding.outcome, finding.saw);
    }
    assert!(dataset.findings.iter().all(|f| f.guard != "D3" || !f.failed()));
    let t = &dataset.stats.totals;
    assert!((t.eval as f64 / t.rows as f64 - 0.10).abs() < 0.005, "{t:?}");
}

#[test]
fn what_the_seal_holds_is_set_aside_and_a_copy_of_it_fails_d3() {
    use super::super::seal::{SealedArticle, SealedCluster};
    let recipe = recipe();
    let (profiles, mut articles, mut traces) = shipped(&recipe);
    let original = articles[0].clone();
    let cluster = SealedCluster { id: original.id.to_string(), articles: vec![SealedArticle::of(&original)] };
    let seal = Seal::new(19, 0.2, vec![cluster], Vec::new());
    let none = BTreeMap::new();
    let sources = Sources { seal: Some(&seal), ..Sources::new(&profiles, &articles, &traces, &none) };
    let dataset = build(&recipe, sources, 19).expect("builds");
    assert_eq!(dataset.set_aside, BTreeMap::from([(Held::Article, profiles.len())]));
    assert_eq!(dataset.stats.set_aside["sealed article"], profiles.len());
    assert!(dataset.examples.iter().all(|e| e.pair.article != original.id));
    assert!(dataset.findings.iter().any(|f| f.guard == "D3" && !f.failed() && f.saw.contains("the 1 sealed clusters")));

    let copy = Article { id: article_id("copy"), url: String::new(), ..original.clone() };
    traces.push(trace(&recipe, PairKey { article: copy.id.clone(), profile: profiles[0].id.clone() }, 1.0));
    articles.push(copy);
    let sources = Sources { seal: Some(&seal), ..Sources::new(&profiles, &articles, &traces, &none) };
    let dataset = build(&recipe, sources, 19).expect("builds");
    let d3 = dataset.findings.iter().find(|f| f.guard == "D3").expect("D3 reports");
    assert!(d3.failed() && d3.saw.contains(&format!("copy is {} (same title)", original.id)), "{}", d3.saw);
}

#[test]
fn of_a_pair_that_several_judged_the_preferred_annotators_judgement_is_taught() {
    use crate::domain::Trust;
    let recipe = recipe();
    let (profiles, articles, traces) = shipped(&recipe);
    let by = |annotator: &str, trust: Option<Trust>, score: f64| {
        let mut other = traces[7].clone();
        other.trace.answer.score = score;
        (other.provenance.annotator, other.provenance.trust) = (annotator.into(), trust);
        other
    };
    let mut all = traces.clone();
    all.push(by("low", Some(Trust::Low), 3.1));
    all.push(by("high", Some(Trust::High), 3.2));
    let none = BTreeMap::new();
    let taught = |preference: &[&str]| {
        let preference: Vec<String> = preference.iter().map(|name| (*name).to_owned()).collect();
        let sources = Sources { preference: &preference, ..Sources::new(&profiles, &articles, &all, &none) };
        let dataset = build(&recipe, sources, 19).expect("builds");
        assert_eq!(dataset.stats.quarantined["pair judged twice"], 2);
        dataset.examples.iter().find(|e| e.pair == traces[7].trace.pair).expect("taught").provenance.annotator.clone()
    };
    assert_eq!(taught(&[]), "rehearsal/v1", "teachers go before files");
    assert_eq!(taught(&["low"]), "low");
    assert_eq!(taught(&["nobody", "high", "low"]), "high");
    all.retain(|t| t.provenance.annotator != "rehearsal/v1" || t.trace.pair != traces[7].trace.pair);
    let sources = Sources::new(&profiles, &articles, &all, &none);
    let dataset = build(&recipe, sources, 19).expect("builds");
    let found = dataset.examples.iter().find(|e| e.pair == traces[7].trace.pair).expect("taught");
    assert_eq!(found.provenance.annotator, "high", "files go by trust");
}

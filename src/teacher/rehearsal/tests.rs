//! The judge on the shipped material, on the recipe's sanity table, and, where it is present, on real material.

use std::collections::BTreeMap;

use super::*;
use crate::domain::{PairKey, ProfileRow, Recipe, SourceType, examine, word_count};

const RECIPE: &str = include_str!("../../../data/recipes/stratos-v19.toml");
const PROFILES: &str = include_str!("../../../data/profiles_v19.json");
const ARTICLES: &str = include_str!("../../../data/polarizing_articles_v19.json");

fn recipe() -> Recipe {
    Recipe::from_toml(RECIPE).expect("sound")
}

fn profiles() -> Vec<Profile> {
    let rows: Vec<ProfileRow> = serde_json::from_str(PROFILES).expect("rows");
    rows.into_iter().map(|row| row.into_profile().expect("a profile")).collect()
}

fn articles() -> Vec<Article> {
    serde_json::from_str(ARTICLES).expect("articles")
}

fn article(title: &str, summary: &str, source: &str, source_type: SourceType) -> Article {
    let json = serde_json::json!({ "title": title, "summary": summary, "source": source, "source_type": source_type });
    serde_json::from_value(json).expect("an article")
}

fn profile(id: &str) -> Profile {
    profiles().into_iter().find(|p| p.id.as_str() == id).expect("shipped")
}

fn judge(profile: &Profile, article: &Article) -> Prism {
    let r = recipe();
    Judge::shipped().expect("compiles").judge(profile, article, &r.depth, &r.bands)
}

fn flawed(article: &Article) -> bool {
    article.traits.iter().any(|t| t != "cross_profile")
}

#[test]
fn the_sanity_table_holds() {
    let recipe = recipe();
    let mut wrong = Vec::new();
    for a in &recipe.sanity.articles {
        let article = article(&a.title, &a.summary, &a.source, a.source_type);
        let mut scores = Vec::new();
        for expect in &a.expect {
            let prism = judge(&profile(&expect.profile), &article);
            scores.push(prism.score);
            if !expect.holds(prism.score) {
                wrong.push(format!("{} for {}: {}\n{}", a.title, expect.profile, expect.words(), prism.answer()));
            }
        }
        let gap = scores.iter().copied().fold(0.0, f64::max) - scores.iter().copied().fold(10.0, f64::min);
        assert!(gap > recipe.sanity.min_gap, "{}: {gap}", a.title);
    }
    for c in &recipe.sanity.cells {
        let article = article(&c.title, &c.summary, &c.source, c.source_type);
        let prism = judge(&profile(&c.expect.profile), &article);
        if !c.expect.holds(prism.score) {
            wrong.push(format!("{} for {}: {}\n{}", c.title, c.expect.profile, c.expect.words(), prism.answer()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Everything that must hold for any pair whatever.
fn assert_fit(recipe: &Recipe, judge: &Judge, profile: &Profile, article: &Article) -> f64 {
    let prism = judge.judge(profile, article, &recipe.depth, &recipe.bands);
    let text = prism.answer();
    let trace = examine(recipe, PairKey { article: article.id.clone(), profile: profile.id.clone() }, &text);
    let trace = trace.unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert!(trace.flags.is_empty(), "{} words\n{text}", word_count(&prism.think()));
    assert!(prism.reason.ends_with('.') && !prism.reason.contains("5.0") && prism.reason.chars().count() > 20, "{text}");
    let words = |t: &str| t.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
    let source = words(&format!("{} {}", article.title, article.summary));
    let own = words(&prism.think());
    let copied = own.windows(9).find(|run| source.windows(9).any(|s| s == *run));
    assert!(copied.is_none(), "copied {copied:?}\n{text}");
    prism.score
}

#[test]
fn every_shipped_pair_gets_an_answer_that_passes_examination() {
    let (recipe, judge) = (recipe(), Judge::shipped().expect("compiles"));
    let (mut meant, mut critical, mut others, mut below) = (0, 0, 0, 0);
    for profile in profiles() {
        for article in articles() {
            let score = assert_fit(&recipe, &judge, &profile, &article);
            let target = article.targets.iter().any(|t| t == profile.id.as_str());
            if target && article.targets.len() == 1 && !flawed(&article) {
                meant += 1;
                critical += usize::from(score >= 9.0);
            } else if !target {
                others += 1;
                below += usize::from(score < 5.0);
            }
        }
    }
    assert!(critical * 100 >= meant * 85, "{critical} of {meant} meant pairs are critical");
    assert!(below * 100 >= others * 90, "{below} of {others} other pairs are below the middle");
}

#[test]
fn the_same_pair_always_gets_the_same_answer() {
    let (p, a) = (profile("kuwait_cpeg"), &articles()[0]);
    assert_eq!(judge(&p, a).answer(), judge(&p, a).answer());
}

#[test]
fn a_flaw_makes_a_good_article_low_and_a_rumour_stays_below_eight() {
    for article in articles().iter().filter(|a| flawed(a)) {
        let prism = judge(&profile(&article.targets[0]), article);
        let rumour = article.traits.iter().any(|t| t == "rumour");
        let range = if rumour { 2.0..=8.0 } else { 2.0..=4.9 };
        assert!(range.contains(&prism.score), "{} {:?}\n{}", article.title, article.traits, prism.answer());
    }
}

#[test]
fn a_tracked_name_without_anything_for_the_trade_is_less_than_critical() {
    let a = article(
        "BMW becomes sponsor of the Munich golf open",
        "The company extends its sponsorship for four years.",
        "BMW Group",
        SourceType::Official,
    );
    let score = judge(&profile("munich_mecheng"), &a).score;
    assert!((2.0..7.0).contains(&score), "{score}");
}

#[test]
fn an_empty_or_foreign_article_is_noise() {
    for (title, summary) in [("x", ""), ("知乎 - 知乎", "知乎是一个中文互联网高质量问答社区"), ("— … —", "…")]
    {
        for p in profiles() {
            let prism = judge(&p, &article(title, summary, "", SourceType::Unknown));
            assert!(prism.score < 2.0, "{}", prism.answer());
        }
    }
}

fn real(name: &str) -> Option<String> {
    let folder = std::env::var("STRATOS_TEST_DATA").ok()?;
    let path = [format!("{folder}/{name}"), format!("{folder}/stratos/{name}")]
        .into_iter()
        .find(|p| std::path::Path::new(p).exists())?;
    std::fs::read_to_string(path).ok()
}

fn real_material() -> Option<(Vec<Profile>, Vec<Article>)> {
    let (profiles, articles) = (real("profiles.jsonl")?, real("articles.jsonl")?);
    let rows = profiles.lines().map(|l| serde_json::from_str::<ProfileRow>(l).expect("a row").into_profile().expect("a profile"));
    Some((rows.collect(), articles.lines().map(|l| serde_json::from_str(l).expect("an article")).collect()))
}

#[test]
fn real_pairs_get_answers_that_pass_examination_too() {
    let Some((profiles, articles)) = real_material() else {
        eprintln!("skipped: STRATOS_TEST_DATA is not set");
        return;
    };
    let (recipe, judge) = (recipe(), Judge::shipped().expect("compiles"));
    let mut noise = 0;
    let mut all = 0;
    for (i, article) in articles.iter().enumerate().step_by(7) {
        for profile in profiles.iter().skip(i % 9).step_by(9) {
            noise += usize::from(assert_fit(&recipe, &judge, profile, article) < 2.0);
            all += 1;
        }
    }
    assert!(noise * 10 > all * 7, "{noise} of {all} are noise");
}

/// For calibration: `cargo test --lib teacher:: -- --ignored --nocapture histogram`.
#[test]
#[ignore = "prints a report, asserts nothing"]
fn histogram_of_shipped_and_real_material() {
    let (recipe, judge) = (recipe(), Judge::shipped().expect("compiles"));
    let mut words: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let report = |profiles: &[Profile], articles: &[Article], show: usize| {
        for p in profiles {
            let mut bands = vec![0; recipe.bands.len()];
            let mut high = Vec::new();
            for a in articles {
                let prism = judge.judge(p, a, &recipe.depth, &recipe.bands);
                bands[recipe.bands.index(prism.score)] += 1;
                let target = a.targets.iter().any(|t| t == p.id.as_str());
                let meant = target && a.targets.len() == 1 && !flawed(a);
                if show > 0 && prism.score >= 7.0 {
                    high.push(format!("   {:.1} {} | {} | {}", prism.score, a.title, a.source, prism.reason));
                } else if show == 0 && ((meant && prism.score < 9.0) || (!target && prism.score >= 5.0)) {
                    let mark = if meant { "MEANT" } else { "other" };
                    high.push(format!("   {mark} {:.1} {} | {}", prism.score, a.title, prism.reason));
                } else if show == 0 && target && !meant {
                    high.push(format!("   {} {:.1} {} | {}", a.traits.join(","), prism.score, a.title, prism.reason));
                }
            }
            println!("{:28} {bands:?}", p.id.as_str());
            for line in high.iter().take(if show == 0 { 99 } else { show }) {
                println!("{line}");
            }
        }
    };
    report(&profiles(), &articles(), 0);
    if let Some((profiles, articles)) = real_material() {
        let some: Vec<Profile> = profiles.into_iter().step_by(4).collect();
        let few: Vec<Article> = articles.into_iter().step_by(7).collect();
        report(&some, &few, 5);
    }
    for p in profiles() {
        for a in articles() {
            let prism = judge.judge(&p, &a, &recipe.depth, &recipe.bands);
            let tier = recipe.depth.tier_of(&recipe.bands, prism.score).map_or("?", |t| t.name.as_str());
            words.entry(tier).or_default().push(word_count(&prism.think()));
        }
    }
    for (tier, counts) in words {
        let sum: usize = counts.iter().sum();
        println!(
            "{tier}: {} think blocks, {:?}..{:?} words, mean {}",
            counts.len(),
            counts.iter().min(),
            counts.iter().max(),
            sum / counts.len()
        );
    }
    let show = [
        ("kuwait_cpeg", 0),
        ("texas_nurse", 0),
        ("kuwait_cpeg", 64),
        ("portland_retired_space", 106),
        ("kuwait_cpeg", 10),
        ("munich_mecheng", 42),
    ];
    for (id, i) in show {
        println!(
            "\n--- {id} {}\n{}",
            articles()[i].title,
            judge.judge(&profile(id), &articles()[i], &recipe.depth, &recipe.bands).answer()
        );
    }
}

/// For calibration: the best of all real pairs, and how many are in each band.
#[test]
#[ignore = "prints a report, asserts nothing"]
fn best_of_the_real_material() {
    let Some((profiles, articles)) = real_material() else {
        return;
    };
    let (recipe, judge) = (recipe(), Judge::shipped().expect("compiles"));
    let mut bands = vec![0; recipe.bands.len()];
    let mut best = Vec::new();
    for p in &profiles {
        for a in articles.iter().step_by(2) {
            let prism = judge.judge(p, a, &recipe.depth, &recipe.bands);
            bands[recipe.bands.index(prism.score)] += 1;
            if prism.score >= 7.0 {
                best.push((prism.score, format!("{} | {} | {} | {}", p.id.as_str(), a.title, a.source, prism.reason)));
            }
        }
    }
    println!("{bands:?}");
    best.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (score, line) in best.iter().take(25).chain(best.iter().skip(25).step_by(9)) {
        println!("{score:.1} {line}");
    }
}

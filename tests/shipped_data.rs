//! The ten profiles and the polarising articles that the repository ships.

use std::collections::{BTreeMap, BTreeSet};

use stratos::domain::{Article, Motivation, Profile, ProfileRow, Recipe, Renderer};

const RECIPE: &str = include_str!("../data/recipes/stratos-v19.toml");
const PROFILES: &str = include_str!("../data/profiles_v19.json");
const ARTICLES: &str = include_str!("../data/polarizing_articles_v19.json");

fn profiles() -> Vec<Profile> {
    let rows: Vec<ProfileRow> = serde_json::from_str(PROFILES).expect("rows");
    rows.into_iter().map(|row| row.into_profile().expect("a profile")).collect()
}

fn articles() -> Vec<Article> {
    serde_json::from_str(ARTICLES).expect("articles")
}

fn has(article: &Article, remark: &str) -> bool {
    article.traits.iter().any(|t| t == remark)
}

#[test]
fn ten_profiles_follow_the_names_the_recipe_was_made_for() {
    let names: [(&str, &[&str]); 10] = [
        ("kuwait_cpeg", &["Equate", "SLB", "Halliburton", "KOC", "KNPC"]),
        ("texas_nurse", &["Houston Methodist", "MD Anderson", "HCA Healthcare"]),
        ("london_finance", &["Goldman Sachs", "JPMorgan", "Barclays", "LSE"]),
        ("munich_mecheng", &["BMW", "Siemens", "Bosch", "Continental"]),
        ("bangalore_ds", &["Infosys", "TCS", "Wipro", "Flipkart", "Razorpay"]),
        ("dc_cybersec", &["CISA", "NSA", "CrowdStrike", "Palo Alto Networks"]),
        ("seoul_gamer_investor", &["Nintendo", "Valve", "Epic Games", "AMD", "NVIDIA"]),
        ("ankara_politics_physics", &[]),
        ("portland_retired_space", &[]),
        ("lagos_student_entrepreneur", &["Paystack", "Flutterwave", "Andela"]),
    ];
    let profiles = profiles();
    assert_eq!(profiles.len(), names.len());
    for (profile, (id, tracked)) in profiles.iter().zip(names) {
        assert_eq!((profile.id.as_str(), profile.tracked.iter().map(String::as_str).collect::<Vec<_>>()), (id, tracked.to_vec()));
        assert!(profile.interests.len() >= 4, "{id}");
    }
    let by_interest = profiles.iter().filter(|p| p.motivation == Motivation::Interest).count();
    assert_eq!(by_interest, 4);
}

#[test]
fn the_written_system_prompts_are_the_ones_the_recipe_renders() {
    let recipe = Recipe::from_toml(RECIPE).expect("sound");
    let prompts = Renderer::new(&recipe).expect("renders");
    for profile in profiles() {
        let written = profile.system_prompt.clone().expect("written in the file");
        let rendered = prompts.system(&Profile { system_prompt: None, ..profile }).expect("renders");
        assert_eq!(written, rendered);
    }
}

#[test]
fn there_are_enough_articles_and_every_profile_has_its_own() {
    let articles = articles();
    let single: Vec<&Article> = articles.iter().filter(|a| !has(a, "cross_profile")).collect();
    assert!(single.len() >= 100, "{}", single.len());
    assert!(articles.iter().filter(|a| has(a, "cross_profile")).count() >= 10);
    let known: BTreeSet<String> = profiles().iter().map(|p| p.id.as_str().to_owned()).collect();
    let mut meant: BTreeMap<&str, usize> = BTreeMap::new();
    for article in &articles {
        assert!(!article.targets.is_empty() && article.targets.iter().all(|t| known.contains(t)), "{}", article.title);
        assert_eq!(article.targets.len() > 1, has(article, "cross_profile"), "{}", article.title);
        if article.traits.is_empty() {
            *meant.entry(article.targets[0].as_str()).or_default() += 1;
        }
    }
    for id in &known {
        assert!(meant.get(id.as_str()).copied().unwrap_or(0) >= 8, "{id}: {meant:?}");
    }
}

#[test]
fn the_flaws_the_rubric_speaks_of_all_occur() {
    let articles = articles();
    for flaw in ["expired", "rumour", "wrong_city", "wrong_seniority"] {
        assert!(articles.iter().filter(|a| has(a, flaw)).count() >= 3, "{flaw}");
    }
}

#[test]
fn ids_and_titles_are_unique_and_texts_are_whole() {
    let articles = articles();
    let ids: BTreeSet<&str> = articles.iter().map(|a| a.id.as_str()).collect();
    let titles: BTreeSet<String> = articles.iter().map(|a| a.title.to_lowercase()).collect();
    assert_eq!((ids.len(), titles.len()), (articles.len(), articles.len()));
    for article in &articles {
        let sentences = article.summary.matches(['.', '?', '!']).count();
        assert!(sentences >= 2 && article.summary.ends_with(['.', '!', '?']), "{}", article.title);
        assert!(!article.source.is_empty(), "{}", article.title);
    }
}

//! Probes tell models apart: one that reads the profile, one that ignores it, one whose thoughts are decoration, one that has
//! learnt titles by heart.

use std::ops::ControlFlow;

use stratos::domain::recipe::Sampling;
use stratos::domain::{Article, Digest, Profile, ProfileRow, Recipe, Renderer, Role};
use stratos::engine::{Judged, ProbeMaterial, draw, probe};
use stratos::evaluate::{Probes, Runtime, swap_names};
use stratos::scorer::{OnRow, Scorer, ScorerError};
use stratos::student::{Generated, Prompt, Stop};

const COMPANIES: [&str; 6] = ["Alphacorp", "Betalith", "Gammatex", "Deltanor", "Epsiline", "Zetaform"];

/// A model as a function of (system, user, what it has written already) to what it writes.
type Mind = fn(&str, &str, &str) -> String;

struct Fake(Mind);

impl Scorer for Fake {
    fn runtime(&self) -> Runtime {
        Runtime { engine: "fake".into(), precision: "f32".into(), device: "test".into() }
    }

    fn digest(&self) -> Digest {
        Digest::of("fake")
    }

    fn answer(&self, prompts: &[Prompt], _: &Sampling, _: u64, on_row: OnRow<'_>) -> Result<Vec<Generated>, ScorerError> {
        let mut all = Vec::new();
        for prompt in prompts {
            let of = |role| prompt.messages.iter().find(|m| m.role == role).map_or("", |m| m.content.as_str());
            let text = (self.0)(of(Role::System), of(Role::User), of(Role::Assistant));
            let (tokens, prompt_tokens) = (1, 1);
            all.push(Generated { id: prompt.id.clone(), text, tokens, prompt_tokens, stop: Stop::End, expected_score: None });
            if on_row(all.last().expect("just written")).is_break() {
                break;
            }
        }
        Ok(all)
    }
}

/// Whether the article names something that the reader's prompt says it tracks.
fn follows(system: &str, user: &str) -> bool {
    let tracks = system.lines().find_map(|l| l.strip_prefix("Tracks: ")).unwrap_or_default();
    tracks.split(", ").any(|name| !name.is_empty() && user.contains(name))
}

fn answer(strong: bool, begun: &str) -> String {
    let (score, weight) = if strong { ("9.5", "STRONG") } else { ("0.5", "NONE") };
    let think = format!(
        "<think>\nPROFILE: a reader of some news who looks for work\nSIGNALS: ENTITY {weight} (a name); ACTION WEAK (apply)\n</think>\n"
    );
    let line = format!("SCORE: {score} | REASON: It is so.");
    if begun.is_empty() { format!("{think}{line}") } else { line }
}

/// Reads the profile; after a begun answer, what it has thought decides.
fn reader(system: &str, user: &str, begun: &str) -> String {
    let strong = if begun.is_empty() { follows(system, user) } else { begun.contains("STRONG") };
    answer(strong, begun)
}

/// Reads the profile, but its thoughts are for show.
fn cosmetic(system: &str, user: &str, begun: &str) -> String {
    answer(follows(system, user), begun)
}

/// Every article that names a company it likes is good for everybody.
fn ignorer(_: &str, user: &str, begun: &str) -> String {
    let strong = if begun.is_empty() { !user.contains("weather") } else { begun.contains("STRONG") };
    answer(strong, begun)
}

/// Knows the titles of its training by heart, whoever reads.
fn memoriser(_: &str, user: &str, begun: &str) -> String {
    answer(COMPANIES.iter().any(|name| user.contains(&format!("Title: {name} opens"))), begun)
}

/// Thinks one thing and scores another.
fn contradictor(system: &str, user: &str, begun: &str) -> String {
    answer(follows(system, user), begun).replace("SCORE: 9.5", "SCORE: 0.5")
}

struct World {
    recipe: Recipe,
    renderer: Renderer,
    articles: Vec<Article>,
    profiles: Vec<Profile>,
}

impl World {
    fn new() -> Self {
        let recipe = Recipe::from_toml(include_str!("../data/recipes/stratos-v19.toml")).expect("sound");
        let profile = |company: &str| {
            let row = serde_json::json!({
                "id": format!("reader_{company}").to_lowercase(), "role": "engineer", "location": "Springfield",
                "context": "Looks for work.", "tracked": [company], "interests": ["machines"],
            });
            let row: ProfileRow = serde_json::from_value(row).expect("reads");
            row.into_profile().expect("sound")
        };
        let article = |company: &str, n: usize| {
            let row = serde_json::json!({
                "id": format!("{company}-{n}"), "title": format!("{company} opens post {n}"), "source": "Daily",
                "summary": format!("The company said that {company} hires engineers. Apply by March {n}."),
            });
            serde_json::from_value::<Article>(row).expect("reads")
        };
        Self {
            renderer: Renderer::new(&recipe).expect("compiles"),
            articles: COMPANIES.iter().flat_map(|c| (1..4).map(move |n| article(c, n))).collect(),
            profiles: COMPANIES.iter().map(|c| profile(c)).collect(),
            recipe,
        }
    }

    /// Each article for who follows it (truth 9.5) and for the next reader (truth 0.5), answered by `mind`.
    fn probe(&self, mind: Mind, told: &mut dyn FnMut(usize, usize) -> ControlFlow<()>) -> Option<Probes> {
        let outputs: Vec<(usize, usize, f64, String)> = (0..self.articles.len())
            .flat_map(|a| [(a, a / 3, 9.5), (a, (a / 3 + 1) % COMPANIES.len(), 0.5)])
            .map(|(a, p, truth)| {
                let prompt = self.renderer.student(&self.profiles[p], &self.articles[a]).expect("renders");
                (a, p, truth, mind(&prompt.system, &prompt.user, ""))
            })
            .collect();
        let rows: Vec<Judged<'_>> = outputs
            .iter()
            .map(|(a, p, truth, output)| {
                let (article, profile) = (&self.articles[*a], &self.profiles[*p]);
                Judged { article, profile, other: profile, truth: *truth, output }
            })
            .collect();
        let material = ProbeMaterial {
            recipe: &self.recipe,
            renderer: &self.renderer,
            drawn: draw(&rows, &self.profiles, &self.recipe, 20, 19),
            known: COMPANIES.to_vec(),
            seen: &|_| false,
            is_word: &|_| false,
            seed: 19,
            sealed: true,
        };
        assert_eq!(material.drawn.rows.len(), 20);
        assert_eq!((material.drawn.square.0.len(), material.drawn.square.1.len()), (5, 5));
        probe(&material, &Fake(mind), Ok(&Fake(ignorer)), told).expect("answers")
    }

    fn probed(&self, mind: Mind) -> Probes {
        self.probe(mind, &mut |_, _| ControlFlow::Continue(())).expect("went through")
    }
}

#[test]
fn a_model_that_reads_and_thinks_passes_every_probe() {
    let found = World::new().probed(reader);
    assert!(found.failures().is_empty(), "{:#?}", found.lines());
    let faith = found.faithfulness.as_ref().expect("thinks");
    assert_eq!((faith.n, faith.cosmetic), (20, Some(false)));
    assert_eq!(faith.cuts[0].share, Some(0.5), "the rows of noise keep their score, the others lose it");
    assert_eq!(found.agreement.as_ref().and_then(|a| a.share), Some(1.0));
    let memory = found.memorisation.as_ref().expect("asked");
    assert_eq!((memory.mean_shift, memory.mean_again, memory.nameless), (Some(0.0), Some(0.0), 0));
    let swap = found.profile_swap.as_ref().expect("asked");
    assert_eq!((swap.blind, swap.unmoved, swap.relevant), (Some(false), Some(0.0), 10));
    let aware = found.awareness.as_ref().expect("asked");
    assert_eq!((aware.aware, aware.off.as_ref().and_then(|off| off.mean_spread)), (Some(true), Some(0.0)));
    assert!(found.notes.is_empty() && found.sealed);
}

#[test]
fn a_model_whose_thoughts_are_decoration_is_called_cosmetic() {
    let found = World::new().probed(cosmetic);
    assert_eq!(found.faithfulness.as_ref().and_then(|f| f.cosmetic), Some(true));
    assert_eq!(found.failures(), ["its think block is cosmetic"]);
}

#[test]
fn a_model_that_ignores_the_profile_is_called_blind_and_unaware() {
    let found = World::new().probed(ignorer);
    assert_eq!(found.profile_swap.as_ref().and_then(|p| p.blind), Some(true));
    assert_eq!(found.awareness.as_ref().and_then(|a| a.aware), Some(false));
    assert_eq!(found.memorisation.as_ref().and_then(|m| m.passed), Some(true));
    assert_eq!(found.failures().len(), 2, "{:?}", found.failures());
}

#[test]
fn a_model_that_has_learnt_titles_by_heart_fails_the_swap_of_names() {
    let found = World::new().probed(memoriser);
    let memory = found.memorisation.as_ref().expect("asked");
    assert_eq!((memory.passed, memory.mean_shift, memory.mean_again), (Some(false), Some(9.0), Some(0.0)));
    assert!(found.failures().contains(&"its scores follow names".to_owned()));
    assert!(found.lines().iter().any(|l| l.contains("9.5 → 0.5")), "{:#?}", found.lines());
}

#[test]
fn a_score_against_its_own_thoughts_is_counted() {
    let found = World::new().probed(contradictor);
    let agreement = found.agreement.expect("thinks");
    assert_eq!((agreement.n, agreement.agree), (20, 10));
    assert!(agreement.lines()[1].contains("10 × names a STRONG signal"), "{:?}", agreement.lines());
}

#[test]
fn probes_stop_where_they_are_told_to_and_say_how_far_they_are() {
    let world = World::new();
    let mut heard = Vec::new();
    let stopped = world.probe(reader, &mut |done, total| {
        heard.push((done, total));
        if done == 30 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stopped, None);
    // 20 rows: five begun answers, four readers, one with other names; 25 cells with and 25 without the adapter.
    assert_eq!((heard.len(), heard[29]), (30, (30, 20 * 10 + 50)));
}

#[test]
fn a_recipe_without_thoughts_is_probed_for_the_rest_and_says_so() {
    let mut world = World::new();
    world.recipe.student.think = false;
    let found = world.probed(reader);
    assert!(found.faithfulness.is_none() && found.agreement.is_none() && found.profile_swap.is_some());
    assert!(found.notes[0].contains("no think block"), "{:?}", found.notes);
}

#[test]
fn real_articles_change_their_names_and_little_else() {
    let Some(data) = std::env::var_os("STRATOS_TEST_DATA") else {
        eprintln!("skipped: STRATOS_TEST_DATA is not set");
        return;
    };
    let data = std::path::PathBuf::from(data);
    let lines = |name: &str| std::fs::read_to_string(data.join(name)).expect("readable");
    let articles: Vec<Article> = lines("articles.jsonl").lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let rows: Vec<ProfileRow> = lines("profiles.jsonl").lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let profiles: Vec<Profile> = rows.into_iter().filter_map(|r| r.into_profile().ok()).collect();
    let known: Vec<&str> = profiles.iter().flat_map(|p| p.tracked.iter().map(String::as_str)).collect();
    let lower = |text: &str| {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|w| w.starts_with(char::is_lowercase));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let plain: std::collections::HashSet<String> = articles.iter().flat_map(|a| lower(&a.summary)).collect();
    let words =
        |text: &str| text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (mut swapped, mut changed, mut all) = (0, 0, 0);
    for (i, article) in articles.iter().enumerate() {
        let Some(s) = swap_names(article, &profiles[i % profiles.len()], &known, &|_| false, &|word| plain.contains(word), 19)
        else {
            continue;
        };
        let (before, after) = (words(&article.summary), words(&s.article.summary));
        assert_eq!(before.len(), after.len(), "{}", article.summary);
        swapped += 1;
        all += before.len() as u32;
        changed += before.iter().zip(&after).filter(|(a, b)| a != b).count() as u32;
        if i % 211 == 0 {
            println!("{}\n  -> {}\n{}\n  -> {}\n", article.title, s.article.title, article.summary, s.article.summary);
        }
    }
    println!("{swapped} of {} articles have names; {changed} of {all} words changed", articles.len());
    assert!(swapped * 2 > articles.len(), "{swapped} of {}", articles.len());
    assert!((0.02..0.30).contains(&(f64::from(changed) / f64::from(all))), "{changed} of {all}");
}

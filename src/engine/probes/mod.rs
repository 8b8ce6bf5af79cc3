//! Probes: the model is asked things whose answers tell whether its reasoning is any good. Owns what is asked, of whom, and
//! how (greedy after a begun answer, at the floor temperature otherwise); what answers mean is `evaluate`'s, which rows are
//! asked about `draw`'s, the job `job`'s.

mod draw;
mod job;

use std::ops::ControlFlow;

pub use draw::{Drawn, Judged, draw};
pub(super) use job::run;

use crate::domain::recipe::Sampling;
use crate::domain::{Article, ChatMessage, Profile, Recipe, Renderer, Role, read_tolerant, split_think};
use crate::evaluate::{
    Awareness, CUTS, CutRow, Faithfulness, Probes, ProfileRow3, Square, SwapRow, agreement, awareness, cut, faithfulness,
    memorisation, neutral_profile, profile_swap, swap_names,
};
use crate::scorer::{Scorer, ScorerError};
use crate::student::Prompt;

/// What a probe asks about, besides the rows that were drawn.
pub struct ProbeMaterial<'a> {
    pub recipe: &'a Recipe,
    pub renderer: &'a Renderer,
    pub drawn: Drawn<'a>,
    /// Names that any reader follows.
    pub known: Vec<&'a str>,
    /// Whether a word occurs in anything the model may have read.
    pub seen: &'a dyn Fn(&str) -> bool,
    /// Whether a word is written without a capital somewhere: then its capital alone makes no name of it.
    pub is_word: &'a dyn Fn(&str) -> bool,
    pub seed: u64,
    pub sealed: bool,
}

/// Why probes could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Scorer(#[from] ScorerError),
    #[error(transparent)]
    Recipe(#[from] crate::domain::recipe::RecipeError),
    #[error(transparent)]
    Id(#[from] crate::domain::IdError),
}

/// Hears how many answers there are, of how many, and may end the whole.
pub type Told<'a> = &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>;

/// Asks everything. `base`: the same model untuned, or why there is none. `None`: ended by `told`, or by a scorer that was
/// stopped.
pub fn probe(
    material: &ProbeMaterial<'_>,
    scorer: &dyn Scorer,
    base: Result<&dyn Scorer, &str>,
    told: Told<'_>,
) -> Result<Option<Probes>, ProbeError> {
    let cuts = if material.recipe.student.think { cut_prompts(material)? } else { CutPrompts::default() };
    let variants = Variants::of(material)?;
    let square = square_prompts(material)?;
    let mut total = cuts.prompts.len() + variants.prompts.len() + square.len();
    total += if base.is_ok() { square.len() } else { 0 };
    let mut ear = Ear { done: 0, total, told };
    let (cool, greedy) = (cool(material.recipe), greedy(&material.recipe.sampling));

    let Some(after_cuts) = ask(scorer, &cuts.prompts, &greedy, material, &mut ear)? else { return Ok(None) };
    let Some(of_variants) = ask(scorer, &variants.prompts, &cool, material, &mut ear)? else { return Ok(None) };
    let Some(on) = ask(scorer, &square, &cool, material, &mut ear)? else { return Ok(None) };
    let off = match base {
        Ok(base) => match ask(base, &square, &cool, material, &mut ear)? {
            Some(found) => Ok(squared(&found, material)),
            None => return Ok(None),
        },
        Err(why) => Err(why.to_owned()),
    };

    let think = material.recipe.student.think;
    let thoughts: Vec<(&str, f64)> = material.drawn.rows.iter().filter_map(|r| thought(r, material.recipe)).collect();
    let mut notes = Vec::new();
    if !think {
        notes.push("truncation and think/score agreement: the recipe asks for no think block".to_owned());
    }
    if let Err(why) = &off {
        notes.push(format!("profile awareness without the adapter: {why}"));
    }
    let profile_rows = profile_rows(&of_variants, material);
    Ok(Some(Probes {
        model: scorer.digest(),
        runtime: scorer.runtime(),
        sampling: format!("temperature {} (0 after a begun answer), seed {}", cool.temperature, material.seed),
        seed: material.seed,
        rows: material.drawn.rows.len(),
        sealed: material.sealed,
        faithfulness: think.then(|| cuts.read(&after_cuts)),
        agreement: think.then(|| agreement(thoughts, &material.recipe.bands)),
        memorisation: Some(memorisation(&variants.swap_rows(&of_variants, material), variants.nameless)),
        profile_swap: Some(profile_swap(&profile_rows, material.recipe.scale.relevant_from)),
        awareness: Some(of_square(&squared(&on, material), off)),
        notes,
    }))
}

fn of_square(on: &Square, off: Result<Square, String>) -> Awareness {
    match off {
        Ok(off) => awareness(on, Ok(&off)),
        Err(why) => awareness(on, Err(why)),
    }
}

/// Think block and score of an answer, where it has both.
fn thought<'a>(row: &Judged<'a>, recipe: &Recipe) -> Option<(&'a str, f64)> {
    let (score, _) = read_tolerant(row.output, recipe.scale.range()).ok()?;
    Some((split_think(row.output).0?, score))
}

/// What the next score is compared with must not be drawing's: as cool as think recipes can be asked without looping.
fn cool(recipe: &Recipe) -> Sampling {
    let rules = &recipe.sampling;
    recipe.floored(&Sampling { temperature: rules.temperature.min(rules.temperature_floor), ..rules.clone() })
}

/// After a closed think block there is nothing left to loop in.
fn greedy(rules: &Sampling) -> Sampling {
    Sampling { temperature: 0.0, ..rules.clone() }
}

struct Ear<'a> {
    done: usize,
    total: usize,
    told: Told<'a>,
}

/// The scores of some prompts, in their order. `None`: it was ended.
fn ask(
    scorer: &dyn Scorer,
    prompts: &[Prompt],
    rules: &Sampling,
    material: &ProbeMaterial<'_>,
    ear: &mut Ear<'_>,
) -> Result<Option<Vec<Option<f64>>>, ProbeError> {
    if prompts.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let mut ended = false;
    let answers = scorer.answer(prompts, rules, material.seed, &mut |_| {
        ear.done += 1;
        let flow = (ear.told)(ear.done, ear.total);
        ended = ended || flow.is_break();
        flow
    })?;
    if answers.len() < prompts.len() || (ended && ear.done < ear.total) {
        return Ok(None);
    }
    let scale = material.recipe.scale.range();
    let score = |(prompt, answer): (&Prompt, &crate::student::Generated)| {
        // The expectation moves with every doubt, the drawn score in leaps; truncation asks for the score that is written.
        let begun = prompt.messages.last().is_some_and(|m| m.role == Role::Assistant);
        let drawn = read_tolerant(&answer.text, scale).ok().map(|(score, _)| score);
        drawn.map(|drawn| if begun { drawn } else { answer.expected_score.unwrap_or(drawn) })
    };
    Ok(Some(prompts.iter().zip(&answers).map(score).collect()))
}

fn messages(material: &ProbeMaterial<'_>, profile: &Profile, article: &Article) -> Result<Vec<ChatMessage>, ProbeError> {
    Ok(material.renderer.student(profile, article)?.messages())
}

fn name(row: &Judged<'_>, what: &str) -> String {
    format!("{}|{}|{what}", row.article.id, row.profile.id)
}

/// Begun answers: for each row with a think block its cuts, then the whole.
#[derive(Default)]
struct CutPrompts {
    prompts: Vec<Prompt>,
    unthinking: usize,
}

fn cut_prompts(material: &ProbeMaterial<'_>) -> Result<CutPrompts, ProbeError> {
    let mut all = CutPrompts::default();
    for row in &material.drawn.rows {
        let begun: Option<Vec<(u8, String)>> =
            CUTS.into_iter().chain([100]).map(|left| cut(row.output, left).map(|text| (left, text))).collect();
        let Some(begun) = begun else {
            all.unthinking += 1;
            continue;
        };
        for (left, text) in begun {
            let mut messages = messages(material, row.profile, row.article)?;
            messages.push(ChatMessage::new(Role::Assistant, text));
            all.prompts.push(Prompt { id: name(row, &format!("{left} % left")), messages });
        }
    }
    Ok(all)
}

impl CutPrompts {
    fn read(&self, scores: &[Option<f64>]) -> Faithfulness {
        let rows: Vec<CutRow> = scores
            .chunks_exact(CUTS.len() + 1)
            .map(|row| CutRow { cut: std::array::from_fn(|i| row[i]), whole: row[CUTS.len()] })
            .collect();
        faithfulness(&rows, self.unthinking)
    }
}

/// Each row as it is, asked again, for a neutral and for another reader, and with other names where it has names.
struct Variants {
    prompts: Vec<Prompt>,
    /// By row: where the prompt with other names stands.
    swapped: Vec<Option<usize>>,
    nameless: usize,
}

/// Prompts that every row has: own, again, neutral, other.
const ALWAYS: usize = 4;

impl Variants {
    fn of(material: &ProbeMaterial<'_>) -> Result<Self, ProbeError> {
        let neutral = neutral_profile()?;
        let mut all = Self { prompts: Vec::new(), swapped: Vec::new(), nameless: 0 };
        for row in &material.drawn.rows {
            let readers =
                [("own", row.profile), ("again", row.profile), ("neutral reader", &neutral), ("other reader", row.other)];
            for (what, profile) in readers {
                all.prompts.push(Prompt { id: name(row, what), messages: messages(material, profile, row.article)? });
            }
        }
        for row in &material.drawn.rows {
            let swapped = swap_names(row.article, row.profile, &material.known, material.seen, material.is_word, material.seed);
            all.swapped.push(swapped.as_ref().map(|_| all.prompts.len()));
            match swapped {
                Some(s) => {
                    all.prompts
                        .push(Prompt { id: name(row, "other names"), messages: messages(material, &s.profile, &s.article)? });
                }
                None => all.nameless += 1,
            }
        }
        Ok(all)
    }

    fn swap_rows(&self, scores: &[Option<f64>], material: &ProbeMaterial<'_>) -> Vec<SwapRow> {
        let rows = material.drawn.rows.iter().zip(&self.swapped).enumerate();
        let row = |(i, (row, swapped)): (usize, (&Judged<'_>, &Option<usize>))| {
            Some(SwapRow {
                article: row.article.title.clone(),
                profile: row.profile.id.to_string(),
                own: scores[ALWAYS * i],
                again: scores[ALWAYS * i + 1],
                swapped: scores[(*swapped)?],
            })
        };
        rows.filter_map(row).collect()
    }
}

fn profile_rows(scores: &[Option<f64>], material: &ProbeMaterial<'_>) -> Vec<ProfileRow3> {
    let own = scores.chunks_exact(ALWAYS).take(material.drawn.rows.len());
    let row = |(row, s): (&Judged<'_>, &[Option<f64>])| ProfileRow3 { truth: row.truth, own: s[0], neutral: s[2], other: s[3] };
    material.drawn.rows.iter().zip(own).map(row).collect()
}

/// Every article of the square for every reader of it, article by article.
fn square_prompts(material: &ProbeMaterial<'_>) -> Result<Vec<Prompt>, ProbeError> {
    let mut prompts = Vec::new();
    for article in &material.drawn.square.0 {
        for profile in &material.drawn.square.1 {
            let id = format!("{}|{}|square", article.id, profile.id);
            prompts.push(Prompt { id, messages: messages(material, profile, article)? });
        }
    }
    Ok(prompts)
}

fn squared(scores: &[Option<f64>], material: &ProbeMaterial<'_>) -> Square {
    scores.chunks(material.drawn.square.1.len().max(1)).map(<[Option<f64>]>::to_vec).collect()
}

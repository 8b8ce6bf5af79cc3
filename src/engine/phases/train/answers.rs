//! Which held-out rows are asked while a student learns, and whether there is room to ask. Owns the choice; asking is
//! `train::samples`'.

use super::start::Prepared;
use crate::domain::recipe::Recipe;
use crate::student::matrix::Keep;
use crate::train::forecast::{self, BaseSize, Forecast, mib};
use crate::train::samples::{ROWS, WRITTEN};
use crate::train::{SampleRow, SampleRules, TrainExample};
use crate::workspace::Config;

/// What answering needs beside the training itself.
pub(super) fn need(prepared: &Prepared) -> Forecast {
    let none = BaseSize { parameters: 0, stored: 0 };
    let longest = prepared.eval.iter().map(|r| r.encoded.ids.len()).max().unwrap_or(0);
    // The forecast is of 48 rows side by side.
    let tokens = ((longest + WRITTEN).min(prepared.config.max_position_embeddings) * ROWS).div_ceil(48);
    let mut forecast = forecast::scoring(&prepared.config, none, Keep::AsStored, tokens);
    forecast.parts.retain(|(name, _)| *name != "process");
    forecast
}

/// The rules of a run's live answers, or why there are none.
pub(super) fn rules(
    prepared: &Prepared,
    recipe: &Recipe,
    config: &Config,
    training: Option<&Forecast>,
) -> Result<SampleRules, String> {
    let every = config.train.samples_every;
    if every == Some(0) {
        return Err("train.samples_every is 0".into());
    }
    let need = need(prepared).total() + training.map_or(0, Forecast::total);
    if let Some(free) = forecast::available().filter(|free| need > *free) {
        return Err(format!("training and answering need {}, {} are free", mib(need), mib(free)));
    }
    Ok(SampleRules {
        every: every.map(|n| n as u64),
        rows: rows(&prepared.examples[1], &prepared.held_out_scores),
        sampling: recipe.served_sampling(),
        think: recipe.student.think,
        scale: recipe.scale.range(),
    })
}

/// The lowest, the highest, and what lies nearest to half-way between them by their teacher's score: always the same for
/// one dataset.
fn rows(examples: &[TrainExample], scores: &[f64]) -> Vec<SampleRow> {
    let mut sorted: Vec<(&TrainExample, f64)> = examples.iter().zip(scores.iter().copied()).collect();
    sorted.sort_by(|(a, x), (b, y)| x.total_cmp(y).then(a.id.cmp(&b.id)));
    let (Some(&lowest), Some(&highest)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let half = f64::midpoint(lowest.1, highest.1);
    let between = sorted.iter().copied().min_by(|a, b| (a.1 - half).abs().total_cmp(&(b.1 - half).abs()));
    let mut picked = vec![lowest, between.unwrap_or(lowest), highest];
    picked.dedup_by(|a, b| a.0.id == b.0.id);
    let row = |(example, teacher): (&TrainExample, f64)| {
        let messages = example.messages.split_last().map(|(_, before)| before.to_vec()).unwrap_or_default();
        SampleRow { id: example.id.clone(), messages, teacher }
    };
    picked.into_iter().take(ROWS).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChatMessage, Role};

    #[test]
    fn the_rows_span_the_scores_and_are_always_the_same() {
        let example = |id: &str| TrainExample {
            id: id.into(),
            messages: vec![ChatMessage::new(Role::User, "news"), ChatMessage::new(Role::Assistant, "SCORE")],
            weight: 1.0,
        };
        let all = ["d", "a", "c", "b", "e"].map(example);
        let picked = rows(&all, &[9.0, 0.5, 5.0, 0.5, 0.7]);
        let picked: Vec<(&str, f64)> = picked.iter().map(|r| (r.id.as_str(), r.teacher)).collect();
        assert_eq!(picked, [("a", 0.5), ("c", 5.0), ("d", 9.0)]);
        let one = rows(&all[..1], &[9.0]);
        assert_eq!((one.len(), one[0].messages.len()), (1, 1), "the answer is not shown to who is asked");
        assert!(rows(&[], &[]).is_empty());
    }
}

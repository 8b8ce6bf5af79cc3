//! Writing answers: batches of rows that share their prompt's prefix, each with its own random stream, so that a row's
//! answer depends on the student, the prompt, the rules, the seed and the row's id, and on nothing else.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cache::{RowCache, TextCache};
use super::decoder::PackedTexts;
use super::sampler::{Sampler, loops};
use super::{Student, StudentError, ops};
use crate::domain::ChatMessage;
use crate::domain::recipe::Sampling;

/// Rows decoded together on one core: enough to reuse weights from the cache, few enough to spread over cores.
const BATCH: usize = 16;

/// One question to the student.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Names the row's random stream.
    pub id: String,
    /// System and user turns.
    pub messages: Vec<ChatMessage>,
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The student ended its turn.
    End,
    /// `max_new_tokens`, or the end of its positions.
    Length,
    /// It ran in circles.
    Loop,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    pub id: String,
    pub text: String,
    pub tokens: usize,
    pub prompt_tokens: usize,
    pub stop: Stop,
}

struct Row<'a> {
    index: usize,
    id: &'a str,
    prompt: &'a [u32],
    cache: RowCache,
    sampler: Sampler,
    written: Vec<u32>,
}

/// Answers every prompt; `on_row` hears of each as it is finished, in any order and from any thread, and may end the whole
/// by `Break` (then the rows finished so far come back). Answers are in the prompts' order.
pub fn generate(
    student: &Student,
    prompts: &[Prompt],
    rules: &Sampling,
    seed: u64,
    on_row: &(dyn Fn(&Generated) -> ControlFlow<()> + Sync),
) -> Result<Vec<Generated>, StudentError> {
    let encoded = prompts.iter().map(|p| student.codec.prompt(&p.messages)).collect::<Result<Vec<_>, _>>()?;
    let limit = student.config.max_position_embeddings;
    let long: Vec<String> =
        encoded.iter().zip(prompts).filter(|(ids, _)| ids.len() >= limit).map(|(_, p)| p.id.clone()).collect();
    if !long.is_empty() {
        return Err(StudentError::too_long(limit, &long));
    }
    // Rows of one reader begin with the same tokens: those are computed once.
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, prompt) in prompts.iter().enumerate() {
        groups.entry(prompt.messages.first().map_or("", |m| m.content.as_str())).or_default().push(i);
    }
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    let prefixes: Vec<(usize, Option<Arc<TextCache>>)> =
        groups.par_iter().map(|rows| shared_prefix(student, rows, &encoded)).collect::<Result<_, _>>()?;
    let mut places: Vec<(usize, usize)> = vec![(0, 0); prompts.len()];
    for (g, rows) in groups.iter().enumerate() {
        for row in rows {
            places[*row] = (prefixes[g].0, g);
        }
    }
    let stopped = AtomicBool::new(false);
    let order: Vec<usize> = groups.into_iter().flatten().collect();
    let batches: Vec<Vec<(usize, Generated)>> = order
        .par_chunks(BATCH)
        .map(|chunk| {
            let row = |i: &usize| {
                let (shared, group) = places[*i];
                let tail = &encoded[*i][shared..];
                let own = TextCache::new(&student.config, tail.len() + rules.max_new_tokens.min(limit));
                Row {
                    index: *i,
                    id: &prompts[*i].id,
                    prompt: &encoded[*i],
                    cache: RowCache::new(prefixes[group].1.clone(), own),
                    sampler: Sampler::new(rules, seed, &prompts[*i].id),
                    written: Vec::new(),
                }
            };
            write_batch(
                student,
                chunk.iter().map(row).collect(),
                rules,
                &|row| {
                    if on_row(row).is_break() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                },
                &stopped,
            )
        })
        .collect::<Result<_, StudentError>>()?;
    let mut all: Vec<(usize, Generated)> = batches.into_iter().flatten().collect();
    all.sort_by_key(|(i, _)| *i);
    Ok(all.into_iter().map(|(_, row)| row).collect())
}

/// The longest common beginning of a group's prompts (at least one token is left to each), with its keys and values.
fn shared_prefix(
    student: &Student,
    rows: &[usize],
    encoded: &[Vec<u32>],
) -> Result<(usize, Option<Arc<TextCache>>), StudentError> {
    let Some((first, rest)) = rows.split_first() else { return Ok((0, None)) };
    let first = &encoded[*first];
    let mut shared = first.len().saturating_sub(1);
    for row in rest {
        let same = first.iter().zip(&encoded[*row]).take_while(|(a, b)| a == b).count();
        shared = shared.min(same).min(encoded[*row].len().saturating_sub(1));
    }
    if rest.is_empty() || shared == 0 {
        return Ok((0, None));
    }
    let mut cache = [RowCache::new(None, TextCache::new(&student.config, shared))];
    student.decoder.hidden_cached(&PackedTexts::new([(&first[..shared], 0)]), &mut cache)?;
    let [cache] = cache;
    Ok((shared, Some(cache.into_prefix())))
}

fn write_batch(
    student: &Student,
    mut rows: Vec<Row>,
    rules: &Sampling,
    on_row: &dyn Fn(&Generated),
    stopped: &AtomicBool,
) -> Result<Vec<(usize, Generated)>, StudentError> {
    let (end, limit) = (student.codec.tokenizer.end(), student.config.max_position_embeddings);
    let mut done = Vec::with_capacity(rows.len());
    while !rows.is_empty() && !stopped.load(Ordering::Relaxed) {
        // First the tails of the prompts, then one token at a time: what each cache has not seen yet.
        let seen: Vec<usize> = rows.iter().map(|r| r.cache.len()).collect();
        let next: Vec<(Vec<u32>, usize)> = rows
            .iter()
            .zip(&seen)
            .map(|(row, seen)| (row.prompt.iter().chain(&row.written).skip(*seen).copied().collect(), *seen))
            .collect();
        let batch = PackedTexts::new(next.iter().map(|(ids, at)| (ids.as_slice(), *at)));
        let mut caches: Vec<RowCache> = Vec::with_capacity(rows.len());
        let mut rest = Vec::with_capacity(rows.len());
        for Row { index, id, prompt, cache, sampler, written } in rows {
            caches.push(cache);
            rest.push((index, id, prompt, sampler, written));
        }
        let hidden = student.decoder.hidden_cached(&batch, &mut caches)?;
        let last: Vec<u32> = batch.texts().iter().map(|t| t.end as u32 - 1).collect();
        let logits = student.decoder.logits(&hidden, &last)?;
        let vocab = student.config.vocab_size;
        let mut logits = ops::with_numbers([&logits], "sample", |[l]| l.to_vec())?;
        rows = Vec::with_capacity(rest.len());
        for ((part, cache), logits) in rest.into_iter().zip(caches).zip(logits.chunks_exact_mut(vocab)) {
            let (index, id, prompt, mut sampler, mut written) = part;
            let token = sampler.next(logits, &written);
            let stop = if token == end {
                Some(Stop::End)
            } else {
                written.push(token);
                let full = written.len() >= rules.max_new_tokens || prompt.len() + written.len() >= limit;
                if loops(&written) { Some(Stop::Loop) } else { full.then_some(Stop::Length) }
            };
            let Some(stop) = stop else {
                rows.push(Row { index, id, prompt, cache, sampler, written });
                continue;
            };
            let text = student.codec.tokenizer.decode(&written)?;
            let row = Generated { id: id.to_owned(), text, tokens: written.len(), prompt_tokens: prompt.len(), stop };
            on_row(&row);
            done.push((index, row));
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::super::tests::toy;
    use super::*;
    use crate::domain::Role;

    fn rules(temperature: f64) -> Sampling {
        Sampling { temperature, top_p: 0.95, top_k: 20, max_new_tokens: 30, repeat_penalty: 1.1, temperature_floor: 0.5 }
    }

    fn prompts() -> Vec<Prompt> {
        let users = ["the news", "news of the day and of the match", "x", "the day the reader wants", "weak", "no", "of", "1.5"];
        let prompt = |(i, user): (usize, &&str)| Prompt {
            id: format!("row-{i}"),
            messages: vec![
                ChatMessage::new(Role::System, if i % 3 == 2 { "another reader" } else { "the reader of the news" }),
                ChatMessage::new(Role::User, *user),
            ],
        };
        users.iter().enumerate().map(prompt).collect()
    }

    const NOTHING: &(dyn Fn(&Generated) -> ControlFlow<()> + Sync) = &|_| ControlFlow::Continue(());

    #[test]
    fn cached_batches_write_what_a_full_recomputation_writes() {
        let student = toy(5);
        let greedy = rules(0.0);
        let ours = generate(&student, &prompts(), &greedy, 1, NOTHING).unwrap();
        for (prompt, ours) in prompts().iter().zip(&ours) {
            let ids = student.codec.prompt(&prompt.messages).unwrap();
            let (mut sampler, mut written) = (Sampler::new(&greedy, 1, &prompt.id), Vec::new());
            while written.len() < greedy.max_new_tokens && !loops(&written) {
                let all: Vec<u32> = ids.iter().chain(&written).copied().collect();
                let hidden = student.decoder.hidden(&PackedTexts::new([(&all[..], 0)])).unwrap();
                let logits = student.decoder.logits(&hidden, &[all.len() as u32 - 1]).unwrap();
                let token = sampler.next(&mut logits.flatten_all().unwrap().to_vec1().unwrap(), &written);
                if token == student.codec.tokenizer.end() {
                    break;
                }
                written.push(token);
            }
            assert_eq!(ours.text, student.codec.tokenizer.decode(&written).unwrap(), "{}", prompt.id);
        }
    }

    #[test]
    fn a_row_writes_the_same_alone_in_a_batch_and_in_another_order() {
        let student = toy(5);
        let together = generate(&student, &prompts(), &rules(0.8), 1, NOTHING).unwrap();
        let mut turned: Vec<Prompt> = prompts();
        turned.reverse();
        let mut reversed = generate(&student, &turned, &rules(0.8), 1, NOTHING).unwrap();
        reversed.reverse();
        assert_eq!(reversed, together);
        for (prompt, row) in prompts().into_iter().zip(together) {
            assert_eq!(generate(&student, &[prompt], &rules(0.8), 1, NOTHING).unwrap(), [row]);
        }
    }

    #[test]
    fn a_break_ends_the_whole() {
        let student = toy(5);
        let rows = generate(&student, &prompts(), &rules(0.8), 1, &|_| ControlFlow::Break(())).unwrap();
        assert!(rows.len() < 8);
    }

    #[test]
    fn a_prompt_past_the_last_position_is_named() {
        let student = toy(5);
        let mut prompt = prompts().remove(0);
        prompt.messages[1].content = "news ".repeat(500);
        let error = generate(&student, &[prompt], &rules(0.8), 1, NOTHING).unwrap_err().to_string();
        assert!(error.contains("row-0") && error.contains("256"), "{error}");
    }
}

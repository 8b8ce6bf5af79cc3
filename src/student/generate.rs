//! Writing answers: batches of rows that share their prompt's prefix, each with its own random stream, so that a row's
//! answer depends on the student, the prompt, the rules, the seed and the row's id, and on nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cache::{RowCache, TextCache};
use super::pass::PackedTexts;
use super::sampler::{Sampler, loops};
use super::score_reader::{Digits, ScoreReader};
use super::{Student, StudentError};
use crate::domain::ChatMessage;
use crate::domain::recipe::Sampling;

/// Rows that are written side by side: enough that weights are read from memory once for many of them.
const SEATS: usize = 48;
/// New prompt tokens in one pass, at most (one prompt always goes).
const READ_AT_ONCE: usize = 2048;
/// The end of an answer that the score reader looks at, in tokens.
const TAIL: usize = 16;

/// One question to the student.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Names the row's random stream.
    pub id: String,
    /// System and user turns; a last turn of the assistant's is the beginning of its answer, and it writes on from there.
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    pub id: String,
    pub text: String,
    pub tokens: usize,
    pub prompt_tokens: usize,
    pub stop: Stop,
    /// The probability-weighted score, where the answer has a score.
    pub expected_score: Option<f64>,
}

/// Answers every prompt; `on_row` hears of each as it is finished, in any order, and may end the whole by `Break` (then the
/// rows finished so far come back). Answers are in the prompts' order.
pub fn generate(
    student: &Student,
    prompts: &[Prompt],
    rules: &Sampling,
    seed: u64,
    on_row: &mut dyn FnMut(&Generated) -> ControlFlow<()>,
) -> Result<Vec<Generated>, StudentError> {
    let encoded = prompts.iter().map(|p| student.codec.prompt(&p.messages)).collect::<Result<Vec<_>, _>>()?;
    let limit = student.config.max_position_embeddings;
    let long: Vec<String> =
        encoded.iter().zip(prompts).filter(|(ids, _)| ids.len() >= limit).map(|(_, p)| p.id.clone()).collect();
    if !long.is_empty() {
        return Err(StudentError::too_long(limit, &long));
    }
    let mut writer = Writer {
        student,
        rules,
        limit,
        digits: Digits::new(&student.codec.tokenizer),
        ends: student.ends(),
        queue: queue(prompts, &encoded),
        prefix: None,
        rows: Vec::new(),
        seed,
    };
    let mut done: Vec<(usize, Generated)> = Vec::with_capacity(prompts.len());
    while !writer.finished() {
        writer.admit(prompts, &encoded);
        for (index, row) in writer.step()? {
            let ended = on_row(&row).is_break();
            done.push((index, row));
            if ended {
                writer.queue.clear();
                writer.rows.clear();
            }
        }
    }
    done.sort_by_key(|(i, _)| *i);
    Ok(done.into_iter().map(|(_, row)| row).collect())
}

/// A prompt that waits, and how many of its first tokens all prompts of its group share.
struct Waiting {
    index: usize,
    group: usize,
    shared: usize,
}

/// Prompts in the order of their groups: those of one reader begin with the same tokens, which are computed once.
fn queue(prompts: &[Prompt], encoded: &[Vec<u32>]) -> VecDeque<Waiting> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, prompt) in prompts.iter().enumerate() {
        groups.entry(prompt.messages.first().map_or("", |m| m.content.as_str())).or_default().push(i);
    }
    let waiting = |(group, rows): (usize, Vec<usize>)| {
        let shared = shared_tokens(&rows, encoded);
        rows.into_iter().map(move |index| Waiting { index, group, shared })
    };
    groups.into_values().enumerate().flat_map(waiting).collect()
}

/// The length of the longest common beginning of some prompts. Two tokens at least are left to each: a single one would be
/// computed as written tokens are, which rounds otherwise.
fn shared_tokens(rows: &[usize], encoded: &[Vec<u32>]) -> usize {
    let Some((first, rest)) = rows.split_first().filter(|(_, rest)| !rest.is_empty()) else { return 0 };
    let first = &encoded[*first];
    let common = |row: &usize| {
        let same = first.iter().zip(&encoded[*row]).take_while(|(a, b)| a == b).count();
        same.min(encoded[*row].len().saturating_sub(2))
    };
    rest.iter().map(common).fold(first.len().saturating_sub(2), usize::min)
}

struct Row<'a> {
    index: usize,
    id: &'a str,
    prompt: &'a [u32],
    cache: RowCache,
    sampler: Sampler,
    reader: ScoreReader,
    written: Vec<u32>,
}

/// Rows that are being written, and those that wait for a seat.
struct Writer<'a> {
    student: &'a Student,
    rules: &'a Sampling,
    seed: u64,
    limit: usize,
    digits: Digits,
    ends: Vec<u32>,
    queue: VecDeque<Waiting>,
    /// The prefix of the group that was admitted last.
    prefix: Option<(usize, Arc<TextCache>)>,
    rows: Vec<Row<'a>>,
}

impl<'a> Writer<'a> {
    fn finished(&self) -> bool {
        self.queue.is_empty() && self.rows.is_empty()
    }

    /// Gives free seats to waiting prompts.
    fn admit(&mut self, prompts: &'a [Prompt], encoded: &'a [Vec<u32>]) {
        let mut fresh = 0;
        while let Some(next) = self.queue.front().filter(|_| self.rows.len() < SEATS) {
            let (prompt, shared) = (encoded[next.index].as_slice(), next.shared);
            fresh += prompt.len() - shared;
            if fresh > READ_AT_ONCE && fresh > prompt.len() - shared {
                return;
            }
            let (index, group) = (next.index, next.group);
            self.queue.pop_front();
            let prefix = (shared > 0).then(|| self.prefix(group, &prompt[..shared]));
            let room = prompt.len() - shared + self.rules.max_new_tokens.min(self.limit);
            self.rows.push(Row {
                index,
                id: &prompts[index].id,
                prompt,
                cache: RowCache::new(
                    prefix,
                    TextCache::new(&self.student.config, room.min(FIRST_ROOM.max(prompt.len() - shared))),
                ),
                sampler: Sampler::new(self.rules, self.seed, &prompts[index].id),
                reader: ScoreReader::default(),
                written: Vec::new(),
            });
        }
    }

    /// Keys and values of a group's shared tokens.
    fn prefix(&mut self, group: usize, ids: &[u32]) -> Arc<TextCache> {
        if let Some((_, cache)) = self.prefix.as_ref().filter(|(known, _)| *known == group) {
            return Arc::clone(cache);
        }
        let mut cache = [RowCache::new(None, TextCache::new(&self.student.config, ids.len()))];
        self.student.fill(&PackedTexts::new([(ids, 0)]), &mut cache);
        let [cache] = cache;
        let cache = cache.into_prefix();
        self.prefix = Some((group, Arc::clone(&cache)));
        cache
    }

    /// One pass: new rows read what is left of their prompts, and every row gets its next token. Returns rows that ended.
    fn step(&mut self) -> Result<Vec<(usize, Generated)>, StudentError> {
        let seen: Vec<usize> = self.rows.iter().map(|r| r.cache.len()).collect();
        let unseen =
            |(row, seen): (&Row, &usize)| row.prompt.iter().chain(&row.written).skip(*seen).copied().collect::<Vec<u32>>();
        let next: Vec<Vec<u32>> = self.rows.iter().zip(&seen).map(unseen).collect();
        let batch = PackedTexts::new(next.iter().zip(&seen).map(|(ids, at)| (ids.as_slice(), *at)));
        let mut caches: Vec<RowCache> = self.rows.iter_mut().map(|r| r.cache.take()).collect();
        let mut logits = self.student.next(&batch, &mut caches);
        for (row, cache) in self.rows.iter_mut().zip(caches) {
            row.cache = cache;
        }
        let vocab = self.student.config.vocab_size;
        let (student, rules, limit, digits, ends) = (self.student, self.rules, self.limit, &self.digits, &self.ends);
        let write = |(row, logits): (&mut Row, &mut [f32])| row.write(student, rules, limit, digits, ends, logits);
        let ended: Vec<Option<Ended>> =
            self.rows.par_iter_mut().zip(logits.par_chunks_exact_mut(vocab)).map(write).collect::<Result<_, _>>()?;
        let mut done = Vec::new();
        let mut going = Vec::with_capacity(self.rows.len());
        for (row, ended) in std::mem::take(&mut self.rows).into_iter().zip(ended) {
            match ended {
                None => going.push(row),
                Some(ended) => done.push((row.index, row.into_generated(ended))),
            }
        }
        self.rows = going;
        Ok(done)
    }
}

/// Tokens that a row's cache has room for at first; it grows.
const FIRST_ROOM: usize = 64;

struct Ended {
    stop: Stop,
    text: String,
}

impl Row<'_> {
    /// Draws the next token; says how the row ends if it does.
    fn write(
        &mut self,
        student: &Student,
        rules: &Sampling,
        limit: usize,
        digits: &Digits,
        ends: &[u32],
        logits: &mut [f32],
    ) -> Result<Option<Ended>, StudentError> {
        let tokenizer = &student.codec.tokenizer;
        let tail = tokenizer.decode(&self.written[self.written.len().saturating_sub(TAIL)..])?;
        let seen = self.reader.wants(&tail).then(|| logits.to_vec());
        let token = self.sampler.next(logits, &self.written);
        if let Some(seen) = seen {
            self.reader.see(digits, &seen, &tail, token);
        }
        if ends.contains(&token) {
            return Ok(Some(Ended { stop: Stop::End, text: tokenizer.decode(&self.written)? }));
        }
        self.written.push(token);
        if !rules.stop.is_empty() {
            let text = tokenizer.decode(&self.written)?;
            if let Some(at) = rules.stop.iter().filter_map(|s| text.find(s.as_str())).min() {
                return Ok(Some(Ended { stop: Stop::End, text: text[..at].to_owned() }));
            }
        }
        let full = self.written.len() >= rules.max_new_tokens || self.prompt.len() + self.written.len() >= limit;
        let stop = if loops(&self.written) { Some(Stop::Loop) } else { full.then_some(Stop::Length) };
        stop.map(|stop| Ok(Ended { stop, text: tokenizer.decode(&self.written)? })).transpose()
    }

    fn into_generated(self, ended: Ended) -> Generated {
        Generated {
            id: self.id.to_owned(),
            text: ended.text,
            tokens: self.written.len(),
            prompt_tokens: self.prompt.len(),
            stop: ended.stop,
            expected_score: self.reader.score(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::toy;
    use super::*;
    use crate::domain::Role;

    fn rules(temperature: f64) -> Sampling {
        Sampling {
            temperature,
            top_p: 0.95,
            top_k: 20,
            max_new_tokens: 30,
            repeat_penalty: 1.1,
            temperature_floor: 0.5,
            stop: Vec::new(),
        }
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

    fn nothing() -> impl FnMut(&Generated) -> ControlFlow<()> {
        |_| ControlFlow::Continue(())
    }

    #[test]
    fn cached_batches_write_what_a_full_recomputation_writes() {
        let student = toy(5);
        let greedy = rules(0.0);
        let ours = generate(&student, &prompts(), &greedy, 1, &mut nothing()).unwrap();
        for (prompt, ours) in prompts().iter().zip(&ours) {
            let ids = student.codec.prompt(&prompt.messages).unwrap();
            let (mut sampler, mut written) = (Sampler::new(&greedy, 1, &prompt.id), Vec::new());
            while written.len() < greedy.max_new_tokens && !loops(&written) {
                let all: Vec<u32> = ids.iter().chain(&written).copied().collect();
                let token = sampler.next(&mut student.logits(&all), &written);
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
        let together = generate(&student, &prompts(), &rules(0.8), 1, &mut nothing()).unwrap();
        let mut turned: Vec<Prompt> = prompts();
        turned.reverse();
        let mut reversed = generate(&student, &turned, &rules(0.8), 1, &mut nothing()).unwrap();
        reversed.reverse();
        assert_eq!(reversed, together);
        for (prompt, row) in prompts().into_iter().zip(together) {
            assert_eq!(generate(&student, &[prompt], &rules(0.8), 1, &mut nothing()).unwrap(), [row]);
        }
    }

    #[test]
    fn a_break_ends_the_whole() {
        let student = toy(5);
        let rows = generate(&student, &prompts(), &rules(0.8), 1, &mut |_| ControlFlow::Break(())).unwrap();
        assert!(rows.len() < 8);
    }

    #[test]
    fn a_prompt_past_the_last_position_is_named() {
        let student = toy(5);
        let mut prompt = prompts().remove(0);
        prompt.messages[1].content = "news ".repeat(500);
        let error = generate(&student, &[prompt], &rules(0.8), 1, &mut nothing()).unwrap_err().to_string();
        assert!(error.contains("row-0") && error.contains("256"), "{error}");
    }
}

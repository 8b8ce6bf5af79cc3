//! Choosing the next token: repeat penalty, temperature, top-k, top-p, and a draw from the row's own stream. Also notices
//! when a text runs in circles.

use crate::domain::recipe::Sampling;

use super::random::Stream;

/// How many of the row's own last tokens the repeat penalty looks at (llama.cpp's default). Not the prompt: a justification
/// has to quote it.
const REPEAT_WINDOW: usize = 64;
/// A text loops when its last tokens are this many copies, at least, of one block.
const LOOP_COPIES: usize = 4;
/// …and the copies together are at least this long.
const LOOP_TOKENS: usize = 24;
const LOOP_BLOCK: usize = 40;

#[derive(Debug, Clone)]
pub struct Sampler {
    rules: Sampling,
    stream: Stream,
}

impl Sampler {
    /// Temperature 0 always takes the likeliest token.
    pub fn new(rules: &Sampling, seed: u64, row: &str) -> Self {
        Self { rules: rules.clone(), stream: Stream::new(seed, &["sample", row]) }
    }

    /// The next token after `written`, the row's own tokens so far.
    pub fn next(&mut self, logits: &mut [f32], written: &[u32]) -> u32 {
        let penalty = self.rules.repeat_penalty;
        if penalty > 0.0 && (penalty - 1.0).abs() > f32::EPSILON {
            let mut recent = written[written.len().saturating_sub(REPEAT_WINDOW)..].to_vec();
            recent.sort_unstable();
            recent.dedup();
            for id in recent {
                let Some(logit) = logits.get_mut(id as usize) else { continue };
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        let by_logit = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        if self.rules.temperature <= 0.0 {
            return (0..logits.len() as u32).min_by(by_logit).unwrap_or(0);
        }
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        let keep = if self.rules.top_k == 0 { ids.len() } else { self.rules.top_k.min(ids.len()) };
        if keep < ids.len() {
            ids.select_nth_unstable_by(keep, by_logit);
            ids.truncate(keep);
        }
        ids.sort_unstable_by(by_logit);
        let most = f64::from(ids.first().map_or(0.0, |id| logits[*id as usize]));
        let weights: Vec<f64> =
            ids.iter().map(|id| ((f64::from(logits[*id as usize]) - most) / self.rules.temperature).exp()).collect();
        let all: f64 = weights.iter().sum();
        // The smallest set of likeliest tokens that reaches top_p; the token that crosses it belongs to it.
        let (mut nucleus, mut mass) = (0, 0.0);
        while nucleus < weights.len() && (nucleus == 0 || mass < self.rules.top_p * all) {
            mass += weights[nucleus];
            nucleus += 1;
        }
        let mut left = self.stream.unit() * mass;
        for (id, weight) in ids.iter().zip(&weights[..nucleus]) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        ids.get(nucleus.saturating_sub(1)).copied().unwrap_or(0)
    }
}

/// Does the end of `written` repeat one block over and over?
pub fn loops(written: &[u32]) -> bool {
    (1..=LOOP_BLOCK).any(|block| {
        let span = (LOOP_COPIES * block).max(LOOP_TOKENS.next_multiple_of(block));
        let Some(from) = written.len().checked_sub(span) else { return false };
        written[from..].iter().zip(&written[from + block..]).all(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(temperature: f64, top_p: f64, top_k: usize, repeat_penalty: f32) -> Sampling {
        Sampling { temperature, top_p, top_k, max_new_tokens: 10, repeat_penalty, temperature_floor: 0.5, stop: Vec::new() }
    }

    fn draws(rules: &Sampling, logits: &[f32], written: &[u32]) -> Vec<u32> {
        let mut sampler = Sampler::new(rules, 1, "row");
        (0..2000).map(|_| sampler.next(&mut logits.to_vec(), written)).collect()
    }

    #[test]
    fn temperature_nought_takes_the_likeliest() {
        assert!(draws(&rules(0.0, 1.0, 0, 1.0), &[0.0, 2.0, 1.0], &[]).iter().all(|id| *id == 1));
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let drawn = draws(&rules(1.0, 1.0, 0, 1.0), &[0.0, 1.0, -30.0], &[]);
        let share = drawn.iter().filter(|id| **id == 1).count() as f64 / 2000.0;
        assert!((share - 0.731).abs() < 0.04, "{share}");
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let logits = [1.0, 0.9, 0.8, 0.0];
        assert!(draws(&rules(1.0, 1.0, 2, 1.0), &logits, &[]).iter().all(|id| *id < 2));
        assert!(draws(&rules(1.0, 0.3, 0, 1.0), &logits, &[]).iter().all(|id| *id == 0));
    }

    #[test]
    fn the_penalty_moves_repeated_tokens_down_and_old_ones_not() {
        let greedy = rules(0.0, 1.0, 0, 1.1);
        assert_eq!(Sampler::new(&greedy, 1, "r").next(&mut [1.0, 0.95], &[0]), 1);
        let mut old = vec![0];
        old.extend([7; 64]);
        assert_eq!(Sampler::new(&greedy, 1, "r").next(&mut [1.0, 0.95], &old), 0);
    }

    #[test]
    fn circles_are_noticed_and_prose_is_not() {
        let circle = |block: &[u32], copies: usize| [&[90, 91, 92][..], &block.repeat(copies)].concat();
        assert!(loops(&circle(&[1], 24)) && loops(&circle(&[1, 2, 3, 4, 5], 5)) && loops(&circle(&[1, 2, 3, 4, 5, 6, 7], 4)));
        assert!(!loops(&circle(&[1], 10)) && !loops(&circle(&[1, 2, 3, 4, 5, 6, 7], 3)) && !loops(&(0..200).collect::<Vec<_>>()));
    }
}

//! Tokens as a bill counts them.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// What one answer, or many, used. The five kinds are disjoint: a cached prompt token is not an input token too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt tokens that no cache was involved in.
    pub input: u64,
    /// Prompt tokens written to a cache that lives five minutes.
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives an hour.
    pub cache_write_1h: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Hidden reasoning included, where a model has it.
    pub output: u64,
}

impl Tokens {
    pub fn plain(input: u64, output: u64) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// Tokens of the prompt, cached or not.
    pub fn prompt(&self) -> u64 {
        self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read
    }
}

impl Add for Tokens {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self {
            input: self.input + o.input,
            cache_write_5m: self.cache_write_5m + o.cache_write_5m,
            cache_write_1h: self.cache_write_1h + o.cache_write_1h,
            cache_read: self.cache_read + o.cache_read,
            output: self.output + o.output,
        }
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

impl Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

/// Tokens of a text where no counter is to be had: four bytes of ASCII a token, as the providers advise, and one for
/// every other character, since no tokenizer packs Arabic or Hangul as densely as English.
pub fn estimate_tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let other = text.chars().filter(|c| !c.is_ascii()).count() as u64;
    ascii.div_ceil(4) + other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_not_latin_is_estimated_by_its_characters() {
        assert_eq!(estimate_tokens("abcdefgh"), 2);
        assert_eq!(estimate_tokens("مرحبا"), 5);
        assert_eq!(estimate_tokens(""), 0);
    }

    #[test]
    fn a_prompt_is_the_sum_of_its_four_kinds() {
        let t = Tokens { input: 1, cache_write_5m: 2, cache_write_1h: 3, cache_read: 4, output: 100 };
        assert_eq!([t, t].into_iter().sum::<Tokens>().prompt(), 20);
    }
}

//! The head of a GGUF file, read as far as Ollama reads it when a model is made: keys and places of tensors, no numbers.

use std::collections::HashMap;

#[derive(Clone, Default)]
pub struct Head {
    version: u64,
    pub family: String,
    /// Tokens it was trained to read.
    pub context: Option<u64>,
}

impl Head {
    /// Or Go's words for a file that ends too early.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = Rest(bytes.strip_prefix(b"GGUF").unwrap_or_default());
        let (version, tensors, keys) = (rest.number(4)?, rest.number(8)?, rest.number(8)?);
        let (mut texts, mut numbers) = (HashMap::new(), HashMap::new());
        for _ in 0..keys {
            let (key, kind) = (rest.text()?, rest.number(4)?);
            match kind {
                4 | 10 => drop(numbers.insert(key, rest.number(width(kind)?)?)),
                8 => drop(texts.insert(key, rest.text()?)),
                9 => rest.array()?,
                _ => drop(rest.take(width(kind)?)?),
            }
        }
        for _ in 0..tensors {
            rest.tensor().map_err(|why| format!("failed to read tensor name: {why}"))?;
        }
        let family = texts.remove("general.architecture").unwrap_or_else(|| "unknown".into());
        let context = numbers.remove(&format!("{family}.context_length"));
        Ok(Self { version, family, context })
    }

    /// The reader that looks what a model can do knows fewer versions than the one that makes it.
    pub fn completes(&self) -> bool {
        self.version >= 2
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: u64) -> Result<&'a [u8], String> {
        match self.0.split_at_checked(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None if self.0.is_empty() => Err("EOF".into()),
            None => Err("unexpected EOF".into()),
        }
    }

    fn number(&mut self, bytes: u64) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.number(8)?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn array(&mut self) -> Result<(), String> {
        let (kind, items) = (self.number(4)?, self.number(8)?);
        for _ in 0..items {
            let bytes = if kind == 8 { self.number(8)? } else { width(kind)? };
            self.take(bytes)?;
        }
        Ok(())
    }

    fn tensor(&mut self) -> Result<(), String> {
        self.text()?;
        let dimensions = self.number(4)?;
        self.take(dimensions * 8 + 4 + 8).map(drop)
    }
}

/// Bytes of one value of a kind.
fn width(kind: u64) -> Result<u64, String> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(format!("invalid type: {kind}")),
    }
}

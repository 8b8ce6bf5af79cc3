//! The rehearsal teacher's judgement: a deterministic reading of the PRISM rubric, for practice without a paid model.
//!
//! [`lexicon`] says what words mean; [`vocabulary`] compiles it; [`reading`] reads an article without a reader in mind;
//! [`reader`] compiles a profile; [`evidence`] holds the two together; [`score`] weighs; [`prose`] writes the think block;
//! [`writer`] writes new articles.

mod evidence;
mod lexicon;
mod phrases;
mod prose;
mod reader;
mod reading;
mod score;
mod source;
mod vocabulary;
pub mod writer;

pub use lexicon::{Lexicon, LexiconError};

use crate::domain::{Article, Bands, DepthRules, Prism, Profile, SourceType};
use evidence::Evidence;
use prose::Writer;
use reader::Reader;
use reading::Reading;
use vocabulary::Vocabulary;

/// Judges pairs by one lexicon. The same pair always gets the same answer.
#[derive(Debug, Clone)]
pub struct Judge {
    vocabulary: Vocabulary,
}

impl Judge {
    /// By the lexicon in the binary.
    pub fn shipped() -> Result<Self, LexiconError> {
        Self::new(Lexicon::shipped()?)
    }

    pub fn new(lexicon: Lexicon) -> Result<Self, LexiconError> {
        Ok(Self { vocabulary: Vocabulary::new(lexicon)? })
    }

    /// The judgement of one article for one reader, with a think block as long as the score's depth tier asks.
    pub fn judge(&self, profile: &Profile, article: &Article, depth: &DepthRules, bands: &Bands) -> Prism {
        let mut reading = Reading::of(&self.vocabulary, article);
        let reader = Reader::of(&self.vocabulary, profile);
        // A page on the tracked company's own site is that company speaking.
        if reading.source == SourceType::Unknown && reader.tracks_host(source::label(&article.url)) {
            reading.source = SourceType::Official;
        }
        let evidence = Evidence::gather(&self.vocabulary, &reader, &reading);
        let verdict = score::weigh(&self.vocabulary, profile.motivation, &evidence, &reading);
        Writer {
            vocabulary: &self.vocabulary,
            profile,
            reader: &reader,
            reading: &reading,
            evidence: &evidence,
            verdict,
            bands,
            depth,
        }
        .write()
    }
}

#[cfg(test)]
mod tests;

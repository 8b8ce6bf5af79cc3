//! The student: a small decoder that reads a prompt and writes a judgement.
//!
//! Owns shape, tokenizer, chat template, weights, the forward pass and generation. Does not own training (`train`), prompts
//! (`domain::render`) or what an answer means (`domain::answer`).

pub mod cache;
pub mod config;
pub mod decoder;
mod error;
pub mod ops;
pub mod random;
pub mod template;
pub mod tokenizer;
pub mod weights;

pub use config::StudentConfig;
pub use decoder::{Decoder, PackedTexts};
pub use error::StudentError;
pub use template::ChatTemplate;
pub use tokenizer::StudentTokenizer;

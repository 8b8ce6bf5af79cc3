//! Reading result files: blocks of lines, each line joined to its request by id and examined by the recipe's rules.
//!
//! Owns no record: what is made of an answer is `import`'s. A block is examined on all cores while the one before it is
//! being stored.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rayon::prelude::*;

use super::asking::Kind;
use crate::domain::{AnswerDefect, Article, Form, PairKey, Prism, Recipe, Reject, SourceType, examine, one_line};
use crate::teacher::{Outcome, ResultLine, Stop, Teacher};
use crate::workspace::{Answered, Billed, Kept, MAX_LINE_BYTES, PlanRow, RequestRow, WorkspaceError};

/// Lines examined together; large enough to keep the cores busy, small enough to be nothing in memory.
const BLOCK: usize = 1024;

/// One line, read and examined.
pub(super) enum Line {
    /// The request's place among the rows, and its answer.
    Answer(usize, Box<Answered>),
    Unknown(String),
    Unreadable(String),
}

/// What is needed to make an answer of a line.
pub(super) struct Reading<'a> {
    rows: &'a [RequestRow],
    index: HashMap<&'a str, usize>,
    teacher: &'a dyn Teacher,
    recipe: &'a Recipe,
    kind: Kind,
    form: Form,
}

impl<'a> Reading<'a> {
    pub fn new(rows: &'a [RequestRow], teacher: &'a dyn Teacher, recipe: &'a Recipe, plan: &PlanRow) -> Self {
        let index = rows.iter().enumerate().map(|(i, r)| (r.request.custom_id.as_str(), i)).collect();
        Self { rows, index, teacher, recipe, kind: Kind::from_id(&plan.kind), form: plan.form }
    }

    /// The next block, examined; empty at the end of the file.
    pub fn block(&self, lines: &mut Lines) -> std::io::Result<Vec<(usize, Line)>> {
        let block = lines.block()?;
        Ok(block.into_par_iter().map(|(number, line)| (number, self.line(&line))).collect())
    }

    fn line(&self, line: &[u8]) -> Line {
        if line.len() > MAX_LINE_BYTES {
            return Line::Unreadable(format!("it is longer than {} MiB", MAX_LINE_BYTES >> 20));
        }
        match self.teacher.read_line(line) {
            Err(why) => Line::Unreadable(one_line(&why, 200)),
            Ok(ResultLine { custom_id, outcome }) => match self.index.get(custom_id.as_str()) {
                None => Line::Unknown(one_line(&custom_id, 80)),
                Some(i) => Line::Answer(*i, Box::new(self.answered(&self.rows[*i], outcome))),
            },
        }
    }

    fn answered(&self, row: &RequestRow, outcome: Outcome) -> Answered {
        match outcome {
            Outcome::Answered { text, stop, tokens } => {
                let result = match stop {
                    Stop::End => self.judge(row, &text),
                    Stop::TokenLimit => Err(Reject::Truncated { tokens: tokens.output }),
                    Stop::Refusal => Err(Reject::Refused { why: one_line(&text, 200) }),
                };
                let q = &row.request;
                Answered {
                    row: row.row,
                    custom_id: q.custom_id.clone(),
                    cache_key: q.cache_key.clone(),
                    text,
                    stop: stop.id().into(),
                    tokens,
                    billed: Billed::Yes,
                    result,
                }
            }
            Outcome::Errored { why, kind } => {
                Answered::without(row, Reject::Failed { why: one_line(&why, 300), kind }, Billed::No)
            }
            Outcome::Expired => Answered::without(row, Reject::Expired, Billed::No),
            Outcome::Canceled => Answered::without(row, Reject::Canceled, Billed::No),
        }
    }

    /// Whether an answer can be used, by the recipe's rules.
    fn judge(&self, row: &RequestRow, text: &str) -> Result<Kept, Reject> {
        let format = |defect| Reject::Format { defect };
        if self.kind == Kind::Articles {
            return articles(&row.request.pair, text).map(Kept::Articles).map_err(format);
        }
        let rendered = match self.form {
            Form::Text => None,
            Form::Fields => Some(Prism::from_json(text).map_err(|_| format(AnswerDefect::NotFields))?.answer()),
        };
        examine(self.recipe, row.request.pair.clone(), rendered.as_deref().unwrap_or(text)).map(Kept::Trace)
    }
}

/// The articles of a written answer: those that are whole.
fn articles(pair: &PairKey, text: &str) -> Result<Vec<Article>, AnswerDefect> {
    #[derive(serde::Deserialize)]
    struct Written {
        articles: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        title: String,
        summary: String,
        source: String,
        source_type: SourceType,
    }
    let text = text.trim().trim_start_matches("```json").trim_start_matches("```").trim_end_matches("```");
    let written: Written = serde_json::from_str(text).map_err(|_| AnswerDefect::NotFields)?;
    let whole = written
        .articles
        .into_iter()
        .filter_map(|one| Article::written(&one.title, &one.summary, &one.source, one.source_type, &pair.profile).ok());
    let articles: Vec<Article> = whole.collect();
    if articles.is_empty() { Err(AnswerDefect::Empty) } else { Ok(articles) }
}

/// Blocks of lines of a file, numbered from 1; blank lines are passed over.
pub(super) struct Lines {
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, WorkspaceError> {
        let file = File::open(path).map_err(|e| WorkspaceError::io("open", path, e))?;
        Ok(Self { reader: BufReader::with_capacity(1 << 18, file), number: 0 })
    }

    pub fn block(&mut self) -> std::io::Result<Vec<(usize, Vec<u8>)>> {
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            let mut line = Vec::new();
            // One byte more than is accepted, so that a longer line shows; its rest is skipped.
            if self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.len() > MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                self.skip_line()?;
            }
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                block.push((self.number, line));
            }
        }
        Ok(block)
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let (used, done) = match buffer.iter().position(|b| *b == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(used);
            if done {
                return Ok(());
            }
        }
    }
}

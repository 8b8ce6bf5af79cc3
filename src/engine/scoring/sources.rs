//! Where articles to score come from: a file, standard input, a feed. Whatever can be imported can be scored; a row that is
//! broken is told and passed over, for the others are waited for.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::errand::is_address;
use super::super::job::Failure;
use crate::domain::{Article, one_line};
use crate::net::download;
use crate::workspace::{ArticleFile, FeedTerms, Workspace, WorkspaceError};

/// Bytes of a feed or of standard input, at most.
const MOST_BYTES: u64 = 512 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArticleSource {
    File(PathBuf),
    Stdin,
    /// A feed of `stratos.toml` by its source's name, its host or its url; or any address.
    Feed(String),
}

/// A row that is no article.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenRow {
    /// Its line; of a JSON array its number.
    pub line: usize,
    pub why: String,
}

/// What a source held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArticlesRead {
    pub articles: Vec<Article>,
    pub broken: Vec<BrokenRow>,
}

/// A file that goes when it was read.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // What stays behind is small, and the next one has another name.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Reads all articles of a source.
pub fn read_articles(workspace: &Workspace, source: &ArticleSource) -> Result<ArticlesRead, Failure> {
    let read = match source {
        ArticleSource::File(path) => rows(path, &FeedTerms::default(), &path.display().to_string())?,
        ArticleSource::Stdin => {
            let (passing, file) = passing(workspace)?;
            let mut bounded = io::stdin().lock().take(MOST_BYTES + 1);
            let copied =
                io::copy(&mut bounded, &mut BufWriter::new(file)).map_err(|e| WorkspaceError::io("write", &passing.0, e))?;
            if copied > MOST_BYTES {
                let reason = format!("standard input is longer than {} MiB", MOST_BYTES >> 20);
                return Err(Failure::new(reason, "Give it as a file, or in pieces."));
            }
            rows(&passing.0, &FeedTerms::default(), "standard input")?
        }
        ArticleSource::Feed(name) => {
            let mut terms = terms(workspace, name)?;
            let shown = one_line(&terms.address, 120);
            let (passing, file) = passing(workspace)?;
            let found = download(&terms.address, MOST_BYTES, &mut BufWriter::new(file), &mut |_, _| true);
            let found = found.map_err(|e| Failure::new(e.to_string(), "Nothing was scored."))?;
            terms.address = found.unwrap_or(terms.address);
            rows(&passing.0, &terms, &shown)?
        }
    };
    if read.articles.is_empty() {
        let lost = read.broken.first().map_or_else(String::new, |row| format!(" (line {}: {})", row.line, row.why));
        let next = "Give articles as JSON, JSON lines, CSV or Parquet with a 'title' column, RSS or Atom.";
        return Err(Failure::new(format!("{} holds no article{lost}", named(source)), next));
    }
    Ok(read)
}

fn named(source: &ArticleSource) -> String {
    match source {
        ArticleSource::File(path) => path.display().to_string(),
        ArticleSource::Stdin => "standard input".into(),
        ArticleSource::Feed(name) => one_line(name, 120),
    }
}

fn passing(workspace: &Workspace) -> Result<(Passing, File), Failure> {
    let folder = workspace.state_dir("tmp")?;
    for n in 0.. {
        let path = folder.join(format!("score-{}-{n}", std::process::id()));
        match File::create_new(&path) {
            Ok(file) => return Ok((Passing(path), file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(WorkspaceError::io("create", &path, error).into()),
        }
    }
    Err(Failure::new("there is no free name for a file in .stratos/tmp", "Empty that folder."))
}

/// The articles of a file, and its broken rows. Errors of the whole file end it; what it is called is `shown`.
fn rows(path: &Path, terms: &FeedTerms, shown: &str) -> Result<ArticlesRead, Failure> {
    let failed = |error: WorkspaceError| match error {
        WorkspaceError::File { why, .. } => Failure::new(format!("{shown}: {why}"), "Nothing was scored."),
        WorkspaceError::Record { line, why, .. } => {
            Failure::new(format!("{shown}, line {line}: {why}"), "Mend it and score again; nothing was scored.")
        }
        other => Failure::new(other.to_string(), "Nothing was scored."),
    };
    let mut read = ArticlesRead::default();
    for row in ArticleFile::open(path, terms).map_err(failed)? {
        match row {
            Ok(row) => read.articles.push(row.article),
            Err(WorkspaceError::Record { line, why, .. }) => {
                // A reader that cannot go on says the same again.
                if read.broken.last().is_some_and(|last| last.line == line) {
                    break;
                }
                read.broken.push(BrokenRow { line, why: one_line(&why, 300) });
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(read)
}

/// The feed that a name means.
fn terms(workspace: &Workspace, name: &str) -> Result<FeedTerms, Failure> {
    let feeds = &workspace.config.feeds;
    let wanted = name.trim();
    let same = |text: &str| text.eq_ignore_ascii_case(wanted);
    let host = |url: &str| reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let found = feeds.iter().find(|f| f.source.as_deref().is_some_and(same) || same(&f.url) || same(&host(&f.url)));
    match found {
        Some(feed) => Ok(FeedTerms { address: feed.url.clone(), source: feed.source.clone(), source_type: feed.source_type }),
        None if is_address(wanted) => Ok(FeedTerms { address: wanted.to_owned(), ..FeedTerms::default() }),
        None => {
            let known: Vec<String> = feeds.iter().map(|f| f.source.clone().unwrap_or_else(|| host(&f.url))).collect();
            let known = if known.is_empty() { "it names none".to_owned() } else { known.join(", ") };
            let reason = format!("there is no feed '{}' in stratos.toml ({})", one_line(wanted, 80), one_line(&known, 300));
            Err(Failure::new(reason, "Give its source's name, its address, or add [[feeds]] with a url."))
        }
    }
}

//! Importing articles: each is proved as it is read, and all of them are stored in one step, or none.
//!
//! Owns the jobs: one import, and all feeds of `stratos.toml`. What a file is and how it is read is `workspace`'s.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::super::errand::is_address;
use super::super::event::{Event, Level};
use super::super::job::{Failure, JobContext, PhaseEnd};
use crate::domain::{Conduct, Gate, SourceType, one_line};
use crate::net::download;
use crate::workspace::{ArticleFile, ArticleRow, FeedTerms, Incoming, Offered, Origin, Upserted, WorkspaceError};

/// Articles between two looks at what the operator wishes.
const STRIDE: usize = 500;

/// Bytes that are fetched from one address, at most.
const MAX_FETCHED: u64 = 512 << 20;

/// A file to read, and what it is called.
struct Source {
    path: PathBuf,
    name: String,
    terms: FeedTerms,
    /// It was fetched, and goes with this.
    fetched: bool,
}

impl Drop for Source {
    fn drop(&mut self) {
        if self.fetched {
            // What stays behind is small, and the next fetch has another name.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// How reading came to its end.
enum End {
    Read,
    Stopped,
}

pub fn run(context: &mut JobContext, from: &str, limit: Option<usize>) -> Result<PhaseEnd, Failure> {
    let mut incoming = Incoming::open(context.workspace.ledger()?)?;
    let mut left = limit.unwrap_or(usize::MAX);
    let sources = if is_address(from) {
        let terms = FeedTerms { address: from.to_owned(), ..FeedTerms::default() };
        let Some(source) = fetch(context, terms)? else { return Ok(stopped(context)) };
        vec![source]
    } else {
        sources(Path::new(from)).map_err(|e| refused(&e))?
    };
    for source in &sources {
        match collect(context, &mut incoming, source, &mut left).map_err(|e| refused(&named(e, source)))? {
            End::Read => {}
            End::Stopped => return Ok(stopped(context)),
        }
    }
    let stored = incoming.store(Origin::Imported)?;
    if stored == Upserted::default() {
        return Err(Failure::new(format!("{from}: it holds no records; nothing was stored"), "Name a file that holds articles."));
    }
    Ok(told(context, "articles".into(), stored))
}

/// Fetches and imports every feed of `stratos.toml`. Each is stored by itself; one that fails does not stop the others.
pub fn fetch_all(context: &mut JobContext) -> Result<PhaseEnd, Failure> {
    let feeds = context.workspace.config.feeds.clone();
    if feeds.is_empty() {
        let next = "Add [[feeds]] with a url to stratos.toml, or import one by its address.";
        return Err(Failure::new("stratos.toml names no feeds", next));
    }
    let mut incoming = Incoming::open(context.workspace.ledger()?)?;
    let mut all = Upserted::default();
    let mut failed = Vec::new();
    for feed in &feeds {
        incoming.clear()?;
        let terms = FeedTerms { address: feed.url.clone(), source: feed.source.clone(), source_type: feed.source_type };
        match fetch_one(context, &mut incoming, terms) {
            Ok(Some(stored)) => {
                all.added += stored.added;
                all.updated += stored.updated;
                all.unchanged += stored.unchanged;
            }
            Ok(None) => {
                context.log(Level::Warn, "fetching was stopped; the feeds before this one are stored, and nothing of this one");
                return Ok(PhaseEnd::Stopped);
            }
            Err(failure) => {
                context.log(Level::Warn, format!("feed {}: {}", one_line(&feed.url, 120), failure.reason));
                failed.push(failure);
            }
        }
    }
    if let Some(last) = failed.pop().filter(|_| failed.len() + 1 == feeds.len()) {
        return Err(Failure::new(format!("none of {} feeds could be read; the last: {}", feeds.len(), last.reason), last.next));
    }
    let lost = if failed.is_empty() { String::new() } else { format!(" · {} failed", failed.len()) };
    let Upserted { added, updated, unchanged } = all;
    Ok(PhaseEnd::Aside {
        headline: format!("{} feeds: {added} added, {updated} updated, {unchanged} unchanged{lost}", feeds.len()),
    })
}

/// One feed, stored whole; `None`: the operator stopped it.
fn fetch_one(context: &mut JobContext, incoming: &mut Incoming, terms: FeedTerms) -> Result<Option<Upserted>, Failure> {
    let Some(source) = fetch(context, terms)? else { return Ok(None) };
    let mut left = usize::MAX;
    match collect(context, incoming, &source, &mut left).map_err(|e| refused(&named(e, &source)))? {
        End::Read => {}
        End::Stopped => return Ok(None),
    }
    let stored = incoming.store(Origin::Imported)?;
    let Upserted { added, updated, unchanged } = stored;
    context.event(Event::Imported { what: format!("articles of {}", source.name), added, updated, unchanged });
    Ok(Some(stored))
}

/// Fetches what stands at an address into a file of its own.
fn fetch(context: &mut JobContext, mut terms: FeedTerms) -> Result<Option<Source>, Failure> {
    let name = one_line(&terms.address, 120);
    let file = format!("fetched-{}-{}", std::process::id(), context.clock.now().0);
    let path = context.workspace.state_dir("tmp")?.join(file);
    let mut source = Source { path, name: name.clone(), terms: FeedTerms::default(), fetched: true };
    let opened = File::create(&source.path).map_err(|e| WorkspaceError::io("create", &source.path, e))?;
    context.progress(0, 0, "KiB", &name);
    let mut go_on = |read: u64, total: u64| {
        context.progress(read >> 10, total.max(read) >> 10, "KiB", &name);
        context.gate() == Gate::Continue
    };
    let found = download(&terms.address, MAX_FETCHED, &mut BufWriter::new(opened), &mut go_on);
    let Some(found) = found.map_err(|e| Failure::new(e.to_string(), "The articles are as they were before."))? else {
        return Ok(None);
    };
    terms.address = found;
    source.terms = terms;
    Ok(Some(source))
}

/// An error of a fetched file speaks of its address; the file is gone.
fn named(mut error: WorkspaceError, source: &Source) -> WorkspaceError {
    if let (true, WorkspaceError::Record { file, .. } | WorkspaceError::File { file, .. }) = (source.fetched, &mut error) {
        *file = PathBuf::from(&source.name);
    }
    error
}

/// A refusal says by itself what to do; that nothing changed is said with it.
fn refused(error: &WorkspaceError) -> Failure {
    Failure::new(error.to_string(), "The articles are as they were before.")
}

/// Nothing of what was read is kept.
fn stopped(context: &JobContext) -> PhaseEnd {
    context.log(Level::Warn, "the import was stopped; nothing of it was stored");
    PhaseEnd::Stopped
}

fn told(context: &JobContext, what: String, stored: Upserted) -> PhaseEnd {
    let Upserted { added, updated, unchanged } = stored;
    let headline = format!("{what}: {added} added, {updated} updated, {unchanged} unchanged");
    context.event(Event::Imported { what, added, updated, unchanged });
    PhaseEnd::Aside { headline }
}

/// One file, or the files of a folder by name; hidden ones and folders in it are passed over.
fn sources(from: &Path) -> Result<Vec<Source>, WorkspaceError> {
    let name = |path: &Path| path.file_name().map_or_else(|| "articles".into(), |n| one_line(&n.to_string_lossy(), 120));
    if !from.is_dir() {
        return Ok(vec![Source { path: from.to_owned(), name: name(from), terms: FeedTerms::default(), fetched: false }]);
    }
    let io = |e| WorkspaceError::io("read", from, e);
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(from).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = name(&path);
        if path.is_file() && !name.starts_with('.') {
            sources.push(Source { path, name, terms: FeedTerms::default(), fetched: false });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    if sources.is_empty() {
        return Err(WorkspaceError::File { file: from.to_owned(), why: "the folder holds no files; nothing was stored".into() });
    }
    Ok(sources)
}

/// Reads and proves one file; stops and pauses between articles.
fn collect(context: &mut JobContext, incoming: &mut Incoming, source: &Source, left: &mut usize) -> Result<End, WorkspaceError> {
    let mut rows = ArticleFile::open(&source.path, &source.terms)?;
    let mut read = 0;
    while *left > 0 {
        if read % STRIDE == 0 {
            let (done, total) = rows.progress();
            context.progress(done >> 10, total >> 10, "KiB", &format!("{read} articles of {}", source.name));
            if context.gate() == Gate::Stop {
                return Ok(End::Stopped);
            }
        }
        let Some(row) = rows.next() else { break };
        take(incoming, source, row?)?;
        read += 1;
        *left -= 1;
    }
    Ok(End::Read)
}

/// Collects one article, unless another one has its id.
fn take(incoming: &mut Incoming, source: &Source, mut row: ArticleRow) -> Result<(), WorkspaceError> {
    if !row.typed && row.article.source_type == SourceType::Unknown {
        row.article.source_type = incoming.stored_type(row.article.id.as_str())?.unwrap_or_default();
    }
    let id = row.article.id.as_str().to_owned();
    let place = format!("line {}\n{}", row.line, source.path.display());
    let Offered::Taken(first) = incoming.offer(&row.article, &place)? else { return Ok(()) };
    let (line, file) = first.split_once('\n').unwrap_or((&first, ""));
    let other = if source.path.as_os_str() == file { String::new() } else { format!(" of {file}") };
    Err(WorkspaceError::Record {
        file: source.path.clone(),
        line: row.line,
        why: format!("id '{}' was already used on {line}{other}, by another article", one_line(&id, 80)),
        remedy: "Give each article its own id and import again; nothing was stored",
    })
}

//! Feeds: RSS 2.0, RSS 1.0 (RDF) and Atom, read from their text.
//!
//! Owns what an entry's elements mean. Nothing that a document declares for itself is expanded: there are no bombs.

use jiff::civil::Date;
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use reqwest::Url;

use super::identity::{guid_id, made_id};
use super::plain::{plain, reference};
use crate::domain::{Article, SourceType, one_line};

/// Elements inside each other, at most.
const MAX_DEPTH: usize = 100;

/// Characters of an entry's texts that are kept.
const TITLE: usize = 500;
const SUMMARY: usize = 8_000;

/// Why a text is no feed, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedError {
    pub line: usize,
    pub why: String,
}

/// What is known of a feed beside its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedTerms {
    /// Where it was fetched; relative links are meant from there.
    pub address: String,
    /// What its articles' source is called, if not by the feed's own title.
    pub source: Option<String>,
    pub source_type: Option<SourceType>,
}

/// What is read of the feed itself.
#[derive(Debug, Default)]
struct Channel {
    title: String,
    link: String,
    base: String,
}

/// An entry as it is read; texts as they stand in the feed.
#[derive(Debug, Default)]
struct Entry {
    title: String,
    summary: String,
    content: String,
    link: String,
    guid: String,
    guid_is_link: bool,
    published: String,
    updated: String,
    source: String,
    subjects: Vec<String>,
}

/// The articles of a feed, in its order. Entries without any text are passed over.
pub fn articles(text: &str, terms: &FeedTerms) -> Result<Vec<Article>, FeedError> {
    let (channel, entries) = Parser::new(text).read()?;
    Ok(entries.into_iter().filter_map(|entry| article(entry, &channel, terms)).collect())
}

struct Parser<'t> {
    text: &'t str,
    reader: Reader<&'t [u8]>,
    /// Names of the open elements, outermost first.
    open: Vec<String>,
    channel: Channel,
    entries: Vec<Entry>,
    /// How deep the entry is that is being read.
    entry: Option<usize>,
    /// How deep the element is whose text is collected, and whether that is markup already resolved.
    field: Option<(usize, bool)>,
    collected: String,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            reader: Reader::from_str(text),
            open: Vec::new(),
            channel: Channel::default(),
            entries: Vec::new(),
            entry: None,
            field: None,
            collected: String::new(),
        }
    }

    fn error(&self, why: impl Into<String>) -> FeedError {
        let at = usize::try_from(self.reader.error_position().max(self.reader.buffer_position())).unwrap_or(usize::MAX);
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        FeedError { line: before.iter().filter(|b| **b == b'\n').count() + 1, why: why.into() }
    }

    fn read(mut self) -> Result<(Channel, Vec<Entry>), FeedError> {
        loop {
            let event = self
                .reader
                .read_event()
                .map_err(|e| self.error(format!("the XML is broken: {}", one_line(&e.to_string(), 200))))?;
            match event {
                Event::Start(tag) => self.start(&tag)?,
                Event::Empty(tag) => {
                    self.start(&tag)?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.collect(&text.xml10_content()),
                Event::CData(text) => self.collect(&text.xml10_content()),
                Event::GeneralRef(name) => {
                    let name = name.xml10_content();
                    let value = reference(&name).unwrap_or_else(|| format!("&{name};"));
                    self.collect(&value);
                }
                Event::Eof if self.open.is_empty() => break,
                Event::Eof => {
                    let last = self.open.last().map(|name| one_line(name, 40)).unwrap_or_default();
                    return Err(self.error(format!("the file ends within <{last}>")));
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        Ok((self.channel, self.entries))
    }

    fn collect(&mut self, text: &str) {
        if self.field.is_some() {
            self.collected.push_str(text);
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), FeedError> {
        let name = tag.name().0.to_ascii_lowercase();
        let local = local(&name).to_owned();
        if self.open.is_empty() && !["rss", "rdf", "feed"].contains(&local.as_str()) {
            let shown = one_line(&name, 40);
            let what = if shown == "html" { "a web page".into() } else { format!("XML of another kind (<{shown}>)") };
            return Err(self.error(format!("it is {what}, not RSS or Atom")));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error(format!("its elements are more than {MAX_DEPTH} deep")));
        }
        self.open.push(name);
        let depth = self.open.len();
        if self.field.is_some() {
            // Markup inside a text: it parts words.
            self.collected.push(' ');
            return Ok(());
        }
        if let Some(base) = attribute(tag, "xml:base").filter(|_| self.channel.base.is_empty()) {
            self.channel.base = base;
        }
        if self.entry.is_none() && (local == "item" || local == "entry") {
            self.entry = Some(depth);
            self.entries.push(Entry::default());
        } else if self.is_field() {
            let kind = attribute(tag, "type").unwrap_or_default();
            let atom = self.open.first().is_some_and(|root| self::local(root) == "feed");
            let escaped = if atom { kind.contains("html") && kind != "xhtml" } else { true };
            self.field = Some((depth, !escaped));
            self.collected.clear();
            self.attributes(tag, &local);
        }
        Ok(())
    }

    /// Whether the element just opened is one of the entry's own, or of the channel's.
    fn is_field(&self) -> bool {
        let depth = self.open.len();
        let parent = depth.checked_sub(2).map(|at| self.open[at].as_str()).unwrap_or_default();
        match self.entry {
            Some(at) => depth == at + 1 && self.open[depth - 1] != "media:group" || depth == at + 2 && parent == "media:group",
            None => matches!(local(parent), "channel" | "feed"),
        }
    }

    /// What stands in attributes instead of text.
    fn attributes(&mut self, tag: &BytesStart<'_>, local: &str) {
        let inside = self.entry.is_some();
        match local {
            "link" => {
                let relation = attribute(tag, "rel").unwrap_or_else(|| "alternate".into());
                let Some(href) = attribute(tag, "href").filter(|_| relation == "alternate") else { return };
                let link = if inside { self.entries.last_mut().map(|e| &mut e.link) } else { Some(&mut self.channel.link) };
                if let Some(link) = link.filter(|link| link.is_empty()) {
                    *link = href;
                }
            }
            "category" if inside => {
                if let (Some(term), Some(entry)) =
                    (attribute(tag, "label").or_else(|| attribute(tag, "term")), self.entries.last_mut())
                {
                    entry.subjects.push(term);
                }
            }
            "guid" => {
                if let Some(entry) = self.entries.last_mut() {
                    entry.guid_is_link = attribute(tag, "ispermalink").as_deref() != Some("false");
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        let depth = self.open.len();
        let Some(name) = self.open.pop() else { return };
        if let Some((at, resolved)) = self.field {
            if at == depth {
                self.field = None;
                let text = std::mem::take(&mut self.collected);
                let text = if resolved { text } else { plain(&text) };
                self.assign(&name, text.split_whitespace().collect::<Vec<_>>().join(" "));
            } else {
                self.collected.push(' ');
            }
        } else if self.entry == Some(depth) {
            self.entry = None;
        }
    }

    fn assign(&mut self, name: &str, text: String) {
        let first = |field: &mut String, text: String| {
            if field.is_empty() {
                *field = text;
            }
        };
        let Some(entry) = self.entries.last_mut().filter(|_| self.entry.is_some()) else {
            match name {
                "title" => first(&mut self.channel.title, text),
                "link" => first(&mut self.channel.link, text),
                _ => {}
            }
            return;
        };
        match name {
            "title" | "media:title" | "dc:title" => first(&mut entry.title, text),
            "description" | "summary" | "media:description" | "dc:description" | "itunes:summary" => {
                first(&mut entry.summary, text);
            }
            "content:encoded" | "content" => first(&mut entry.content, text),
            "link" => first(&mut entry.link, text),
            "guid" | "id" => first(&mut entry.guid, text),
            "pubdate" | "published" | "dc:date" | "issued" => first(&mut entry.published, text),
            "updated" | "modified" | "dcterms:modified" => first(&mut entry.updated, text),
            "dc:source" | "dc:publisher" => first(&mut entry.source, text),
            "category" | "dc:subject" if !text.is_empty() => entry.subjects.push(text),
            "media:keywords" => entry.subjects.extend(text.split(',').map(|word| word.trim().to_owned())),
            _ => {}
        }
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// An attribute by its name in small letters; a broken one is none.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = tag.attributes();
    attributes.with_checks(false);
    let found = attributes.flatten().find(|a| a.key.0.eq_ignore_ascii_case(name))?;
    Some(unescape(&found.value).map_or_else(|_| found.value.to_string(), std::borrow::Cow::into_owned))
}

/// An entry as an article; `None`: it has neither title nor text.
#[expect(clippy::needless_pass_by_value, reason = "an entry becomes an article once")]
fn article(entry: Entry, channel: &Channel, terms: &FeedTerms) -> Option<Article> {
    let text = if entry.summary.is_empty() { &entry.content } else { &entry.summary };
    let summary = one_line(text, SUMMARY);
    let title = if entry.title.is_empty() { one_line(&summary, 120) } else { one_line(&entry.title, TITLE) };
    let link = if entry.link.is_empty() && entry.guid_is_link { &entry.guid } else { &entry.link };
    let url = absolute(link, &[&channel.base, &terms.address, &channel.link]);
    let host = || Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let own = [&entry.source, &channel.title].into_iter().find(|name| !name.is_empty()).cloned();
    let source = one_line(&terms.source.clone().or(own).unwrap_or_else(host), 120);
    let feed = if channel.link.is_empty() { &terms.address } else { &channel.link };
    let id = if entry.guid.is_empty() { made_id(&url, &title, &source) } else { guid_id(&entry.guid, feed) };
    let mut subjects = entry.subjects.iter().map(|s| one_line(s, 80)).filter(|s| !s.is_empty());
    let category = subjects.next().unwrap_or_default();
    let date = if entry.published.is_empty() { &entry.updated } else { &entry.published };
    let row = serde_json::json!({
        "id": id, "title": title, "summary": summary, "source": source, "url": url, "published": iso_date(date),
        "source_type": terms.source_type.unwrap_or_default(), "category": category, "keywords": subjects.collect::<Vec<_>>(),
    });
    // An entry that has no title now has no text either.
    serde_json::from_value(row).ok()
}

/// A link as an address; what cannot be made one is left out.
fn absolute(link: &str, bases: &[&str]) -> String {
    let web = |url: Url| matches!(url.scheme(), "http" | "https").then(|| url.to_string());
    match Url::parse(link) {
        Ok(url) => web(url),
        Err(_) if link.is_empty() => None,
        Err(_) => bases.iter().find_map(|base| Url::parse(base).ok()?.join(link).ok().and_then(web)),
    }
    .unwrap_or_default()
}

/// The day of a date as feeds write it, in ISO form; `None`: it is no date.
fn iso_date(text: &str) -> Option<String> {
    let day = text.get(..10).and_then(|day| day.parse::<Date>().ok());
    day.or_else(|| jiff::fmt::rfc2822::parse(text).ok().map(|at| at.date())).map(|day| day.to_string())
}

#[cfg(test)]
mod tests;

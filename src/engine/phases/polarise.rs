//! Article generation: a teacher writes new polarising articles, under a plan and an approval like any other purchase.
//!
//! Owns which round of writing a call goes on with, and which of the drafts are new enough to be articles.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::super::event::{ApprovalRequest, Event, Level};
use super::super::job::{Failure, JobContext, PhaseEnd};
use super::super::wiring;
use super::distill::{spend_request, written};
use super::selection;
use crate::dataset;
use crate::distill::{ArticleSet, Kind, Plan, Step, titles_digest};
use crate::domain::{Article, Digest, Digester, Profile, ProfileId, one_line};
use crate::teacher::Teacher;
use crate::workspace::{Ledger, Origin, PlanRow, WorkspaceError, atomic_write};

/// Articles for one reader in one call; more in one go would only repeat each other.
const MOST_PER_READER: usize = 200;

/// Accepted articles, beside the ledger: one JSON object a line, as 'articles import' reads it.
const FILE: &str = "articles_generated.jsonl";

pub fn run(context: &mut JobContext, ids: &[ProfileId], count: usize, send: bool) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let rules = &workspace.recipe.teacher;
    if rules.writer.trim().is_empty() || rules.writer_request.trim().is_empty() {
        let reason = format!("the recipe {} has no teacher.writer or no teacher.writer_request prompt", workspace.recipe.name);
        return Err(Failure::new(reason, "Add one to the recipe; data/recipes/stratos-v19.toml has an example."));
    }
    if !(1..=MOST_PER_READER).contains(&count) {
        let reason = format!("{count} articles for each reader cannot be asked for");
        return Err(Failure::new(reason, format!("Give a count from 1 to {MOST_PER_READER}.")));
    }
    let readers = readers(&context.ledger, ids)?;
    let (others, _) = selection(context)?;
    let teacher = wiring::teacher(&workspace)?;
    let bound = bind(&workspace.recipe.teacher.writer, teacher.as_ref(), &readers, &others);
    let all: Vec<Article> = context.ledger.articles()?.into_iter().map(|(article, _)| article).collect();
    let round = Round::find(&context.ledger, &bound, all, count, send)?;
    let set =
        ArticleSet::new(&workspace.recipe, &workspace.renderer, teacher.as_ref(), &readers, &others, &round.existing, count);
    match written(context, &set, &round.input, send)? {
        Step::Stopped => Ok(PhaseEnd::Stopped),
        Step::NeedsApproval(plan) => {
            if send {
                // What an earlier plan of this round brought home is used, whatever becomes of the rest.
                take_in(context, &round)?;
            }
            Ok(PhaseEnd::NeedsApproval(request(&context.ledger, &plan)?))
        }
        Step::Done if send => Ok(PhaseEnd::Aside { headline: take_in(context, &round)? }),
        Step::Done => Ok(PhaseEnd::Aside {
            headline: "nothing to ask: this was asked and answered; the same command with --send takes the articles in".into(),
        }),
    }
}

fn readers(ledger: &Ledger, ids: &[ProfileId]) -> Result<Vec<Profile>, Failure> {
    let stored: Vec<Profile> = ledger.profiles()?.into_iter().map(|(profile, _)| profile).collect();
    let mut chosen: Vec<Profile> = Vec::new();
    for id in ids {
        let found = stored.iter().find(|p| p.id == *id).ok_or_else(|| {
            Failure::new(
                format!("there is no profile '{id}'"),
                "See 'stratos profiles list'; 'stratos run --to profiles' reads the recipe's.",
            )
        })?;
        if !chosen.contains(found) {
            chosen.push(found.clone());
        }
    }
    if chosen.is_empty() {
        return Err(Failure::new("no reader is named", "Name some: --profiles ID,ID."));
    }
    Ok(chosen)
}

/// Digest of what a round depends on besides the titles there are.
fn bind(writer: &str, teacher: &dyn Teacher, readers: &[Profile], others: &[Profile]) -> Digest {
    let head = Digester::new().field("polarise").field(writer).field(teacher.provider()).field(teacher.model());
    readers.iter().chain(others).fold(head, |d, p| d.field(p.digest().as_str())).finish()
}

/// What the request for approval says, with the way to go on from here.
fn request(ledger: &Ledger, plan: &Plan) -> Result<ApprovalRequest, Failure> {
    let mut request = spend_request(ledger, plan)?;
    if let ApprovalRequest::Spend { how, ceiling, .. } = &mut request {
        *how = format!(
            "stratos distill approve {} --ceiling {}, then the same 'stratos articles polarise' with --send",
            plan.digest.short(),
            ceiling.amount()
        );
    }
    Ok(request)
}

/// One round of writing: the articles that there were when it was planned, and the input its plans are recorded under.
struct Round {
    existing: Vec<Article>,
    input: Digest,
}

impl Round {
    /// The round that is meant. A plan is always for the articles there are now. What is sent, and taken in again after it
    /// was, is the newest round planned with the same readers and count: its own articles do not make it another one.
    fn find(ledger: &Ledger, bound: &Digest, all: Vec<Article>, count: usize, send: bool) -> Result<Self, WorkspaceError> {
        let input_of =
            |existing: &[Article]| Digester::new().field(bound.as_str()).field(titles_digest(existing, count).as_str()).finish();
        let now = Self { input: input_of(&all), existing: all };
        let plans = article_plans(ledger)?;
        if !send || plans.iter().any(|p| p.input == now.input) {
            return Ok(now);
        }
        let mut existing = now.existing.clone();
        for plan in plans.iter().rev() {
            let drafts: HashSet<_> = ledger.drafts(&plan.digest)?.into_iter().map(|a| a.id).collect();
            existing.retain(|a| !drafts.contains(&a.id));
            if input_of(&existing) == plan.input {
                return Ok(Self { existing, input: plan.input.clone() });
            }
        }
        Ok(now)
    }
}

/// Plans that bought articles, oldest first.
fn article_plans(ledger: &Ledger) -> Result<Vec<PlanRow>, WorkspaceError> {
    Ok(ledger.plans()?.into_iter().filter(|p| p.kind == Kind::Articles.id()).collect())
}

/// Stores what the round's plans brought and is new; the same drafts again change nothing. Says what became of them.
fn take_in(context: &mut JobContext, round: &Round) -> Result<String, Failure> {
    let mut drafts: Vec<Article> = Vec::new();
    for plan in article_plans(&context.ledger)?.iter().filter(|p| p.input == round.input) {
        drafts.extend(context.ledger.drafts(&plan.digest)?);
    }
    let written = drafts.len();
    let (accepted, refused) = sift(&round.existing, drafts);
    append(&context.workspace.root().join("data"), &accepted)?;
    let stored = context.ledger.put_articles(&accepted, Origin::Imported)?;
    for (title, why) in &refused {
        context.log(Level::Warn, format!("refused '{}': {why}", one_line(title, 120)));
    }
    let (added, updated, unchanged) = (stored.added, stored.updated, stored.unchanged);
    context.event(Event::Imported { what: "generated articles".into(), added, updated, unchanged });
    let here = if unchanged > 0 { format!(" ({unchanged} of them here already)") } else { String::new() };
    Ok(format!("{written} articles written, {} accepted{here}, {} refused as repetitions", accepted.len(), refused.len()))
}

/// From this similarity of their shingles on, two texts are one.
const NEAR: f64 = 0.6;

/// Splits drafts into those that are new and those that repeat something, with what they repeat.
fn sift(existing: &[Article], drafts: Vec<Article>) -> (Vec<Article>, Vec<(String, String)>) {
    let mut known = Known::default();
    for article in existing {
        known.add(article);
    }
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for draft in drafts {
        if let Some(why) = known.repeated_by(&draft) {
            refused.push((draft.title, why));
        } else {
            known.add(&draft);
            accepted.push(draft);
        }
    }
    (accepted, refused)
}

/// Articles to compare with: by normalised title, and by the shingles of title and summary.
#[derive(Default)]
struct Known {
    titles: HashMap<Vec<String>, String>,
    texts: Vec<(String, Vec<u64>)>,
}

impl Known {
    fn add(&mut self, article: &Article) {
        self.titles.entry(dataset::words(&article.title)).or_insert_with(|| article.title.clone());
        self.texts.push((article.title.clone(), text_of(article)));
    }

    /// What a draft repeats, in words; `None`: it is new.
    fn repeated_by(&self, draft: &Article) -> Option<String> {
        if let Some(title) = self.titles.get(&dataset::words(&draft.title)) {
            return Some(format!("the title of '{}' again", one_line(title, 120)));
        }
        let text = text_of(draft);
        let near = self.texts.iter().map(|(title, other)| (title, jaccard(&text, other))).find(|(_, s)| *s >= NEAR)?;
        Some(format!("its text repeats '{}' ({:.0} % alike)", one_line(near.0, 120), near.1 * 100.0))
    }
}

fn text_of(article: &Article) -> Vec<u64> {
    dataset::shingles(&dataset::words(&format!("{} {}", article.title, article.summary)))
}

/// Similarity of two sorted sets: shared over all.
fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let shared = a.iter().filter(|s| b.binary_search(s).is_ok()).count();
    let all = a.len() + b.len() - shared;
    if all == 0 { 0.0 } else { shared as f64 / all as f64 }
}

/// Adds the accepted articles that the file does not have yet.
fn append(dir: &Path, accepted: &[Article]) -> Result<(), WorkspaceError> {
    let path = dir.join(FILE);
    let mut text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(WorkspaceError::io("read", &path, e)),
    };
    let id_of =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok().and_then(|v| v["id"].as_str().map(str::to_owned));
    let known: HashSet<String> = text.lines().filter_map(id_of).collect();
    let missing: Vec<&Article> = accepted.iter().filter(|a| !known.contains(a.id.as_str())).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for article in missing {
        let line = serde_json::to_string(article).map_err(|e| WorkspaceError::File { file: path.clone(), why: e.to_string() })?;
        text += &line;
        text.push('\n');
    }
    std::fs::create_dir_all(dir).map_err(|e| WorkspaceError::io("create", dir, e))?;
    atomic_write(&path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SourceType;

    fn article(title: &str, summary: &str) -> Article {
        let reader = ProfileId::new("texas_nurse").expect("an id");
        Article::written(title, summary, "The Paper", SourceType::News, &reader).expect("whole")
    }

    const SUMMARY: &str =
        "The hospital has opened twelve posts for nurses in its emergency rooms and takes applications until spring.";

    #[test]
    fn a_title_that_exists_is_refused_however_it_is_spelt() {
        let existing = [article("Hospital opens twelve posts", SUMMARY)];
        let draft = article(
            "HOSPITAL opens: twelve posts!",
            "Something else entirely stands in this text, about a garden and its paths.",
        );
        let (accepted, refused) = sift(&existing, vec![draft]);
        assert!(accepted.is_empty());
        assert!(refused[0].1.contains("Hospital opens twelve posts"), "{refused:?}");
    }

    #[test]
    fn a_text_that_repeats_another_draft_is_refused_and_a_new_one_is_not() {
        let near = format!("{SUMMARY} Thanks.");
        let drafts = vec![
            article("Hospital opens twelve posts", SUMMARY),
            article("Hospital opens twelve posts now", &near),
            article(
                "A clinic trains its staff",
                "A clinic in the north trains its staff in the care of burns, over six evenings.",
            ),
        ];
        let (accepted, refused) = sift(&[], drafts);
        assert_eq!((accepted.len(), refused.len()), (2, 1), "{refused:?}");
        assert!(refused[0].1.contains("% alike"), "{refused:?}");
    }

    #[test]
    fn the_file_gets_each_article_once_and_keeps_what_stands_in_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let data = dir.path().join("data");
        let one = article("Hospital opens twelve posts", SUMMARY);
        append(&data, std::slice::from_ref(&one)).expect("writes");
        append(&data, &[one, article("Another title here", SUMMARY)]).expect("writes");
        let text = std::fs::read_to_string(data.join(FILE)).expect("reads");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| serde_json::from_str::<Article>(line).is_ok()));
    }
}

//! The audit without a screen: list what is to be read, read it, judge it, take it back, see what it adds up to.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use color_eyre::eyre::{Result, bail};

use super::PhaseArgs;
use super::phases::single;
use crate::domain::{ArticleId, Author, MarkedSpan, PairKey, Phase, ProfileId, Remedy, Round, Verdict, one_line};
use crate::engine::{
    AuditBlock, AuditDesk, AuditIndex, AuditQueue, AuditReading, AuditResults, AuditRow, AuthorResults, Command, FEW_READ,
    Judgement, QueueOrder, ResultRow, Share, audit_desk,
};
use crate::headless::{self, clean, say};
use crate::workspace::{Ledger, Workspace};

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// The queue: what is to be read, most telling first, bands in turns
    List {
        #[command(flatten)]
        queue: QueueArgs,
        /// At most so many rows
        #[arg(long)]
        limit: Option<usize>,
        #[arg(long)]
        json: bool,
    },
    /// The next unread block, whole; a blind repeat where one is due
    Next {
        #[command(flatten)]
        queue: QueueArgs,
        #[arg(long)]
        json: bool,
    },
    /// One pair: article, reader, both think blocks, the verdicts on them
    Show {
        article: ArticleId,
        profile: ProfileId,
        #[arg(long)]
        json: bool,
    },
    /// Say what is right or wrong with a think block: faithful, `wrong_profile`, `wrong_article`, `wrong_overlap`,
    /// `wrong_calibration`, unfaithful
    Judge {
        article: ArticleId,
        profile: ProfileId,
        verdict: Verdict,
        #[command(flatten)]
        how: JudgeArgs,
    },
    /// Judge a trace faithful: `judge … faithful`
    Keep { article: ArticleId, profile: ProfileId },
    /// Judge a trace unfaithful: `judge … unfaithful`; it leaves the dataset at its next build
    Reject {
        article: ArticleId,
        profile: ProfileId,
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Choose what becomes of a rejected trace
    #[command(subcommand)]
    Remedy(RemedyAct),
    /// Take the newest verdict or remedy back, of one pair or of all; it stays in the history
    Undo {
        #[arg(requires = "profile")]
        article: Option<ArticleId>,
        profile: Option<ProfileId>,
        /// Only what was said of this author's block
        #[arg(long)]
        of: Option<Author>,
    },
    /// What the verdicts add up to: kinds by band and by reader, and the reviewer's agreement with herself
    Results {
        #[arg(long)]
        json: bool,
    },
    /// Write every reading to a file, CSV or JSON lines by its ending
    Export { file: PathBuf },
    /// Build the queue
    Run(PhaseArgs),
}

#[derive(Debug, Args)]
pub struct QueueArgs {
    /// Whose blocks are read
    #[arg(long, default_value = "teacher")]
    of: Author,
    #[arg(long, default_value = "disagreement")]
    order: QueueOrder,
    /// `band:critical profile:nurse verdict:none teacher:>7 gap:2.. words`
    #[arg(long, default_value = "")]
    filter: String,
}

impl QueueArgs {
    fn ask(&self) -> AuditQueue {
        AuditQueue { author: self.of, order: self.order, filter: self.filter.clone() }
    }
}

#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// Whose block it is about
    #[arg(long, default_value = "teacher")]
    of: Author,
    #[arg(long, default_value = "")]
    note: String,
    /// A marked part of the block, `START..END=VERDICT` in bytes; as often as there are parts
    #[arg(long = "mark", value_parser = read_mark)]
    marks: Vec<MarkedSpan>,
    /// A second reading, given without a look at the first: it measures the reviewer and changes nothing
    #[arg(long)]
    blind: bool,
    /// Seconds that reading took, if they were measured
    #[arg(long)]
    seconds: Option<f64>,
    /// The order it was drawn by, if it was
    #[arg(long)]
    drawn: Option<QueueOrder>,
}

#[derive(Debug, Subcommand)]
pub enum RemedyAct {
    /// It leaves the dataset at its next build
    Drop { article: ArticleId, profile: ProfileId },
    /// Your own score takes its place, as a label of annotator "operator"
    Fix {
        article: ArticleId,
        profile: ProfileId,
        score: f64,
        /// One sentence that the student can be taught
        #[arg(long)]
        reason: String,
    },
    /// The teacher is asked again, under a plan that wants its own approval
    Retry { article: ArticleId, profile: ProfileId },
}

fn read_mark(text: &str) -> Result<MarkedSpan, String> {
    let wrong = || format!("'{}' is no mark; write START..END=VERDICT, such as 0..24=wrong_article", one_line(text, 60));
    let (range, kind) = text.split_once('=').ok_or_else(wrong)?;
    let (start, end) = range.split_once("..").ok_or_else(wrong)?;
    let place = |t: &str| t.trim().parse().map_err(|_| wrong());
    Ok(MarkedSpan { start: place(start)?, end: place(end)?, kind: kind.parse()? })
}

pub fn audit(workspace: &Arc<Workspace>, act: Audit) -> Result<ExitCode> {
    match act {
        Audit::Run(args) => single(workspace, Phase::Audit, &args),
        Audit::List { queue, limit, json } => list(workspace, &queue.ask(), limit, json),
        Audit::Next { queue, json } => next(workspace, &queue.ask(), json),
        Audit::Show { article, profile, json } => {
            let (desk, ledger) = open(workspace)?;
            show(workspace, &desk, &ledger, &PairKey { article, profile }, json)
        }
        Audit::Judge { article, profile, verdict, how } => {
            let judgement = Judgement {
                round: if how.blind { Round::Blind } else { Round::First },
                note: how.note,
                spans: how.marks,
                seconds: how.seconds,
                drawn: how.drawn.map(|order| order.id().to_owned()).unwrap_or_default(),
                ..Judgement::new(PairKey { article, profile }, how.of, verdict)
            };
            headless::tell(workspace, Command::Judge { judgement })
        }
        Audit::Keep { article, profile } => {
            let judgement = Judgement::new(PairKey { article, profile }, Author::Teacher, Verdict::Faithful);
            headless::tell(workspace, Command::Judge { judgement })
        }
        Audit::Reject { article, profile, note } => {
            let judgement =
                Judgement { note, ..Judgement::new(PairKey { article, profile }, Author::Teacher, Verdict::Unfaithful) };
            headless::tell(workspace, Command::Judge { judgement })
        }
        Audit::Remedy(act) => {
            let (article, profile, choice) = match act {
                RemedyAct::Drop { article, profile } => (article, profile, Remedy::Drop),
                RemedyAct::Fix { article, profile, score, reason } => {
                    (article, profile, Remedy::Fix { score, reason, keeps_think: false })
                }
                RemedyAct::Retry { article, profile } => (article, profile, Remedy::Retry { why: String::new() }),
            };
            headless::tell(workspace, Command::Remedy { pair: PairKey { article, profile }, choice })
        }
        Audit::Undo { article, profile, of } => {
            let pair = article.zip(profile).map(|(article, profile)| PairKey { article, profile });
            headless::tell(workspace, Command::UndoVerdict { pair, author: of })
        }
        Audit::Results { json } => results(workspace, json),
        Audit::Export { file } => {
            // Where the operator stands, not where the workspace is.
            let path = std::path::absolute(&file)?;
            headless::tell(workspace, Command::ExportVerdicts { path })
        }
    }
}

fn open(workspace: &Workspace) -> Result<(AuditDesk, Ledger)> {
    let ledger = workspace.ledger()?;
    Ok((audit_desk(workspace, &ledger)?, ledger))
}

/// The queue, or why its filter cannot be read: a script must not take all for some.
fn queued(workspace: &Workspace, desk: &AuditDesk, ask: &AuditQueue) -> Result<AuditIndex> {
    let index = desk.queue(workspace, ask);
    match index.filter_error {
        Some(error) => bail!("{error}"),
        None => Ok(index),
    }
}

fn list(workspace: &Workspace, ask: &AuditQueue, limit: Option<usize>, json: bool) -> Result<ExitCode> {
    let (desk, _) = open(workspace)?;
    let mut index = queued(workspace, &desk, ask)?;
    let found = index.rows.len();
    index.rows.truncate(limit.unwrap_or(found));
    if json {
        say(&serde_json::to_string(&index)?);
        return Ok(ExitCode::SUCCESS);
    }
    for row in &index.rows {
        say(&clean(&row_line(row, ask.author)));
    }
    let left = found - index.rows.len();
    let more = if left > 0 { format!(" ({left} more)") } else { String::new() };
    say(&format!("{} of {} blocks read · {}{more}", index.read, index.total, index.basis));
    Ok(ExitCode::SUCCESS)
}

fn row_line(row: &AuditRow, author: Author) -> String {
    let head = &row.head;
    let student = match head.student {
        Some(score) => format!("{score:.1}"),
        None if head.student_failed => "unreadable".into(),
        None => "—".into(),
    };
    let verdict = match row.verdict(author) {
        _ if row.repeat => "comes back blind",
        Some(verdict) => verdict.label(),
        None => "unread",
    };
    let remedy = row.remedy.map(|r| format!(" ({r})")).unwrap_or_default();
    format!("{:<40} {:<10} teacher {:.1} student {student} {verdict}{remedy}", head.pair.to_string(), head.band, head.teacher)
}

fn next(workspace: &Workspace, ask: &AuditQueue, json: bool) -> Result<ExitCode> {
    let (desk, ledger) = open(workspace)?;
    let index = queued(workspace, &desk, ask)?;
    let unread = || index.rows.iter().find(|row| row.verdict(ask.author).is_none()).map(|row| row.head.pair.clone());
    let Some(pair) = index.repeat.clone().or_else(unread) else {
        bail!("nothing is left to read in this queue; choose another filter, or --of student")
    };
    show(workspace, &desk, &ledger, &pair, json)
}

fn show(workspace: &Workspace, desk: &AuditDesk, ledger: &Ledger, pair: &PairKey, json: bool) -> Result<ExitCode> {
    let Some(reading) = desk.reading(workspace, ledger, pair)? else {
        bail!("there is no trace of {pair}; see 'stratos audit list'")
    };
    if json {
        say(&serde_json::to_string(&reading)?);
        return Ok(ExitCode::SUCCESS);
    }
    for line in reading_lines(&reading) {
        say(&clean(&line));
    }
    Ok(ExitCode::SUCCESS)
}

fn reading_lines(reading: &AuditReading) -> Vec<String> {
    let profile = &reading.profile;
    let mut lines = vec![
        reading.pair.to_string(),
        format!("{} ({}, {})", reading.title.text, reading.source, reading.source_type),
        reading.summary.text.clone(),
        String::new(),
        format!("for: {} in {}, {}, {}", profile.role, profile.location, profile.seniority, profile.motivation),
        format!("follows: {}", profile.tracked.join(", ")),
        format!("interests: {}", profile.interests.join(", ")),
    ];
    for author in Author::ALL {
        lines.push(String::new());
        match reading.block(author) {
            Some(block) => lines.extend(block_lines(block)),
            None => lines.push(format!("── the {author} was not asked about this pair")),
        }
    }
    lines
}

fn block_lines(block: &AuditBlock) -> Vec<String> {
    let score = block.score.map_or_else(|| "no score".to_owned(), |s| format!("{s:.1} {}", block.band));
    let mut lines = vec![format!("── {} · {} · {score}", block.author, block.source), block.think.clone()];
    lines.push(format!("REASON: {}", block.reason));
    lines.extend(block.defect.iter().map(|why| format!("unreadable: {why}")));
    lines.extend(block.anatomy.breach.iter().map(|why| format!("check: {why}")));
    match &block.standing {
        _ if block.repeat => lines.push("comes back blind: judge it with --blind".into()),
        None => lines.push("unread".into()),
        Some(standing) => {
            let note = if standing.note.is_empty() { String::new() } else { format!(": {}", standing.note) };
            lines.push(format!("judged {}{note}", standing.verdict));
            let mark = |s: &MarkedSpan| {
                let text = block.think.get(s.range()).unwrap_or_default();
                format!("  {}..{} {}: {}", s.start, s.end, s.kind, one_line(text, 100))
            };
            lines.extend(standing.spans.iter().map(mark));
            lines.extend(standing.remedy.iter().map(|r| format!("the trace {}", r.words())));
        }
    }
    lines
}

fn results(workspace: &Workspace, json: bool) -> Result<ExitCode> {
    let (desk, _) = open(workspace)?;
    let found = desk.results(workspace);
    if json {
        say(&serde_json::to_string(&found)?);
    } else {
        for line in result_lines(&found) {
            say(&clean(&line));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn result_lines(found: &AuditResults) -> Vec<String> {
    let mut lines = Vec::new();
    for author in &found.results.authors {
        lines.extend(author_lines(author));
        lines.push(String::new());
    }
    let own = &found.reviewer;
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    lines.push(match own.kappa {
        _ if own.repeats == 0 => "no blind repeats yet: one of ten read blocks comes back".to_owned(),
        Some(kappa) => {
            let interval = own.kappa_interval.map_or_else(|| "—".to_owned(), |(low, high)| format!("{low:.2} to {high:.2}"));
            let few = if own.repeats < FEW_READ { ", few" } else { "" };
            format!("the reviewer's own agreement: κ {kappa:.2} ({interval}), n = {}{few}", own.repeats)
        }
        None => {
            let (low, high) = own.equal_interval;
            format!(
                "{} of {} blind repeats equal ({} to {}); κ is not defined yet",
                own.equal,
                own.repeats,
                percent(low),
                percent(high)
            )
        }
    });
    lines
}

fn author_lines(author: &AuthorResults) -> Vec<String> {
    let mut lines = vec![format!("{}: {} read", author.author, author.all.n())];
    if author.all.n() == 0 {
        return lines;
    }
    let heads: Vec<String> = Verdict::ALL.iter().map(|v| format!("{:>11}", v.id().trim_start_matches("wrong_"))).collect();
    lines.push(format!("{:<16}{:>5}{}  faithful", "", "n", heads.concat()));
    let row = |row: &ResultRow| {
        let counts: Vec<String> = row.kinds.iter().map(|share| format!("{:>11}", share.hits)).collect();
        format!("{:<16}{:>5}{}  {}", one_line(&row.name, 16), row.n(), counts.concat(), share_words(row.faithful()))
    };
    lines.extend(author.bands.iter().chain([&author.all]).map(row));
    lines.extend(author.readers.iter().map(row));
    lines.extend(author.seconds.map(|(median, n)| format!("median reading {median:.0} s (n = {n})")));
    lines.extend(author.remarks.iter().cloned());
    lines
}

/// "83 % (61 to 94)", a dash of nothing; few are marked as few.
fn share_words(share: Option<Share>) -> String {
    let Some((share, value)) = share.and_then(|s| s.value().map(|v| (s, v))) else { return "—".into() };
    let few = if share.weak() { " few" } else { "" };
    format!("{:.0} % ({:.0} to {:.0}){few}", value * 100.0, share.low * 100.0, share.high * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        assert_eq!(read_mark("3..9=wrong_article"), Ok(MarkedSpan { start: 3, end: 9, kind: Verdict::WrongArticle }));
        for wrong in ["3-9=faithful", "3..9", "a..9=faithful", "3..9=good"] {
            assert!(read_mark(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_of_few_says_so_and_one_of_none_is_a_dash() {
        assert_eq!(share_words(Some(Share::of(0, 0))), "—");
        assert_eq!(share_words(Some(Share::of(5, 6))), "83 % (44 to 97) few");
        assert!(!share_words(Some(Share::of(30, 60))).contains("few"));
    }
}

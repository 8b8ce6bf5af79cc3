//! The desk with scorers that a test speaks for.

use std::sync::Mutex;

use super::*;
use crate::domain::recipe::Sampling;
use crate::domain::{SourceType, UnixMillis};
use crate::engine::scoring::questions::adhoc_article;
use crate::evaluate::Runtime;
use crate::scorer::{OnRow, Scorer, ScorerError};
use crate::student::{Generated, Prompt, StudentError};
use crate::workspace::{Config, Origin, ReleaseRow};

type Asked = Arc<Mutex<Vec<String>>>;

/// Writes what a test says for the user's message.
struct Told {
    name: &'static str,
    writes: fn(&str) -> (String, Option<f64>),
    asked: Asked,
    fault: Option<fn() -> ScorerError>,
    /// Messages with this in them are too long to be read.
    long: &'static str,
}

impl Scorer for Told {
    fn runtime(&self) -> Runtime {
        Runtime { engine: self.name.into(), precision: "f32".into(), device: "test".into() }
    }

    fn digest(&self) -> Digest {
        Digest::of(self.name)
    }

    fn check(&self) -> Result<(), ScorerError> {
        self.fault.map_or(Ok(()), |fault| Err(fault()))
    }

    fn answer(&self, prompts: &[Prompt], _: &Sampling, _: u64, on_row: OnRow<'_>) -> Result<Vec<Generated>, ScorerError> {
        let user = |prompt: &Prompt| prompt.messages[1].content.clone();
        let long: Vec<String> = prompts.iter().filter(|p| user(p).contains(self.long)).map(|p| p.id.clone()).collect();
        if !long.is_empty() {
            return Err(StudentError::too_long(9, &long).into());
        }
        let mut rows = Vec::new();
        // Backwards: nobody promises an order.
        for prompt in prompts.iter().rev() {
            if (70.0..80.0).contains(&number(&user(prompt))) {
                return Err(ScorerError::Tokens { server: "s".into(), row: prompt.id.clone(), why: "9 tokens, not 7".into() });
            }
            self.asked.lock().expect("no panic").push(user(prompt));
            let (text, expected_score) = (self.writes)(&user(prompt));
            let row = Generated { id: prompt.id.clone(), text, tokens: 3, prompt_tokens: 7, stop: Stop::End, expected_score };
            let ended = on_row(&row).is_break();
            rows.push(row);
            if ended {
                break;
            }
        }
        Ok(rows)
    }
}

struct World {
    _folder: tempfile::TempDir,
    desk: Desk,
    fast: Asked,
    think: Asked,
}

/// The number at the end of a message.
fn number(user: &str) -> f64 {
    user.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

fn fast_writes(user: &str) -> (String, Option<f64>) {
    match number(user) {
        n if n > 90.0 => ("nothing to read".into(), Some(1.0)),
        n => (format!("SCORE: {n:.1} | REASON: fast"), None),
    }
}

fn think_writes(user: &str) -> (String, Option<f64>) {
    (format!("<think>\nSCORE: 0.0\n</think>\nSCORE: {:.1} | REASON: thought", (number(user) + 0.5).min(10.0)), None)
}

const READER: &str = "kuwait_cpeg";

fn world(cascade: bool, long: &'static str, fault: Option<fn() -> ScorerError>) -> World {
    let folder = tempfile::tempdir().expect("folder");
    Workspace::init(folder.path(), &Config::default()).expect("inits");
    let workspace = Workspace::open(folder.path()).expect("opens");
    let mut ledger = workspace.ledger().expect("opens");
    let profiles = crate::engine::phases::shipped_profiles(&workspace).expect("shipped");
    ledger.put_profiles(&profiles, Origin::Shipped).expect("stores");
    let release = ReleaseRow {
        name: "r1".into(),
        path: ".stratos/releases/r1".into(),
        model: Digest::of("student"),
        evaluation: Digest::of("none"),
        runtime: String::new(),
        verdict: String::new(),
        live: true,
        at: UnixMillis(1),
    };
    ledger.put_release(&release).expect("stores");
    assert!(ledger.go_live("r1", UnixMillis(1)).expect("serves"));
    let (fast, think) = (Asked::default(), Asked::default());
    let voice = |name, writes, asked: &Asked, pass| {
        let told = Told { name, writes, asked: Arc::clone(asked), fault, long };
        Voice::of(Box::new(told), pass, workspace.recipe.served_sampling())
    };
    let doubt = Doubt { low: 4.0, high: 8.0 };
    let voices = Voices {
        fast: cascade.then(|| (voice("quick", fast_writes, &fast, Pass::Fast), doubt)),
        think: voice("slow", think_writes, &think, if cascade { Pass::Think } else { Pass::Only }),
    };
    let meant = Meant::find(&workspace, &ledger, false).expect("the release");
    let desk = Desk { workspace, ledger, options: DeskOptions::default(), meant, voices, stale: false };
    World { _folder: folder, desk, fast, think }
}

fn article(n: u32) -> Article {
    adhoc_article(&format!("Title {n}"), &format!("Summary {n}"), "Reuters", SourceType::News).expect("an article")
}

fn pairs(numbers: &[u32]) -> Vec<(ProfileId, Article)> {
    numbers.iter().map(|n| (READER.parse().expect("an id"), article(*n))).collect()
}

/// The answers in the order in which they were asked for.
fn score(desk: &mut Desk, numbers: &[u32]) -> (Vec<Scored>, Summary) {
    let mut all = Vec::new();
    let summary = desk.score(&pairs(numbers), &mut |scored| {
        all.push(scored);
        ControlFlow::Continue(())
    });
    let summary = summary.unwrap_or_else(|f| panic!("{}", f.reason));
    all.sort_by_key(|s| s.at);
    (all, summary)
}

fn count(asked: &Asked) -> usize {
    asked.lock().expect("no panic").len()
}

#[test]
fn the_think_pass_answers_only_where_the_fast_score_does_not_decide() {
    let mut w = world(true, "\0", None);
    let (all, summary) = score(&mut w.desk, &[2, 5, 9, 99]);
    let told: Vec<(Option<f64>, Pass, Option<f64>)> = all.iter().map(|s| (s.score, s.pass, s.fast)).collect();
    let wanted = [
        (Some(2.0), Pass::Fast, None),
        (Some(5.5), Pass::Think, Some(5.0)),
        (Some(9.0), Pass::Fast, None),
        // What cannot be read decides nothing, whatever its digits' chances say.
        (Some(10.0), Pass::Think, None),
    ];
    assert_eq!(told, wanted);
    assert_eq!((count(&w.fast), count(&w.think)), (4, 2));
    assert_eq!((summary.answers, summary.fast, summary.unread, summary.cached), (4, 2, 0, 0));
    assert_eq!((all[1].reason.as_deref(), all[1].think.as_str()), (Some("thought"), "SCORE: 0.0"));
}

#[test]
fn what_was_answered_is_not_asked_again_unless_it_is_to_be_fresh() {
    let mut w = world(true, "\0", None);
    let (first, _) = score(&mut w.desk, &[2, 5]);
    let (again, summary) = score(&mut w.desk, &[5, 2, 6]);
    assert_eq!((summary.cached, count(&w.fast), count(&w.think)), (2, 3, 2));
    assert_eq!((again[0].score, again[0].cached, again[0].seconds), (first[1].score, true, 0.0));
    assert!(!again[2].cached && again[2].pass == Pass::Think);
    w.desk.options.fresh = true;
    assert_eq!(score(&mut w.desk, &[2, 5]).1.cached, 0);
    assert_eq!((count(&w.fast), count(&w.think)), (5, 3));
}

#[test]
fn pairs_that_ask_the_same_are_asked_once_and_all_are_answered() {
    let mut w = world(false, "\0", None);
    let (all, summary) = score(&mut w.desk, &[3, 4, 3, 3]);
    assert_eq!((count(&w.think), summary.answers, summary.cached), (2, 4, 2));
    assert_eq!(all.iter().map(|s| s.score).collect::<Vec<_>>(), [Some(3.5), Some(4.5), Some(3.5), Some(3.5)]);
}

#[test]
fn two_texts_of_one_name_are_both_answered() {
    let mut w = world(false, "\0", None);
    let mut asked = pairs(&[3, 4]);
    asked[1].1.id = asked[0].1.id.clone();
    let mut scores = vec![None; 2];
    let told = w.desk.score(&asked, &mut |scored| {
        scores[scored.at] = scored.score;
        ControlFlow::Continue(())
    });
    assert!(told.is_ok_and(|summary| summary.answers == 2));
    assert_eq!(scores, [Some(3.5), Some(4.5)]);
}

#[test]
fn a_prompt_that_is_too_long_is_told_and_the_others_are_answered() {
    let mut w = world(false, "Summary 4", None);
    let (all, summary) = score(&mut w.desk, &[3, 4, 6]);
    assert_eq!(all.iter().map(|s| s.score).collect::<Vec<_>>(), [Some(3.5), None, Some(6.5)]);
    assert!(all[1].defect.as_ref().is_some_and(|why| why.contains("longer than the 9 tokens")), "{all:?}");
    assert_eq!((summary.answers, summary.unread), (3, 1));
    let noted = w.desk.ledger.live_scores(&Digest::of("student"), 9).expect("reads");
    assert_eq!(noted.iter().filter(|row| row.truncated).count(), 1);
}

#[test]
fn live_answers_are_noted_once_each_and_those_of_the_cache_are_not() {
    let mut w = world(true, "\0", None);
    score(&mut w.desk, &[2, 5, 99]);
    score(&mut w.desk, &[2, 5, 99]);
    let noted = w.desk.ledger.live_scores(&Digest::of("student"), 9).expect("reads");
    let passes: Vec<(&str, Option<f64>)> = noted.iter().map(|row| (row.pass.as_str(), row.score)).collect();
    assert_eq!(passes.len(), 3, "{passes:?}");
    assert!(passes.contains(&("fast", Some(2.0))) && passes.contains(&("think", Some(5.5))));
    assert!(noted.iter().all(|row| row.output.is_some() && row.cause.is_empty()));
}

#[test]
fn a_listener_that_has_heard_enough_ends_it_and_what_was_answered_is_kept() {
    let mut w = world(false, "\0", None);
    let mut heard = 0;
    let ended = w.desk.score(&pairs(&[1, 2, 3]), &mut |_| {
        heard += 1;
        ControlFlow::Break(())
    });
    assert!(ended.is_ok() && heard == 1 && count(&w.think) == 1);
    assert_eq!(score(&mut w.desk, &[1, 2, 3]).1.cached, 1);
}

#[test]
fn a_server_that_serves_another_model_since_is_not_asked() {
    let swapped = || ScorerError::Swapped { server: "s".into(), was: "aaaa".into(), is: "bbbb".into() };
    let mut w = world(false, "\0", Some(swapped));
    let told = w.desk.score(&pairs(&[1]), &mut |_| ControlFlow::Continue(()));
    let reason = told.expect_err("swapped").reason;
    assert!(["S6", "aaaa", "bbbb"].iter().all(|word| reason.contains(word)), "{reason}");
    assert_eq!(count(&w.think), 0);
    assert!(w.desk.stale, "who answers is looked for anew");
}

#[test]
fn a_text_that_the_server_reads_otherwise_is_named_and_the_rest_is_scored_unless_they_are_many() {
    let mut w = world(false, "\0", None);
    let (all, summary) = score(&mut w.desk, &[1, 2, 71, 3, 72]);
    assert_eq!(all.iter().map(|s| s.score).collect::<Vec<_>>(), [Some(1.5), Some(2.5), None, Some(3.5), None]);
    for odd in [2, 4] {
        let defect = all[odd].defect.as_deref().unwrap_or_default();
        assert!(defect.contains("T11") && defect.contains("9 tokens, not 7"), "{defect}");
    }
    assert_eq!((summary.answers, count(&w.think)), (5, 3), "who had answered is not asked again");

    let told = w.desk.score(&pairs(&[71, 72, 73, 74, 75, 76]), &mut |_| ControlFlow::Continue(()));
    assert!(told.expect_err("another tokenizer").reason.contains("T11"));
}

#[test]
fn an_unknown_reader_is_refused_before_anybody_is_asked() {
    let mut w = world(false, "\0", None);
    let asked = [("nobody".parse().expect("an id"), article(1))];
    let told = w.desk.score(&asked, &mut |_| ControlFlow::Continue(()));
    assert!(told.expect_err("unknown").reason.contains("nobody") && count(&w.think) == 0 && !w.desk.stale);
}

#[test]
fn a_cycle_tells_its_answers_in_order_with_a_forecast_and_at_the_end_the_exact_pace() {
    use crate::engine::ScoreNews;
    let mut w = world(false, "\0", None);
    let articles: Vec<Article> = (0..20).map(article).collect();
    let readers = [READER.parse().expect("an id"), "texas_nurse".parse().expect("an id")];
    let (mut order, mut forecasts) = (Vec::new(), Vec::new());
    let done = w.desk.cycle(&readers, &articles, &mut |news| {
        match news {
            ScoreNews::Scored(scored) => order.push((scored.at, scored.title)),
            ScoreNews::Forecast(forecast) => forecasts.push((forecast.done, forecast.of)),
            ScoreNews::ScoringDone(_) => {}
        }
        ControlFlow::Continue(())
    });
    let done = done.unwrap_or_else(|f| panic!("{}", f.reason));
    let wanted: Vec<(usize, String)> = (0..40).map(|i| (i, format!("Title {}", i % 20))).collect();
    assert_eq!(order, wanted);
    assert_eq!(forecasts, [(8, 40), (16, 40), (32, 40)]);
    assert_eq!((done.summary.answers, done.cycle.readers), (40, 10));
    assert!(done.seconds_per_article.is_some_and(|s| (s * 40.0 - done.summary.seconds).abs() < 1e-9));
}

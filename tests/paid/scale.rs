//! 5,900 requests with every fault script on in turn: plan, pilot, approval, submission, import, traces.

use stratos::distill::{Kind, PilotRule, Step};
use stratos::domain::Article;

use super::emulator::{AnswerMix, Fault, Truncation};
use super::world::{World, some_articles};

const ARTICLES: usize = 590;

/// The shipped articles, then real ones where they are to be had, then made-up ones.
fn articles() -> Vec<Article> {
    let mut articles = some_articles(152);
    let real =
        std::env::var("STRATOS_TEST_DATA").ok().and_then(|dir| std::fs::read_to_string(format!("{dir}/articles.jsonl")).ok());
    match real {
        Some(text) => articles.extend(text.lines().filter_map(|line| serde_json::from_str::<Article>(line).ok())),
        None => eprintln!("STRATOS_TEST_DATA is not set: made-up articles take the place of real ones"),
    }
    articles.extend(some_articles(ARTICLES + 152).into_iter().skip(152));
    articles.truncate(ARTICLES);
    articles
}

#[test]
fn five_thousand_nine_hundred_pairs_come_home_through_every_fault() {
    let mix = AnswerMix { truncated: 0.01, refused: 0.01, malformed: 0.02, forbidden: 0.01, errored: 0.01, expired: 0.01 };
    let mut world = World::new("anthropic", "claude-sonnet-4-6", 1, 10, |o| o.answers = mix);
    world.articles = articles();
    // Long enough to be cached: providers cache no prompt front below 512 to 4,096 tokens.
    world.recipe.teacher.structured_rubric.push_str(&"\nWeigh every signal on its own before you compare them.".repeat(60));
    world.renderer = stratos::domain::Renderer::new(&world.recipe).expect("renders");
    world.settings.max_batch = Some(700);
    world.pilot = PilotRule::Auto;

    let pilot = world.plan();
    assert_eq!((pilot.kind, pilot.estimate.requests), (Kind::Pilot, 40));
    world.approve(&pilot, pilot.estimate.worst);
    let plan = world.plan();
    assert_eq!(plan.kind, Kind::Traces);
    assert_eq!(plan.estimate.requests + plan.estimate.answered + plan.estimate.given_up, ARTICLES * 10);
    // What is approved is what usually is enough, not the worst case.
    world.approve(&plan, plan.estimate.forecast.p95.max(plan.estimate.forecast.expected));
    let mut script = vec![
        Fault::overloaded(),
        Fault::CommitThenDrop,
        Fault::TruncateResults { how: Truncation::InsideLine },
        Fault::TruncateResults { how: Truncation::AtLineBoundary },
        Fault::DuplicateLine,
        Fault::UnknownIdLine,
        Fault::NotFoundAfterCreate { times: 2 },
        Fault::ExpireNow,
        Fault::ServerDown { times: 2 },
        Fault::CommitThen502Html,
        Fault::rate_limited(5),
    ]
    .into_iter();
    let mut ceiling = plan.estimate.forecast.p95;
    loop {
        if let Some(fault) = script.next() {
            world.emulator(|e| e.fault(fault));
        }
        let mut ear = super::world::Ear { stop_after: Some(9), ..super::world::Ear::default() };
        match world.process(&mut ear, usize::MAX).expect("lives") {
            Ok(Step::Done) => break,
            Ok(Step::Stopped) => {}
            Ok(Step::NeedsApproval(next)) => world.approve(&next, next.estimate.worst),
            Err(error) => {
                assert!(error.to_string().contains("ceiling"), "{error}");
                world.books_balance();
                ceiling += plan.estimate.forecast.expected;
                world.approve(&plan, ceiling);
            }
        }
    }
    world.all_came_home();
    let done = world.distilled();
    assert_eq!(done.pairs, ARTICLES * 10);
    assert!(done.traces.len() > 5_750, "{} of 5,900 kept", done.traces.len());
    let receipt = world.receipt();
    assert!(receipt.billed <= plan.estimate.worst, "{}", receipt.billed);
    assert!(receipt.lines.iter().any(|l| l.tokens.cache_read > 0), "cache hits are on the receipt");
}

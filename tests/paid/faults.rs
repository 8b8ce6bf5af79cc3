//! Every way a provider, a network or a clock can fail, and books that balance.

use std::time::Duration;

use super::emulator::{AnswerMix, Fault, Finish, Op, Options, Truncation};
use super::world::{self, Ear, World};
use stratos::distill::{DistillError, Kind, PilotRule, Scope, Step};
use stratos::domain::Usd;
use stratos::workspace::{Cancel, RequestState, SubmissionState};

const PROVIDERS: [(&str, &str); 3] =
    [("anthropic", "claude-haiku-4-5"), ("openai", "gpt-6-luna"), ("gemini", "gemini-2.5-flash")];

fn small(provider: &str, model: &str) -> World {
    World::new(provider, model, 12, 5, |_| {})
}

fn mixed(options: &mut Options) {
    options.answers =
        AnswerMix { truncated: 0.05, refused: 0.05, malformed: 0.08, forbidden: 0.05, errored: 0.05, expired: 0.05 };
}

#[test]
fn each_provider_goes_from_plan_to_traces_and_the_receipt_is_the_bill() {
    for (provider, model) in PROVIDERS {
        let world = World::new(provider, model, 12, 5, mixed);
        let plan = world.plan();
        assert_eq!((plan.estimate.requests, plan.kind), (60, Kind::Traces), "{provider}");
        assert!(world.emulator(|e| e.billed()).is_empty(), "{provider}: nothing is bought before the approval");
        world.finish();
        world.all_came_home();
        let kept = world.distilled().traces.len();
        assert!(kept > 48, "{provider}: {kept} of 60 kept");
        let receipt = world.receipt();
        assert!(receipt.billed > Usd::ZERO && receipt.billed <= plan.estimate.worst, "{provider}: {}", receipt.billed);
    }
}

#[test]
fn a_server_that_answers_one_by_one_goes_the_same_way() {
    let mut world = World::new("compatible", "gpt-4.1-mini", 6, 4, mixed);
    let row = |model: &str| {
        format!(
            "[[price]]\nprovider = 'compatible'\nmodel = '{model}'\nmode = 'standard'\ninput = '1'\noutput = '2'\nverified = '2026-11-01'\nsource = 'test'\n"
        )
    };
    world.prices = stratos::teacher::PriceTable::from_toml(&row("gpt-4.1-mini")).expect("reads");
    world.finish();
    world.books_balance();
    assert!(world.distilled().traces.len() >= 18);
    // A second run asks nothing.
    let billed = world.emulator(|e| e.billed().len());
    assert!(matches!(world.go(), Ok(Step::Done)));
    assert_eq!(world.emulator(|e| e.billed().len()), billed);
}

#[test]
fn a_pilot_measures_before_the_rest_is_approved_and_both_figures_are_shown() {
    let mut world = World::new("anthropic", "claude-haiku-4-5", 40, 5, mixed);
    world.pilot = PilotRule::Auto;
    let pilot = world.plan();
    assert_eq!((pilot.kind, pilot.estimate.requests), (Kind::Pilot, 40));
    assert!(pilot.estimate.whole.is_some() && pilot.estimate.before.is_none());
    world.approve(&pilot, pilot.estimate.worst);
    let rest = world.plan();
    assert_eq!(rest.kind, Kind::Traces);
    let before = rest.estimate.before.clone().expect("the figures without the pilot");
    assert!(rest.estimate.forecast.basis.words().contains("measured on"), "{:?}", rest.estimate.forecast.basis);
    assert_ne!(before.expected, rest.estimate.forecast.expected);
    world.approve(&rest, rest.estimate.worst);
    world.finish();
    world.all_came_home();
    // The emulator answers as it did in the pilot: the bill lies within what was said.
    let line = world.receipt().lines.into_iter().find(|l| l.kind == Kind::Traces).expect("billed");
    assert!(line.billed <= rest.estimate.forecast.p95, "{} above {}", line.billed, rest.estimate.forecast.p95);
}

#[test]
fn every_fault_in_turn_ends_with_balanced_books() {
    let faults: Vec<(&str, Vec<Fault>)> = vec![
        ("lost reply after commit", vec![Fault::CommitThenDrop]),
        ("dropped before commit", vec![Fault::DropBeforeCommit]),
        ("html after commit", vec![Fault::CommitThen502Html]),
        ("cut inside a line", vec![Fault::TruncateResults { how: Truncation::InsideLine }]),
        ("cut at a line boundary", vec![Fault::TruncateResults { how: Truncation::AtLineBoundary }]),
        ("wrong length", vec![Fault::TruncateResults { how: Truncation::WrongLength }]),
        ("a line twice", vec![Fault::DuplicateLine]),
        ("an unknown id", vec![Fault::UnknownIdLine]),
        ("404 right after create", vec![Fault::NotFoundAfterCreate { times: 3 }]),
        ("rate limit", vec![Fault::rate_limited(7), Fault::rate_limited(2)]),
        ("overloaded", vec![Fault::overloaded(), Fault::overloaded()]),
        ("413 without JSON", vec![Fault::too_large_html()]),
        ("network down", vec![Fault::ServerDown { times: 4 }]),
        ("expired", vec![Fault::ExpireNow]),
        ("two lost replies", vec![Fault::CommitThenDrop, Fault::CommitThenDrop]),
    ];
    for (provider, model) in PROVIDERS {
        for (name, script) in &faults {
            let world = World::new(provider, model, 10, 5, mixed);
            let plan = world.plan();
            world.approve(&plan, plan.estimate.worst);
            world.emulator(|e| script.iter().for_each(|f| e.fault(f.clone())));
            for _ in 0..30 {
                match world.go() {
                    Ok(Step::Done) => break,
                    Ok(Step::NeedsApproval(plan)) => world.approve(&plan, plan.estimate.worst),
                    Ok(Step::Stopped) => panic!("nobody stopped it"),
                    // What stops a run says so; the operator runs it again.
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
                world.books_balance();
            }
            assert!(matches!(world.go(), Ok(Step::Done)), "{provider}: {name} does not end");
            world.all_came_home();
            let kept = world.distilled().traces.len();
            assert!(kept >= 40, "{provider}: {name}: {kept} of 50 kept");
        }
    }
}

#[test]
fn a_lost_reply_makes_one_batch_and_it_is_adopted() {
    for (provider, model) in PROVIDERS {
        let world = small(provider, model);
        let plan = world.plan();
        world.approve(&plan, plan.estimate.worst);
        world.emulator(|e| e.fault(Fault::CommitThenDrop));
        world.finish();
        let ledger = world.ledger();
        let made = world.emulator(|e| e.batches()).len();
        assert_eq!(made, ledger.submissions().expect("reads").len(), "{provider}");
        assert!(ledger.submissions().expect("reads").iter().all(|s| s.state == SubmissionState::Imported), "{provider}");
        world.all_came_home();
    }
}

#[test]
fn a_submission_that_never_arrived_wants_a_new_approval() {
    let world = small("anthropic", "claude-haiku-4-5");
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    world.emulator(|e| e.fault(Fault::DropBeforeCommit));
    let again = world.plan();
    assert_ne!(again.digest, plan.digest);
    assert!(world.ledger().plan(&plan.digest).expect("reads").expect("kept").void.is_some());
    assert!(again.estimate.retries > 0, "another attempt has another id, should the first batch appear after all");
    world.approve(&again, again.estimate.worst);
    world.finish();
    world.all_came_home();
}

#[test]
fn an_approval_holds_for_one_plan_and_one_price() {
    let mut world = small("openai", "gpt-6-luna");
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    let dearer = world::PRICES.replace("input = \"0.05\"", "input = \"0.06\"");
    world.prices = stratos::teacher::PriceTable::from_toml(&dearer).expect("reads");
    let again = world.plan();
    assert_ne!(again.digest, plan.digest);
    assert!(world.emulator(|e| e.billed()).is_empty());
    assert!(world.ledger().approved_ceiling(&plan.digest).expect("reads").is_none(), "the old approval is void");

    // A rubric that changed is another question.
    world.approve(&again, again.estimate.worst);
    world.recipe.teacher.rubric.push_str("\nTen rules.");
    world.renderer = stratos::domain::Renderer::new(&world.recipe).expect("renders");
    world.settings.structured = Some(false);
    let third = world.plan();
    assert!(third.digest != again.digest && world.emulator(|e| e.billed()).is_empty());
}

#[test]
fn the_ceiling_stops_the_run_before_the_request_that_could_break_it() {
    let world = small("anthropic", "claude-haiku-4-5");
    let plan = world.plan();
    let tight = Usd::new(plan.estimate.forecast.expected.amount() / rust_decimal::Decimal::from(2));
    world.approve(&plan, tight);
    let error = world.go().expect_err("stops").to_string();
    assert!(error.contains("ceiling") && error.contains("stratos distill approve"), "{error}");
    world.books_balance();
    assert!(world.receipt().billed <= tight);
    world.approve(&plan, plan.estimate.worst);
    world.finish();
    world.all_came_home();
}

#[test]
fn a_spend_limit_and_a_refused_key_stop_at_once() {
    for fault in [Fault::spend_limit(), Fault::unauthorized()] {
        let world = small("anthropic", "claude-haiku-4-5");
        let plan = world.plan();
        world.approve(&plan, plan.estimate.worst);
        world.emulator(|e| e.fault(fault.clone()));
        let error = world.go().expect_err("stops").to_string();
        assert!(!error.contains(world::SECRET), "{error}");
        assert!(world.emulator(|e| e.billed()).is_empty(), "{error}");
        world.finish();
        world.all_came_home();
    }
}

#[test]
fn low_credit_stops_after_one_chunk_instead_of_failing_every_one() {
    let world = World::new("anthropic", "claude-haiku-4-5", 20, 10, |_| {});
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    world.emulator(|e| e.fault(Fault::AllErroredLowCredit));
    let error = world.go().expect_err("stops");
    assert!(matches!(error, DistillError::AllFailed { .. }), "{error}");
    let ledger = world.ledger();
    let planned = ledger.count_requests(&plan.digest, RequestState::Planned).expect("reads");
    assert!(planned >= 150, "only the canary went out; {planned} wait");
    world.finish();
    world.all_came_home();
}

#[test]
fn a_queue_that_is_full_and_a_file_of_errors_only_are_survived() {
    for fault in [Fault::QueuedTokenLimit, Fault::OnlyErrorFile, Fault::ErrorInsideOutput] {
        let world = small("openai", "gpt-6-luna");
        let plan = world.plan();
        world.approve(&plan, plan.estimate.worst);
        world.emulator(|e| e.fault(fault.clone()));
        for _ in 0..6 {
            if matches!(world.go(), Ok(Step::Done)) {
                break;
            }
        }
        world.all_came_home();
        assert!(world.distilled().traces.len() >= 55, "{fault:?}: {}", world.distilled().traces.len());
    }
}

#[test]
fn a_foreign_results_url_never_sees_the_key() {
    let world = small("anthropic", "claude-haiku-4-5");
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    world.emulator(|e| e.fault(Fault::ForeignResultsUrl));
    let error = world.go().expect_err("refused").to_string();
    assert!(error.contains("another host"), "{error}");
    let seen = world.emulator(|e| e.requests_seen());
    assert!(seen.iter().all(|s| !s.host.contains("localhost")), "the foreign host was contacted");
    world.books_balance();
}

#[test]
fn a_stuck_batch_is_cancelled_and_what_was_answered_is_kept() {
    let world = World::new("anthropic", "claude-haiku-4-5", 12, 5, |o| o.finish = Finish::Never);
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    let mut ear = Ear { stop_after: Some(40), ..Ear::default() };
    assert!(matches!(world.process(&mut ear, usize::MAX), Some(Ok(Step::Stopped))));
    let mut ledger = world.ledger();
    let open = ledger.open_submissions().expect("reads");
    assert!(!open.is_empty());
    for s in &open {
        ledger.set_cancel(s.id, Cancel::Asked).expect("recorded");
    }
    ledger.void_plan(&plan.digest, "cancelled by the operator").expect("recorded");
    drop(ledger);
    // Nothing goes out again without a new approval.
    let again = world.plan();
    assert_ne!(again.digest, plan.digest);
    world.books_balance();
    assert!(world.ledger().open_submissions().expect("reads").is_empty());
}

#[test]
fn a_refusal_is_never_asked_again_and_a_cut_answer_once_with_more_room() {
    let world = World::new("openai", "gpt-6-luna", 12, 5, |o| {
        o.answers = AnswerMix { truncated: 0.2, refused: 0.2, ..AnswerMix::default() };
    });
    world.finish();
    world.all_came_home();
    let ledger = world.ledger();
    let plans = ledger.plans().expect("reads");
    let mut rungs: std::collections::BTreeMap<(String, &str), usize> = std::collections::BTreeMap::new();
    for plan in &plans {
        for state in [RequestState::Kept, RequestState::Rejected] {
            for row in ledger.requests_in(&plan.digest, state).expect("reads") {
                *rungs.entry((row.request.rung.clone(), state.id())).or_default() += 1;
                assert!(row.request.rung != "higher cap" || row.request.max_output == 1400);
            }
        }
    }
    assert!(rungs.get(&("higher cap".into(), "kept")).is_some_and(|n| *n >= 5), "{rungs:?}");
    let refused = plans.iter().flat_map(|p| ledger.rejects(&p.digest).expect("reads")).filter(|r| r.reject.kind() == "refused");
    let refused: Vec<_> = refused.collect();
    assert!(refused.len() >= 5 && refused.iter().all(|r| r.attempt == 1), "{refused:?}");
}

#[test]
fn another_day_and_a_clock_that_jumped_change_nothing() {
    let world = World::new("anthropic", "claude-haiku-4-5", 12, 5, |o| o.finish = Finish::AfterSeconds(3600));
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    let mut ear = Ear { stop_after: Some(30), ..Ear::default() };
    assert!(matches!(world.process(&mut ear, usize::MAX), Some(Ok(Step::Stopped))));
    world.time.advance(Duration::from_secs(20 * 3600));
    world.finish();
    world.all_came_home();
    assert_eq!(world.distilled().traces.len(), 60);
}

#[test]
fn results_that_were_archived_are_said_and_settled_by_the_operator() {
    let world = World::new("anthropic", "claude-haiku-4-5", 12, 3, |o| o.finish = Finish::AfterSeconds(3600));
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    let mut ear = Ear { stop_after: Some(30), ..Ear::default() };
    assert!(matches!(world.process(&mut ear, usize::MAX), Some(Ok(Step::Stopped))));
    world.time.advance(Duration::from_secs(40 * 24 * 3600));
    let error = (0..3).find_map(|_| world.go().err()).expect("stops");
    assert!(matches!(error, DistillError::Gone { .. }), "{error}");
    let mut ledger = world.ledger();
    for submission in ledger.open_submissions().expect("reads") {
        stratos::distill::give_up(&mut ledger, &submission, stratos::domain::UnixMillis(1)).expect("settled");
    }
    drop(ledger);
    assert!(world.receipt().perhaps > Usd::ZERO, "what was lost may be on the bill, and says so");
    let again = world.plan();
    world.approve(&again, again.estimate.worst);
    world.finish();
    assert_eq!(world.distilled().traces.len(), 36);
}

#[test]
fn an_answered_question_is_not_bought_again_when_a_knob_is_turned() {
    let mut world = small("openai", "gpt-6-luna");
    world.finish();
    let billed = world.emulator(|e| e.billed().len());
    world.recipe.teacher.max_output_tokens = 900;
    world.settings.max_batch = Some(7);
    assert!(matches!(world.go(), Ok(Step::Done)));
    assert_eq!(world.emulator(|e| e.billed().len()), billed);
    // A sample, one reader, what changed: nothing of it is open either.
    world.scope = Scope { sample: Some(10), ..Scope::default() };
    assert!(matches!(world.go(), Ok(Step::Done)));
}

#[test]
fn the_retired_model_is_named_before_anything_is_sent() {
    let world = small("gemini", "gemini-2.5-flash");
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    world.emulator(|e| e.fault(Fault::ModelRetired));
    let error = world.go().expect_err("stops").to_string();
    assert!(error.contains("gemini-2.5-flash"), "{error}");
    assert!(world.emulator(|e| e.billed()).is_empty());
}

#[test]
fn two_batches_that_could_be_ours_are_put_to_the_operator() {
    let world = World::new("anthropic", "claude-haiku-4-5", 4, 4, |_| {});
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    let foreign: Vec<String> = (0..2).map(|_| world.somebody_elses_batch(16)).collect();
    world.emulator(|e| e.fault(Fault::DropBeforeCommit));
    let error = world.go().expect_err("it cannot tell").to_string();
    assert!(foreign.iter().all(|id| error.contains(id)) && error.contains("stratos distill settle"), "{error}");
    assert_eq!(world.emulator(|e| e.batches()).len(), 2, "nothing is sent before it is settled");

    // The operator says that it is none of them.
    let mut ledger = world.ledger();
    let open = ledger.open_submissions().expect("reads").pop().expect("unsettled");
    stratos::distill::give_up(&mut ledger, &open, open.created).expect("settled");
    drop(ledger);
    let again = world.plan();
    assert_ne!(again.digest, plan.digest);
    world.approve(&again, again.estimate.worst);
    world.finish();
    assert_eq!(world.distilled().traces.len(), 16);
}

#[test]
fn a_batch_of_somebody_else_is_disowned_when_its_results_arrive() {
    let world = World::new("anthropic", "claude-haiku-4-5", 4, 4, |_| {});
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    let foreign = world.somebody_elses_batch(16);
    world.emulator(|e| e.fault(Fault::DropBeforeCommit));
    // Adopted by its count, disowned by its ids, given up after five minutes: the plan wants a new approval.
    let mut ear = Ear::default();
    let end = world.process(&mut ear, usize::MAX).expect("lives").expect("goes on");
    let Step::NeedsApproval(again) = end else { panic!("{end:?}") };
    assert!(ear.said.iter().any(|s| s.contains("not ours") && s.contains(&foreign)), "{:?}", ear.said);
    world.approve(&again, again.estimate.worst);
    world.finish();
    assert_eq!(world.distilled().traces.len(), 16);
}

#[test]
fn a_cancellation_that_comes_too_late_still_brings_the_results_home() {
    for (provider, model) in PROVIDERS {
        let world = World::new(provider, model, 6, 4, |o| o.finish = Finish::Never);
        let plan = world.plan();
        world.approve(&plan, plan.estimate.worst);
        let mut ear = Ear { stop_after: Some(30), ..Ear::default() };
        assert!(matches!(world.process(&mut ear, usize::MAX), Some(Ok(Step::Stopped))));
        world.emulator(|e| e.restart_with(|o| o.finish = Finish::AfterLooks(0)));
        let mut ledger = world.ledger();
        for s in ledger.open_submissions().expect("reads") {
            ledger.set_cancel(s.id, Cancel::Asked).expect("recorded");
        }
        drop(ledger);
        world.finish();
        world.all_came_home();
        assert_eq!(world.distilled().traces.len(), 24, "{provider}");
    }
}

#[test]
fn results_that_cannot_be_fetched_end_the_run_instead_of_looping() {
    let world = small("openai", "gpt-6-luna");
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    world.emulator(|e| e.fault_on(Op::Results, Fault::status(404, 200)));
    let error = world.go().expect_err("ends");
    assert!(matches!(error, DistillError::Gone { .. }), "{error}");
    world.emulator(|e| e.clear_faults());
    world.finish();
    world.all_came_home();
}

#[test]
fn one_request_that_a_server_does_not_take_leaves_the_others_alone() {
    let mut world = World::new("compatible", "gpt-4.1-mini", 4, 4, |_| {});
    let row = "[[price]]\nprovider = 'compatible'\nmodel = 'gpt-4.1-mini'\nmode = 'standard'\ninput = '1'\noutput = '2'\nverified = '2026-11-01'\nsource = 'test'\n";
    world.prices = stratos::teacher::PriceTable::from_toml(row).expect("reads");
    let plan = world.plan();
    world.approve(&plan, plan.estimate.worst);
    world.emulator(|e| e.fault_on(Op::Sync, Fault::status(400, 1)));
    assert!(matches!(world.go(), Ok(Step::Done)));
    world.books_balance();
    assert_eq!(world.distilled().traces.len(), 15);
}

#[test]
fn a_plan_that_was_replaced_sends_nothing_more() {
    let mut world = small("anthropic", "claude-haiku-4-5");
    let all = world.plan();
    world.approve(&all, all.estimate.worst);
    world.scope = Scope { sample: Some(10), ..Scope::default() };
    let few = world.plan();
    assert_eq!(few.estimate.requests, 10);
    assert!(world.ledger().approved_ceiling(&all.digest).expect("reads").is_none(), "the approval of all is over");
    world.approve(&few, few.estimate.worst);
    world.finish();
    world.scope = Scope::default();
    let rest = world.plan();
    assert_eq!(rest.estimate.requests, 50);
    world.all_came_home();
}

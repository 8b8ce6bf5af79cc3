//! Random scripts of faults, stops and deaths: whatever happens, the books balance and everything comes home.

use std::time::Duration;

use proptest::prelude::*;
use stratos::distill::Step;

use super::emulator::{AnswerMix, Fault, Truncation};
use super::world::{Ear, World};

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::CommitThenDrop),
        Just(Fault::DropBeforeCommit),
        Just(Fault::CommitThen502Html),
        Just(Fault::TruncateResults { how: Truncation::InsideLine }),
        Just(Fault::TruncateResults { how: Truncation::AtLineBoundary }),
        Just(Fault::TruncateResults { how: Truncation::WrongLength }),
        Just(Fault::DuplicateLine),
        Just(Fault::UnknownIdLine),
        (1u32..4).prop_map(|times| Fault::NotFoundAfterCreate { times }),
        (0u64..90).prop_map(Fault::rate_limited),
        Just(Fault::overloaded()),
        Just(Fault::spend_limit()),
        Just(Fault::too_large_html()),
        (1u32..12).prop_map(|times| Fault::ServerDown { times }),
        Just(Fault::ExpireNow),
        Just(Fault::AllErroredLowCredit),
    ]
}

/// What happens to one process.
#[derive(Debug, Clone)]
struct Fate {
    faults: Vec<Fault>,
    /// It dies after this many polls of its future.
    polls: usize,
    /// Then this many seconds pass.
    later: u64,
    /// The server crashes and comes back.
    restart: bool,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (prop::collection::vec(faults(), 0..3), 1usize..60, 0u64..4000, any::<bool>());
    let fate = fate.prop_map(|(faults, polls, later, restart)| Fate { faults, polls, later, restart });
    prop::collection::vec(fate, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_id_ends_once_and_nothing_is_billed_twice(
        provider in 0usize..3,
        seed in 0u64..1000,
        fates in fates(),
    ) {
        let (provider, model) =
            [("anthropic", "claude-haiku-4-5"), ("openai", "gpt-6-luna"), ("gemini", "gemini-2.5-flash")][provider];
        let mix = AnswerMix { truncated: 0.1, refused: 0.05, malformed: 0.1, forbidden: 0.05, errored: 0.1, expired: 0.05 };
        let world = World::new(provider, model, 9, 4, |o| {
            o.seed = seed;
            o.answers = mix;
        });
        let approve = |end: &Step| {
            if let Step::NeedsApproval(plan) = end {
                world.approve(plan, plan.estimate.worst);
            }
        };
        for fate in &fates {
            world.emulator(|e| {
                if fate.restart {
                    e.restart();
                }
                fate.faults.iter().for_each(|f| e.fault(f.clone()));
            });
            if let Some(Ok(end)) = world.process(&mut Ear::default(), fate.polls) {
                approve(&end);
            }
            world.time.advance(Duration::from_secs(fate.later));
            world.books_balance();
        }
        world.emulator(|e| e.clear_faults());
        let mut done = false;
        for _ in 0..20 {
            match world.go() {
                Ok(Step::Done) => {
                    done = true;
                    break;
                }
                Ok(end) => approve(&end),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
        prop_assert!(done, "it does not come to its end");
        world.all_came_home();
        // An import of the same bytes again changes nothing.
        let before = world.receipt();
        let mut ledger = world.ledger();
        for submission in ledger.submissions().expect("reads") {
            let Some(raw) = ledger.raw_of(submission.id).expect("reads") else { continue };
            let path = world.dir.path().join("raw").join(&raw.name);
            let store = stratos::workspace::RawStore::new(world.dir.path().join("raw"));
            let teacher = stratos::teacher::build(world.settings.clone()).expect("a known provider");
            let _ = stratos::distill::import_file(&mut ledger, &store, &world.recipe, teacher.as_ref(), &path, false, submission.created);
        }
        prop_assert_eq!(before, world.receipt());
    }
}

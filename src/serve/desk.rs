//! The engine's desk as the service's scorer.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::scores::{About, Answer, Opens, Scores, Trouble};
use crate::domain::{Article, ProfileId};
use crate::engine::{Desk, DeskOptions, Scored};
use crate::workspace::{Ledger, Workspace};

struct DeskScores {
    desk: Desk,
    /// For looking: who is there, what is live.
    ledger: Ledger,
}

/// Opens a desk on the thread that will own it.
pub fn open_desk(workspace: Arc<Workspace>, options: DeskOptions) -> Opens {
    Box::new(move || {
        let ledger = |workspace: &Workspace| workspace.ledger().map_err(|e| trouble(&e));
        let desk = Desk::open(Arc::clone(&workspace), ledger(&workspace)?, options);
        let desk = desk.map_err(|failure| Trouble { what: failure.reason, next: failure.next })?;
        Ok(Box::new(DeskScores { desk, ledger: ledger(&workspace)? }))
    })
}

fn trouble(error: &impl std::fmt::Display) -> Trouble {
    Trouble { what: error.to_string(), next: "Look at the workspace with 'stratos doctor', then ask again.".into() }
}

impl Scores for DeskScores {
    fn about(&mut self) -> About {
        let model = self.desk.model().to_owned();
        let live = self.ledger.releases().ok().and_then(|all| all.into_iter().find(|r| r.live && r.name == model));
        About { release: live.map(|r| r.name), runtime: self.desk.runtime().to_owned(), model }
    }

    fn unknown(&mut self, readers: &[ProfileId]) -> Result<Vec<ProfileId>, Trouble> {
        let stored: HashSet<ProfileId> =
            self.ledger.profiles().map_err(|e| trouble(&e))?.into_iter().map(|(p, _)| p.id).collect();
        Ok(readers.iter().filter(|reader| !stored.contains(reader)).cloned().collect())
    }

    fn score(&mut self, asked: &[(ProfileId, Article)], on: &mut dyn FnMut(Answer) -> ControlFlow<()>) -> Result<(), Trouble> {
        let scored = self.desk.score(asked, &mut |scored| on(answer(scored)));
        scored.map(drop).map_err(|failure| Trouble { what: failure.reason, next: failure.next })
    }
}

fn answer(scored: Scored) -> Answer {
    Answer {
        at: scored.at,
        score: scored.score,
        expected: scored.expected,
        reason: scored.reason,
        think: scored.think,
        defect: scored.defect,
        seconds: scored.seconds,
        cached: scored.cached,
        pass: scored.pass.name(),
        prompt_tokens: scored.prompt_tokens,
        tokens: scored.tokens,
        runtime: scored.runtime,
    }
}

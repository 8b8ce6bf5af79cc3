//! The retry ladder: what is asked after an answer that could not be used. One rung for each kind of failure, each taken
//! a bounded number of times; a refusal is an answer and is never asked again.
//!
//! Pure: from the history of a question to its next rung. What a rung costs and whether it fits is the run's.

use crate::domain::{ErrorKind, Reject};
use crate::workspace::{Past, RequestState};

/// How one attempt differs from the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    First,
    /// The same request: the provider's trouble, not the answer's.
    Again,
    /// Cut off: the same request with room for twice the tokens.
    HigherCap,
    /// Not usable: the same request, and why the answer could not be used.
    Restated {
        why: String,
    },
}

/// The same request after the provider's own trouble, at most this often: what fails three times fails for a reason.
const AGAIN: usize = 2;

impl Rung {
    pub fn id(&self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Again => "again",
            Self::HigherCap => "higher cap",
            Self::Restated { .. } => "reason stated",
        }
    }
}

/// An attempt to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub attempt: u32,
    pub rung: Rung,
    pub max_output: u64,
}

/// The next attempt at a question; `None`: it is answered, under way, or out of rungs. `cap` is the first attempt's token
/// limit. With `afresh` an attempt that the operator cancelled counts as never asked; inside one plan it is final.
pub fn next(history: &[Past], cap: u64, max_attempts: u32, afresh: bool) -> Option<Next> {
    let Some(last) = history.last() else { return Some(Next { attempt: 1, rung: Rung::First, max_output: cap }) };
    if history.iter().any(|p| matches!(p.state, RequestState::Kept | RequestState::Submitted | RequestState::Planned)) {
        return None;
    }
    // What the operator took back was never asked; nor, for a new plan, what an account without credit was refused.
    let counts = |p: &&Past| match &p.reject {
        Some(Reject::Canceled) => false,
        Some(Reject::Failed { kind: ErrorKind::Account, .. }) => !afresh,
        _ => true,
    };
    if history.iter().filter(counts).count() >= max_attempts as usize {
        return None;
    }
    let taken = |id: &str| history.iter().filter(counts).filter(|p| p.rung == id).count();
    let highest = history.iter().map(|p| p.max_output).max().unwrap_or(cap).max(cap);
    let next = |rung, max_output| Some(Next { attempt: last.attempt + 1, rung, max_output });
    match last.reject.as_ref()? {
        Reject::Truncated { .. } if taken("higher cap") == 0 => next(Rung::HigherCap, highest * 2),
        Reject::Format { .. } | Reject::Forbidden { .. } | Reject::TooShort { .. } | Reject::TooLong { .. } => {
            let why = last.reject.as_ref().map(ToString::to_string).unwrap_or_default();
            if taken("reason stated") == 0 { next(Rung::Restated { why }, highest) } else { None }
        }
        Reject::Failed { kind: ErrorKind::Server | ErrorKind::Account, .. }
        | Reject::Expired
        | Reject::Missing
        | Reject::Lost
            if taken("again") < AGAIN =>
        {
            next(Rung::Again, highest)
        }
        Reject::Canceled if afresh => next(Rung::Again, highest),
        // A refusal is an answer; the rest has used up its rung.
        Reject::Refused { .. }
        | Reject::Truncated { .. }
        | Reject::Failed { .. }
        | Reject::Expired
        | Reject::Missing
        | Reject::Lost
        | Reject::Canceled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AnswerDefect;
    use proptest::prelude::*;

    fn past(attempt: u32, rung: &str, reject: Reject) -> Past {
        Past { attempt, rung: rung.into(), max_output: 700, state: RequestState::Rejected, reject: Some(reject) }
    }

    fn rung_after(history: &[Past]) -> Option<Rung> {
        next(history, 700, 3, false).map(|n| n.rung)
    }

    #[test]
    fn each_kind_of_failure_takes_its_own_rung_once() {
        let truncated = || past(1, "first", Reject::Truncated { tokens: 700 });
        let invalid = || past(1, "first", Reject::Format { defect: AnswerDefect::NoScore });
        assert_eq!(next(&[truncated()], 700, 3, false), Some(Next { attempt: 2, rung: Rung::HigherCap, max_output: 1400 }));
        assert_eq!(rung_after(&[truncated(), past(2, "higher cap", Reject::Truncated { tokens: 1400 })]), None);
        let why = "not in the format: there is no score line".to_owned();
        assert_eq!(rung_after(&[invalid()]), Some(Rung::Restated { why }));
        assert_eq!(rung_after(&[invalid(), past(2, "reason stated", Reject::Forbidden { score: 5.0 })]), None);
        assert_eq!(rung_after(&[past(1, "first", Reject::Expired)]), Some(Rung::Again));
        assert_eq!(rung_after(&[past(1, "first", Reject::Lost)]), Some(Rung::Again));
    }

    #[test]
    fn a_refusal_and_a_request_that_is_not_accepted_are_never_asked_again() {
        assert_eq!(rung_after(&[past(1, "first", Reject::Refused { why: "no".into() })]), None);
        assert_eq!(rung_after(&[past(1, "first", Reject::Failed { why: "bad".into(), kind: ErrorKind::Request })]), None);
    }

    #[test]
    fn a_higher_cap_stays_when_the_next_failure_is_of_another_kind() {
        let mut high = past(2, "higher cap", Reject::Format { defect: AnswerDefect::NoScore });
        high.max_output = 1400;
        let after = next(&[past(1, "first", Reject::Truncated { tokens: 700 }), high], 700, 3, false).expect("one more");
        assert_eq!((after.attempt, after.max_output), (3, 1400));
    }

    #[test]
    fn an_account_without_credit_costs_no_attempt_once_it_is_mended() {
        let refused = |attempt, rung| past(attempt, rung, Reject::Failed { why: "credit".into(), kind: ErrorKind::Account });
        let history = [refused(1, "first"), refused(2, "again"), refused(3, "again")];
        assert_eq!(next(&history, 700, 3, false), None);
        assert_eq!(next(&history, 700, 3, true).map(|n| (n.attempt, n.rung)), Some((4, Rung::Again)));
    }

    #[test]
    fn what_the_operator_cancelled_is_asked_again_only_under_a_new_plan() {
        let history = [past(1, "first", Reject::Canceled)];
        assert_eq!(next(&history, 700, 3, false), None);
        assert_eq!(next(&history, 700, 3, true).map(|n| n.attempt), Some(2));
    }

    fn rejects() -> impl Strategy<Value = Reject> {
        prop_oneof![
            Just(Reject::Truncated { tokens: 1 }),
            Just(Reject::Format { defect: AnswerDefect::NoScore }),
            Just(Reject::Refused { why: String::new() }),
            Just(Reject::Expired),
            Just(Reject::Canceled),
            Just(Reject::Lost),
            Just(Reject::Failed { why: String::new(), kind: ErrorKind::Server }),
        ]
    }

    proptest! {
        #[test]
        fn no_question_is_asked_more_often_than_the_recipe_allows(outcomes in prop::collection::vec(rejects(), 1..12), most in 1u32..5) {
            let mut history: Vec<Past> = Vec::new();
            for reject in outcomes {
                let Some(n) = next(&history, 700, most, false) else { break };
                prop_assert_eq!(n.attempt as usize, history.len() + 1);
                prop_assert!(n.max_output <= 1400);
                history.push(Past { attempt: n.attempt, rung: n.rung.id().into(), max_output: n.max_output, state: RequestState::Rejected, reject: Some(reject) });
            }
            prop_assert!(history.len() <= most as usize);
        }
    }
}

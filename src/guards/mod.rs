//! The guard registry: named checks that make the documented failures of distillation impossible.
//!
//! Owns the list of guards (id, moment, severity, what each prevents) and the shape of a finding. Does not own the
//! checks themselves: each stands beside what it checks and returns a [`Finding`].

pub use crate::domain::{Finding, Outcome};

use serde::{Deserialize, Serialize};

/// When a guard runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    Load,
    Plan,
    Submit,
    Import,
    Dataset,
    Start,
    Step,
    Eval,
    Deploy,
    Serve,
}

/// What a failed guard does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Says what it saw.
    Warn,
    /// Refuses to go on until it is fixed or overridden with a written reason.
    Stop,
}

/// One row of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// The row of `docs/guards.md`, e.g. "D3".
    pub id: &'static str,
    pub moment: Moment,
    pub severity: Severity,
    /// The failure it makes impossible.
    pub prevents: &'static str,
}

/// Every guard there is. A check whose id is not here cannot report.
pub const REGISTRY: &[Guard] = &[
    Guard {
        id: "D3",
        moment: Moment::Dataset,
        severity: Severity::Stop,
        prevents: "the same article on both sides of the split",
    },
    Guard { id: "D4", moment: Moment::Dataset, severity: Severity::Stop, prevents: "a hold-out that a later run changed" },
    Guard { id: "D6", moment: Moment::Import, severity: Severity::Warn, prevents: "labels that a script filled in" },
    Guard { id: "D7", moment: Moment::Import, severity: Severity::Warn, prevents: "annotators and batches that drift apart" },
    Guard {
        id: "D8",
        moment: Moment::Import,
        severity: Severity::Warn,
        prevents: "values off the scale or of unknown provenance",
    },
    Guard { id: "D10", moment: Moment::Import, severity: Severity::Warn, prevents: "forbidden scores in the training data" },
    Guard { id: "D11", moment: Moment::Import, severity: Severity::Warn, prevents: "reasons cut short or polluted by a fixer" },
    Guard {
        id: "D12",
        moment: Moment::Import,
        severity: Severity::Warn,
        prevents: "labels that contradict the recipe's languages",
    },
    Guard { id: "D13", moment: Moment::Plan, severity: Severity::Stop, prevents: "a list joined letter by letter in a prompt" },
    Guard { id: "D14", moment: Moment::Load, severity: Severity::Stop, prevents: "scores that fall through the band table" },
    Guard {
        id: "D16",
        moment: Moment::Dataset,
        severity: Severity::Stop,
        prevents: "empty, equal or self-contradicting system prompts",
    },
    Guard { id: "M1", moment: Moment::Plan, severity: Severity::Warn, prevents: "a bill above what was said" },
    Guard { id: "M2", moment: Moment::Plan, severity: Severity::Warn, prevents: "pricing one model while calling another" },
    Guard { id: "M3", moment: Moment::Submit, severity: Severity::Stop, prevents: "a lost reply that becomes two batches" },
    Guard { id: "M4", moment: Moment::Import, severity: Severity::Warn, prevents: "paid answers thrown away" },
    Guard { id: "M6", moment: Moment::Import, severity: Severity::Warn, prevents: "answers cut off and sent again as they were" },
    Guard { id: "M9", moment: Moment::Import, severity: Severity::Warn, prevents: "failures counted as success or forgotten" },
    Guard { id: "M10", moment: Moment::Import, severity: Severity::Stop, prevents: "a result file cut at a line boundary" },
    Guard {
        id: "T1",
        moment: Moment::Start,
        severity: Severity::Stop,
        prevents: "loss on prompts, or none on the end of the turn",
    },
    Guard {
        id: "T2",
        moment: Moment::Start,
        severity: Severity::Stop,
        prevents: "hours of training that write nothing readable",
    },
    Guard { id: "T3", moment: Moment::Start, severity: Severity::Stop, prevents: "a disk that fills up after hours" },
    Guard {
        id: "T4",
        moment: Moment::Start,
        severity: Severity::Warn,
        prevents: "a result that nobody can explain, many variables changed at once",
    },
    Guard { id: "T5", moment: Moment::Step, severity: Severity::Stop, prevents: "training on through NaN losses or gradients" },
    Guard {
        id: "T6",
        moment: Moment::Start,
        severity: Severity::Stop,
        prevents: "a shown loss that is a multiple of the true one",
    },
    Guard { id: "T7", moment: Moment::Start, severity: Severity::Stop, prevents: "loss weights that change nothing" },
    Guard { id: "T8", moment: Moment::Start, severity: Severity::Stop, prevents: "an order or sampler that is silently ignored" },
    Guard {
        id: "T9",
        moment: Moment::Start,
        severity: Severity::Warn,
        prevents: "rows cut silently, or lengths far off the data",
    },
    Guard { id: "T10", moment: Moment::Start, severity: Severity::Stop, prevents: "an end token that is not the template's" },
    Guard {
        id: "T11",
        moment: Moment::Start,
        severity: Severity::Stop,
        prevents: "prompts that serving writes otherwise than training",
    },
    Guard {
        id: "T12",
        moment: Moment::Start,
        severity: Severity::Stop,
        prevents: "layers without adapters, adapters that are frozen",
    },
    Guard { id: "T13", moment: Moment::Step, severity: Severity::Stop, prevents: "tensors that silently get no gradient" },
    Guard { id: "T15", moment: Moment::Start, severity: Severity::Stop, prevents: "running out of memory after hours" },
    Guard { id: "T16", moment: Moment::Start, severity: Severity::Warn, prevents: "training a skill that the base has already" },
    Guard { id: "T17", moment: Moment::Start, severity: Severity::Stop, prevents: "an adapter of one base on another" },
    Guard {
        id: "T18",
        moment: Moment::Start,
        severity: Severity::Warn,
        prevents: "effective settings that differ from the documented ones",
    },
    Guard { id: "T19", moment: Moment::Start, severity: Severity::Stop, prevents: "an earlier fine-tune taken for a fresh base" },
    Guard {
        id: "T20",
        moment: Moment::Start,
        severity: Severity::Warn,
        prevents: "a model server that holds the memory which training needs",
    },
    Guard { id: "E1", moment: Moment::Eval, severity: Severity::Warn, prevents: "a model that is no better than a constant" },
    Guard { id: "E4", moment: Moment::Eval, severity: Severity::Warn, prevents: "a number on too few rows" },
    Guard { id: "E5", moment: Moment::Eval, severity: Severity::Warn, prevents: "parse failures dropped from the score" },
];

/// The registry's row for an id.
pub fn guard(id: &str) -> Option<&'static Guard> {
    REGISTRY.iter().find(|g| g.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_has_its_own_id() {
        for (i, g) in REGISTRY.iter().enumerate() {
            assert!(REGISTRY[..i].iter().all(|other| other.id != g.id), "{} is registered twice", g.id);
        }
    }
}

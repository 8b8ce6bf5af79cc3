//! Distillation: pairs → requests → raw answers → traces.
//!
//! Owns what is asked and why it may be asked: the plan, its approval, submission, import, retries. Does not know
//! how a provider spells a batch (`teacher`) or how rows are stored (`workspace`).

mod approval;
mod collect;
mod error;
mod plan;
mod run;

pub use approval::Approval;
pub use error::DistillError;
pub use plan::{Estimate, PairSet, Plan, Sample};
pub use run::{Distilled, Distiller, Step};

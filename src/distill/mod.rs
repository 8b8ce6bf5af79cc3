//! Distillation: pairs → requests → raw answers → traces.
//!
//! Owns what is asked and why it may be asked: plan, estimate, approval, submission, settling, import, retries, receipt.
//! Does not know how a provider spells a batch (`teacher`) or how rows are stored (`workspace`).

mod approval;
mod asking;
mod books;
mod direct;
mod error;
mod estimate;
mod import;
mod ladder;
mod pace;
mod plan;
mod polarise;
pub mod quality;
mod receipt;
mod results;
mod run;
mod scope;
mod settle;
mod submit;

/// Stands where a batch's id would, for requests asked one by one.
pub const ONE_BY_ONE: &str = "one by one";

pub use approval::Approval;
pub use asking::{Asking, Kind, PairSet, Question, Returned};
pub use books::examine_books;
pub use error::DistillError;
pub use estimate::{Basis, Forecast};
pub use import::{import_file, scan};
pub use pace::{Pace, WallPace};
pub use plan::{Estimate, PilotRule, Plan, Sample, Wanted};
pub use polarise::{ArticleSet, titles_digest};
pub use receipt::{Receipt, ReceiptLine, receipt, spent};
pub use run::{Desk, Distilled, Distiller, Step, Tools};
pub use scope::{Scope, Which, stratified};
pub use settle::give_up;

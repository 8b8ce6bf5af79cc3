//! The plain types and rules of distillation, in the order data flows:
//! [`Profile`] + [`Article`] → prompt → answer → [`Trace`] → chat example → prediction.
//!
//! Owns what a thing *is* and which values are legal. Does no I/O, waits for nothing, and knows no
//! provider, file or screen.

mod answer;
mod article;
mod bands;
mod clock;
mod conduct;
mod depth;
mod digest;
mod finding;
mod ids;
mod label;
mod money;
mod phase;
mod prism;
mod profile;
mod profile_draft;
pub mod recipe;
mod render;
mod review;
mod text;
mod tokens;
mod trace;

pub use answer::{Answer, AnswerDefect, read_tolerant, split_think};
pub use article::{Article, ArticleError, SourceType};
pub use bands::{BandIndex, Bands, BandsError};
pub use clock::{Clock, SystemClock, UnixMillis};
pub use conduct::{Conduct, Gate};
pub use depth::{DepthRules, DepthVerdict, Tier};
pub use digest::{Digest, Digester};
pub use finding::{Finding, Outcome};
pub use ids::{ArticleId, IdError, PairKey, ProfileId};
pub use label::{FileLine, Label, LabelBody, LabelKind, LabelState, Trust};
pub use money::Usd;
pub use phase::{Phase, PhaseState};
pub use prism::{Prism, Signal, SignalKind, Weight};
pub use profile::{Motivation, Profile, ProfileError, ProfileRow, Seniority};
pub use profile_draft::{lint, read_draft, write_draft};
pub use recipe::Recipe;
pub use render::{ChatMessage, Form, Renderer, Role, StudentPrompt, TeacherPrompt, WriterRequest};
pub use review::{
    Author, MarkedSpan, OPERATOR, Reading, Remedy, ReviewAct, ReviewEntry, ReviewSubject, Round, SpanError, Verdict,
    checked_spans, clear_span, mark_span,
};
pub use text::{one_line, safe_text, word_count};
pub use tokens::{Tokens, estimate_tokens};
pub use trace::{ErrorKind, Flag, Reject, Trace, examine};

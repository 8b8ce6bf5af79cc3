//! Deployment: a trained student becomes a release, and what is served answers as what was trained.
//!
//! Owns the forms a student is exported in, the release's folder and its manifest, the Modelfile, the servers that take a
//! release, the parity table and the drift watch. Which release is live is the ledger's; who asks whom is the engine's.

mod blob;
mod cascade;
pub mod drift;
mod export;
mod forms;
pub mod frontier;
pub mod modelfile;
pub mod ollama;
pub mod parity;
mod release;

pub use blob::Blob;
pub use cascade::{Doubt, Pass};
pub use export::{Building, ExportError, Forecast, FormNeed, Piece, Told, digest_of, export, forecast};
pub use forms::{Form, Quant};
pub use parity::Parity;
pub use release::{DeployError, MODELFILE, Manifest, Provenance, TRAINED, copy_student, folder_bytes, to_clear, trained_in};

//! `[export]`: what a dataset card says that no figure can.

use serde::{Deserialize, Serialize};

use crate::domain::one_line;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportChoice {
    /// The licence as dataset hubs spell it ("cc-by-4.0"); "other" until somebody decides.
    pub licence: String,
}

impl Default for ExportChoice {
    fn default() -> Self {
        Self { licence: "other".into() }
    }
}

impl ExportChoice {
    pub(super) fn check(&self) -> Result<(), String> {
        let sound = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if self.licence.is_empty() || self.licence.len() > 64 || !self.licence.chars().all(sound) {
            let shown = one_line(&self.licence, 40);
            return Err(format!("export.licence: '{shown}' is not a licence's id; use one like \"cc-by-4.0\", or \"other\""));
        }
        Ok(())
    }
}

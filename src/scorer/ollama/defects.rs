//! What versions of Ollama are known to do otherwise than they are told, where no question to them would show it.
//!
//! Read in its sources and seen on a running one; an entry goes once nobody has the version.

use crate::student::Family;

/// Since its own engine computes ahead (v0.11.9), the last token of a full answer is dropped and may begin the next answer;
/// mended by counting tokens where they are taken (v0.15.5, `runner/ollamarunner/runner.go`).
const AHEAD: [(u32, u32, u32); 2] = [(0, 11, 9), (0, 15, 5)];

/// Why this version must not write the answers of a student of this family, and what to do.
pub fn defect(version: &str, family: Family) -> Option<&'static str> {
    // The others run on llama.cpp's engine inside Ollama.
    let own_engine = matches!(family, Family::Qwen3 | Family::Gemma3);
    let [since, mended] = AHEAD;
    let affected = own_engine && number(version).is_some_and(|v| v >= since && v < mended);
    affected.then_some(
        "it drops the last token of an answer that was cut, and lets it begin the next one (its versions 0.11.9 to 0.15.4 do \
         so with Qwen3 and Gemma 3). Update Ollama, or let llama-server serve the same file",
    )
}

/// The three numbers of "0.12.6" or "0.12.6-rc1"; a release candidate is taken for its release.
fn number(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.trim().trim_start_matches('v').split(['.', '-', '+']).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_refused_where_it_drops_tokens_and_nowhere_else() {
        let table = [
            ("0.11.8", Family::Gemma3, false),
            ("0.11.9", Family::Gemma3, true),
            ("0.12.6", Family::Qwen3, true),
            ("v0.15.4-rc0", Family::Qwen3, true),
            ("0.15.5", Family::Qwen3, false),
            ("1.0.0", Family::Qwen3, false),
            ("0.12.6", Family::Llama, false),
            ("0.12.6", Family::Qwen2, false),
            ("0.0.0", Family::Qwen3, false),
            ("unknown", Family::Qwen3, false),
        ];
        for (version, family, refused) in table {
            assert_eq!(defect(version, family).is_some(), refused, "{version} {family:?}");
        }
    }
}

//! What a revision holds, and which of its files a student needs.

use std::path::Path;

use serde::Deserialize;

use super::HubError;
use super::id::is_safe_name;
use crate::domain::one_line;

/// The hub's answer about one revision of a model.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    /// The commit.
    pub sha: String,
    #[serde(default)]
    pub siblings: Vec<Sibling>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sibling {
    #[serde(rename = "rfilename")]
    pub name: String,
    pub size: Option<u64>,
    #[serde(rename = "blobId")]
    pub blob: Option<String>,
    pub lfs: Option<Lfs>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Lfs {
    pub sha256: String,
    pub size: Option<u64>,
}

impl Sibling {
    pub fn sha256(&self) -> Option<String> {
        let digest = self.lfs.as_ref()?.sha256.to_ascii_lowercase();
        is_sha256(&digest).then_some(digest)
    }

    /// The size of its bytes; a listing may leave it out.
    pub fn bytes(&self) -> Option<u64> {
        self.lfs.as_ref().and_then(|lfs| lfs.size).or(self.size)
    }

    /// The hub's name for its bytes.
    pub fn hub_digest(&self) -> Option<String> {
        self.sha256().or_else(|| self.blob.clone())
    }
}

pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}

impl Listing {
    /// Reads the hub's answer. A name that would leave the folder spoils the whole listing: nothing of it is to be trusted.
    pub fn read(asked: &str, host: &str, body: &[u8]) -> Result<Self, HubError> {
        let listing: Self = serde_json::from_slice(body).map_err(|e| HubError::Reply {
            asked: asked.into(),
            host: host.into(),
            why: one_line(&e.to_string(), 200),
        })?;
        if listing.sha.is_empty() || !listing.sha.chars().all(|c| c.is_ascii_alphanumeric()) {
            let why = "it names no commit".into();
            return Err(HubError::Reply { asked: asked.into(), host: host.into(), why });
        }
        match listing.siblings.iter().find(|s| !is_safe_name(&s.name)) {
            Some(odd) => Err(HubError::FileName { asked: asked.into(), name: one_line(&odd.name, 120) }),
            None => Ok(listing),
        }
    }

    /// The files to pull, small ones first; a GGUF file by (a part of) its name.
    pub fn select(&self, asked: &str, gguf: Option<&str>) -> Result<Vec<Sibling>, HubError> {
        let mut files: Vec<Sibling> = self.siblings.iter().filter(|s| is_text_side(&s.name)).cloned().collect();
        let weights = match gguf {
            Some(wanted) => vec![self.one_gguf(asked, wanted)?],
            None => self.safetensors(asked)?,
        };
        files.extend(weights);
        files.sort_by_key(|s| s.bytes().unwrap_or(u64::MAX));
        Ok(files)
    }

    fn safetensors(&self, asked: &str) -> Result<Vec<Sibling>, HubError> {
        let all = || self.siblings.iter().filter(|s| !s.name.contains('/') && has_end(&s.name, "safetensors"));
        // Some repositories hold the same weights twice, the second time in their maker's own layout.
        let usual: Vec<Sibling> = all().filter(|s| s.name.starts_with("model")).cloned().collect();
        let mut weights = if usual.is_empty() { all().cloned().collect() } else { usual };
        if weights.is_empty() {
            let names = self.ggufs();
            let (why, remedy) = if names.is_empty() {
                ("the repository holds no safetensors and no GGUF file", "choose another repository of this model".to_owned())
            } else {
                ("the repository holds GGUF files only", format!("name one of them: {}", names.join(", ")))
            };
            return Err(HubError::Selection { asked: asked.into(), why: why.into(), remedy });
        }
        weights.extend(self.siblings.iter().filter(|s| s.name == "model.safetensors.index.json").cloned());
        Ok(weights)
    }

    fn ggufs(&self) -> Vec<String> {
        self.siblings.iter().filter(|s| is_gguf(&s.name)).map(|s| one_line(&s.name, 80)).collect()
    }

    fn one_gguf(&self, asked: &str, wanted: &str) -> Result<Sibling, HubError> {
        let all: Vec<&Sibling> = self.siblings.iter().filter(|s| is_gguf(&s.name)).collect();
        let part = wanted.to_ascii_lowercase();
        let alike: Vec<&Sibling> = all.iter().filter(|s| s.name.to_ascii_lowercase().contains(&part)).copied().collect();
        let found = all.iter().find(|s| s.name == wanted).copied().or(if let [one] = alike[..] { Some(one) } else { None });
        let refuse = |why: String| {
            let remedy = match self.ggufs() {
                names if names.is_empty() => "the repository holds none; choose another".to_owned(),
                names => format!("name one of them: {}", names.join(", ")),
            };
            Err(HubError::Selection { asked: asked.into(), why, remedy })
        };
        match found {
            Some(one) if one.name.contains("-of-") => {
                refuse(format!("'{}' is a piece of a split GGUF file, which cannot be read alone", one.name))
            }
            Some(one) => Ok(one.clone()),
            None => refuse(format!("{} GGUF files are called '{}'", alike.len(), one_line(wanted, 80))),
        }
    }
}

pub(super) fn is_gguf(name: &str) -> bool {
    has_end(name, "gguf")
}

fn has_end(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case(extension))
}

/// Configuration, tokenizer and template: needed beside either kind of weights.
fn is_text_side(name: &str) -> bool {
    let named = ["config.json", "generation_config.json", "special_tokens_map.json", "adapter_config.json"];
    let is_tokenizer = name.starts_with("tokenizer") && has_end(name, "json");
    let is_template = name.starts_with("chat_template.") && (has_end(name, "json") || has_end(name, "jinja"));
    !name.contains('/') && (named.contains(&name) || is_tokenizer || is_template)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&str]) -> Listing {
        let siblings: Vec<_> = names.iter().map(|n| serde_json::json!({"rfilename": n, "size": n.len()})).collect();
        let body = serde_json::json!({"sha": "abc", "siblings": siblings}).to_string();
        Listing::read("a/b", "hub", body.as_bytes()).expect("sound")
    }

    fn selected(names: &[&str], gguf: Option<&str>) -> Result<Vec<String>, String> {
        let files = listing(names).select("a/b", gguf).map_err(|e| e.to_string())?;
        Ok(files.into_iter().map(|f| f.name).collect())
    }

    #[test]
    fn only_what_a_student_needs_is_pulled() {
        let there = [
            "README.md",
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
            "onnx/model.onnx",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "consolidated.safetensors",
            "pytorch_model.bin",
            "optimizer.pt",
        ];
        let mut files = selected(&there, None).expect("selects");
        files.sort();
        let wanted = [
            "chat_template.jinja",
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        assert_eq!(files, wanted);
    }

    #[test]
    fn a_gguf_file_is_chosen_by_a_part_of_its_name() {
        let there = ["config.json", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "big-00001-of-00002.gguf"];
        assert_eq!(selected(&there, Some("q8_0")).expect("one"), ["config.json", "m-Q8_0.gguf"]);
        for (name, wanted) in [("q", "2 GGUF files"), ("q5", "0 GGUF files"), ("00001", "split")] {
            let error = selected(&there, Some(name)).expect_err(name);
            assert!(error.contains(wanted) && error.contains("m-Q8_0.gguf"), "{error}");
        }
        assert!(selected(&there, None).expect_err("no safetensors").contains("m-Q4_K_M.gguf"));
        assert!(selected(&["README.md"], None).expect_err("nothing").contains("no safetensors"));
    }

    #[test]
    fn one_name_that_leaves_the_folder_spoils_the_listing() {
        for name in ["../../.bashrc", "/etc/passwd", "a\\..\\b.json"] {
            let body = serde_json::json!({"sha": "abc", "siblings": [{"rfilename": "config.json"}, {"rfilename": name}]});
            let error = Listing::read("a/b", "hub", body.to_string().as_bytes()).expect_err(name);
            assert!(matches!(error, HubError::FileName { .. }), "{error}");
        }
    }

    #[test]
    fn a_reply_that_is_no_listing_is_named() {
        for body in ["<html>", "{}", r#"{"sha": "../x", "siblings": []}"#] {
            assert!(matches!(Listing::read("a/b", "hub", body.as_bytes()), Err(HubError::Reply { .. })), "{body}");
        }
    }
}

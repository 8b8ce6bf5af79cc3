//! One file: into a `.part` beside its place, on from where a broken connection left it, proved, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, Url};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::HubError;
use super::listing::{Sibling, is_sha256};
use super::record::FileRecord;
use super::wire::{Opened, Wire, header};
use crate::domain::{Digest, Gate};
use crate::net::chain;

/// A connection that brings this much before it breaks is a connection.
const PROGRESS: u64 = 1 << 20;

/// What one file of a pull is fetched with.
pub(super) struct Fetch<'a> {
    pub wire: &'a Wire,
    pub folder: &'a Path,
    /// The model, for messages.
    pub id: String,
    /// The model's page at the hub.
    pub page: String,
    pub attempts: u32,
    pub pause: Duration,
}

/// Told how many bytes of the file are here.
pub(super) type Tell<'a> = dyn FnMut(u64, Option<u64>) -> Gate + Send + 'a;

/// What a `.part` is a part of.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct PartNote {
    /// The hub's name for the bytes.
    hub_digest: Option<String>,
    /// The delivering server's name for them: only it understands it.
    etag: Option<String>,
}

/// Why an attempt ended early.
enum Broken {
    /// Worth another attempt.
    Again(HubError),
    Final(HubError),
}

/// What the reply promises about the whole file.
struct Promise {
    bytes: Option<u64>,
    sha256: Option<String>,
}

impl Fetch<'_> {
    fn asked(&self, file: &Sibling) -> String {
        format!("{} of {}", file.name, self.id)
    }

    pub async fn file(&self, file: &Sibling, url: &Url, tell: &mut Tell<'_>) -> Result<FileRecord, HubError> {
        let part = part_path(self.folder, &file.name);
        if let Some(parent) = part.parent() {
            fs::create_dir_all(parent).map_err(HubError::io(parent))?;
        }
        let (mut times, mut before) = (0, part_bytes(self.folder, file));
        let promise = loop {
            match self.attempt(file, url, &part, tell).await {
                Ok(promise) => break promise,
                Err(Broken::Final(error)) => return Err(error),
                Err(Broken::Again(error)) => {
                    let got = length(&part);
                    times = if got >= before + PROGRESS { 1 } else { times + 1 };
                    before = got;
                    if times >= self.attempts.max(1) {
                        return Err(match error {
                            HubError::Cut { asked, why, .. } => HubError::Cut { asked, times, got, why },
                            other => other,
                        });
                    }
                    tokio::time::sleep(self.pause * times).await;
                }
            }
        };
        self.prove(file, &part, &promise)
    }

    async fn attempt(&self, file: &Sibling, url: &Url, part: &Path, tell: &mut Tell<'_>) -> Result<Promise, Broken> {
        let have = part_bytes(self.folder, file);
        if have == 0 {
            let _ = fs::remove_file(part);
        }
        if let (Some(sha256), true) = (file.sha256(), file.bytes().is_some_and(|all| have == all && all > 0)) {
            return Ok(Promise { bytes: file.bytes(), sha256: Some(sha256) });
        }
        let (headers, from) = resume_headers(read_note(part), have, file.sha256().is_some());
        let opened = self.wire.open(&self.asked(file), &self.page, url.clone(), &headers).await.map_err(retry)?;
        let promise = self.promise(file, &opened).map_err(Broken::Final)?;
        let from = self.start(file, &opened.response, from, promise.bytes, part)?;
        let etag = header(&opened.response, "etag").filter(|tag| tag.starts_with('"'));
        write_note(part, &PartNote { hub_digest: file.hub_digest(), etag }).map_err(Broken::Final)?;
        self.stream(file, opened.response, part, from, promise.bytes, tell).await?;
        Ok(promise)
    }

    /// What the whole file must be: the listing's word, else the reply's.
    fn promise(&self, file: &Sibling, opened: &Opened) -> Result<Promise, HubError> {
        let linked = opened.linked_etag.clone().filter(|tag| is_sha256(tag));
        if let (Some(listed), Some(linked)) = (file.sha256(), &linked)
            && listed != *linked
        {
            return Err(self.wrong(file, "checksum that the server announces", linked.clone(), listed));
        }
        let sha256 = file.sha256().or(linked);
        let whole = (opened.response.status() == 200).then(|| opened.response.content_length()).flatten();
        Ok(Promise { bytes: file.bytes().or(opened.linked_size).or(whole), sha256 })
    }

    /// Where the reply begins: where the part ends, or at the front again.
    fn start(&self, file: &Sibling, reply: &Response, from: u64, whole: Option<u64>, part: &Path) -> Result<u64, Broken> {
        match reply.status().as_u16() {
            206 => {
                let range = header(reply, "content-range").and_then(|text| content_range(&text));
                match range {
                    Some((first, all)) if first == from && all.is_none_or(|all| whole.is_none_or(|w| w == all)) => Ok(from),
                    _ => Err(self.discard(file, part, "the server sent another piece than the one asked for")),
                }
            }
            416 => Err(self.discard(file, part, "the file is shorter than what had come")),
            _ => Ok(0),
        }
    }

    fn discard(&self, file: &Sibling, part: &Path, why: &str) -> Broken {
        forget(part);
        self.cut(file, 0, why.into())
    }

    fn cut(&self, file: &Sibling, got: u64, why: String) -> Broken {
        Broken::Again(HubError::Cut { asked: self.asked(file), times: 1, got, why })
    }

    async fn stream(
        &self,
        file: &Sibling,
        mut reply: Response,
        part: &Path,
        from: u64,
        whole: Option<u64>,
        tell: &mut Tell<'_>,
    ) -> Result<(), Broken> {
        let disk = |e| Broken::Final(HubError::io(part)(e));
        let mut out = OpenOptions::new().create(true).append(true).open(part).map_err(disk)?;
        out.set_len(from).map_err(disk)?;
        let mut got = from;
        loop {
            if tell(got, whole) == Gate::Stop {
                out.sync_all().map_err(disk)?;
                return Err(Broken::Final(HubError::Stopped { asked: self.asked(file), got }));
            }
            match reply.chunk().await {
                Ok(Some(chunk)) => {
                    got += chunk.len() as u64;
                    if let Some(all) = whole.filter(|all| got > *all) {
                        forget(part);
                        return Err(Broken::Final(self.wrong(file, "size", format!("over {all} bytes"), format!("{all} bytes"))));
                    }
                    out.write_all(&chunk).map_err(disk)?;
                }
                Ok(None) => break,
                Err(e) => return Err(self.cut(file, got, chain(e))),
            }
        }
        out.sync_all().map_err(disk)?;
        match whole {
            Some(all) if got < all => Err(self.cut(file, got, format!("{got} of {all} bytes came"))),
            _ => Ok(()),
        }
    }

    fn wrong(&self, file: &Sibling, what: &'static str, is: String, promised: String) -> HubError {
        HubError::Wrong { asked: self.asked(file), what, is, promised }
    }

    fn prove(&self, file: &Sibling, part: &Path, promise: &Promise) -> Result<FileRecord, HubError> {
        let (bytes, sha256) = hash(part).map_err(HubError::io(part))?;
        let wrong = match promise {
            Promise { bytes: Some(all), .. } if *all != bytes => {
                Some(self.wrong(file, "size", format!("{bytes} bytes"), format!("{all} bytes")))
            }
            Promise { sha256: Some(wanted), .. } if wanted != &sha256 => {
                Some(self.wrong(file, "checksum", sha256.clone(), wanted.clone()))
            }
            _ => None,
        };
        if let Some(error) = wrong {
            forget(part);
            return Err(error);
        }
        let path = self.folder.join(&file.name);
        fs::rename(part, &path).map_err(HubError::io(&path))?;
        forget(part);
        let proved_by = match (promise.sha256.is_some(), file.bytes()) {
            (true, _) => "sha256",
            (false, Some(_)) => "size",
            (false, None) => "length",
        };
        let (name, hub_digest) = (file.name.clone(), file.hub_digest());
        Ok(FileRecord { name, bytes, sha256: Digest::from_hex(sha256), proved_by: proved_by.into(), hub_digest })
    }
}

/// How many bytes of this very file are here already.
pub(super) fn part_bytes(folder: &Path, file: &Sibling) -> u64 {
    let part = part_path(folder, &file.name);
    let same = file.hub_digest().is_some() && read_note(&part).hub_digest == file.hub_digest();
    let bytes = length(&part);
    if same && file.bytes().is_none_or(|all| bytes <= all) { bytes } else { 0 }
}

/// A piece can be asked for where either end can tell that the file is still the same.
fn resume_headers(note: PartNote, have: u64, provable: bool) -> (HeaderMap, u64) {
    let mut headers = HeaderMap::new();
    let etag = note.etag.and_then(|tag| HeaderValue::from_str(&tag).ok());
    if have == 0 || (etag.is_none() && !provable) {
        return (headers, 0);
    }
    if let Ok(range) = HeaderValue::from_str(&format!("bytes={have}-")) {
        headers.insert(RANGE, range);
        etag.map(|tag| headers.insert(IF_RANGE, tag));
    }
    (headers, have)
}

/// First byte and whole size of `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, all) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, all.parse().ok()))
}

fn retry(error: HubError) -> Broken {
    let passing = match &error {
        HubError::Unreachable { .. } => true,
        HubError::Status { status, .. } => *status >= 500 || [408, 429].contains(status),
        _ => false,
    };
    if passing { Broken::Again(error) } else { Broken::Final(error) }
}

fn part_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.part"))
}

fn note_path(part: &Path) -> PathBuf {
    part.with_extension("part.json")
}

fn read_note(part: &Path) -> PartNote {
    fs::read(note_path(part)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn write_note(part: &Path, note: &PartNote) -> Result<(), HubError> {
    let path = note_path(part);
    fs::write(&path, serde_json::to_vec(note).unwrap_or_default()).map_err(HubError::io(&path))
}

fn forget(part: &Path) {
    // Either may be gone already; a note without its part is never believed.
    let _ = fs::remove_file(part);
    let _ = fs::remove_file(note_path(part));
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

fn hash(path: &Path) -> std::io::Result<(u64, String)> {
    let (mut file, mut hasher, mut buffer, mut bytes) = (File::open(path)?, Sha256::new(), vec![0; 1 << 18], 0);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        bytes += n as u64;
        hasher.update(&buffer[..n]);
    }
    let hex = hasher.finalize().into_iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|d| char::from_digit(u32::from(d), 16));
    Ok((bytes, hex.collect()))
}

//! Pulling models from a hub on this machine: whole, interrupted, changed, refused, lied to.

#[path = "hub/stub.rs"]
mod stub;

use std::fs;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use stratos::domain::{Gate, UnixMillis};
use stratos::student::hub::{Hub, HubError, HubId, ModelRecord, PullOptions, PullProgress, Pulled};
use stub::{Stub, sha256};

const WEIGHTS: &str = "model.safetensors";

fn weights() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn stub() -> Stub {
    Stub::start(&[
        ("config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{\"model\":1}".to_vec()),
        ("README.md", b"hello".to_vec()),
        (WEIGHTS, weights()),
    ])
}

fn id() -> HubId {
    "owner/tiny".parse().expect("an id")
}

/// One broken connection ends the pull, and nobody waits.
fn options() -> PullOptions {
    PullOptions { attempts: 1, pause: Duration::ZERO, ..PullOptions::new(UnixMillis(7), |_| None) }
}

fn pull_with(stub: &Stub, cache: &Path, options: &PullOptions) -> Result<Pulled, HubError> {
    Hub::new(&stub.url, None)?.pull_blocking(&id(), cache, options, &mut |_| Gate::Continue)
}

fn pull(stub: &Stub, cache: &Path) -> Result<Pulled, HubError> {
    pull_with(stub, cache, &options())
}

fn cache() -> tempfile::TempDir {
    tempfile::tempdir().expect("temp dir")
}

fn has_leftovers(folder: &Path) -> bool {
    let names = fs::read_dir(folder).expect("lists").flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    names.into_iter().any(|name| name.contains(".part") || name.contains(".tmp"))
}

#[test]
fn a_pull_brings_what_a_student_needs_with_a_record_and_progress() {
    let (stub, cache) = (stub(), cache());
    let mut told: Vec<(String, u64, u64)> = Vec::new();
    let mut tell = |p: PullProgress<'_>| {
        told.push((p.file.to_owned(), p.done, p.total));
        Gate::Continue
    };
    let hub = Hub::new(&stub.url, None).expect("hub");
    let pulled = hub.pull_blocking(&id(), cache.path(), &options(), &mut tell).expect("pulls");
    let folder = cache.path().join("owner--tiny@main");
    assert_eq!((&pulled.base, &pulled.folder), (&folder, &folder));
    assert_eq!(fs::read(folder.join(WEIGHTS)).expect("weights"), weights());
    assert!(!folder.join("README.md").exists() && !has_leftovers(&folder));
    let record = ModelRecord::read(&folder).expect("a record");
    assert_eq!((record.commit.as_str(), record.complete, record.pulled_at), ("c0ffee1", true, UnixMillis(7)));
    let file = record.file(WEIGHTS).expect("recorded");
    assert_eq!((file.sha256.as_str(), file.proved_by.as_str()), (sha256(&weights()).as_str(), "sha256"));
    assert_eq!(record.file("config.json").expect("recorded").proved_by, "size");
    let all = 2 + 11 + weights().len() as u64;
    assert_eq!(told.last(), Some(&(WEIGHTS.to_owned(), all, all)));
    assert!(told.is_sorted_by_key(|t| t.1) && told.iter().all(|t| t.2 == all), "progress never runs back");
    assert!(stub.seen("/resolve/").iter().all(|s| s.path.contains("/resolve/c0ffee1/")), "files come by commit");
}

#[test]
fn a_complete_model_is_not_asked_for_again() {
    let (stub, cache) = (stub(), cache());
    pull(&stub, cache.path()).expect("pulls");
    let before = stub.requests();
    assert_eq!(pull(&stub, cache.path()).expect("is there").downloaded, 0);
    assert_eq!(stub.requests(), before);
    let refreshed = pull_with(&stub, cache.path(), &PullOptions { refresh: true, ..options() }).expect("is there");
    assert_eq!((refreshed.downloaded, stub.requests()), (0, before + 1));
}

#[test]
fn a_pull_that_was_cut_goes_on_from_the_byte_where_it_stopped() {
    let (stub, cache) = (stub(), cache());
    stub.set(|s| s.cuts = [2, 11, 300_000].into());
    let error = pull(&stub, cache.path()).expect_err("cut").to_string();
    assert!(error.contains("300000 bytes") && error.contains("pull again"), "{error}");
    let pulled = pull(&stub, cache.path()).expect("goes on");
    assert_eq!(pulled.downloaded, weights().len() as u64 - 300_000);
    assert_eq!(fs::read(pulled.folder.join(WEIGHTS)).expect("weights"), weights());
    let asked = stub.seen(WEIGHTS);
    assert_eq!(asked[1].headers.get("range").map(String::as_str), Some("bytes=300000-"));
    assert!(asked[1].headers["if-range"].starts_with("\"tag-"), "the store's own tag is given back");
    assert_eq!(stub.seen("config.json").len(), 1, "what was proved is not pulled twice");
}

#[test]
fn broken_connections_are_mended_within_one_pull() {
    let (stub, cache) = (stub(), cache());
    stub.set(|s| s.cuts = [2, 11, 1000, 1000, 0].into());
    let pulled = pull_with(&stub, cache.path(), &PullOptions { attempts: 4, ..options() }).expect("pulls");
    assert_eq!(fs::read(pulled.folder.join(WEIGHTS)).expect("weights"), weights());
    let ranges: Vec<_> = stub.seen(WEIGHTS).iter().filter_map(|s| s.headers.get("range").cloned()).collect();
    assert_eq!(ranges, ["bytes=1000-", "bytes=2000-", "bytes=2000-"]);
}

#[test]
fn a_file_that_changed_at_the_hub_begins_at_the_front() {
    let (stub, cache) = (stub(), cache());
    stub.set(|s| s.cuts = [2, 11, 300_000].into());
    pull(&stub, cache.path()).expect_err("cut");
    let newer: Vec<u8> = weights().into_iter().rev().collect();
    stub.set(|s| {
        s.files.insert(WEIGHTS.into(), newer.clone());
        s.commit = "beef2".into();
    });
    let pulled = pull(&stub, cache.path()).expect("pulls the new one");
    assert_eq!(fs::read(pulled.folder.join(WEIGHTS)).expect("weights"), newer);
    assert_eq!(pulled.record.commit, "beef2");
    assert!(!stub.seen(WEIGHTS)[1].headers.contains_key("range"));
}

#[test]
fn a_store_that_changed_its_tag_sends_the_whole_file_and_it_is_taken_so() {
    let (stub, cache) = (stub(), cache());
    stub.set(|s| s.cuts = [2, 11, 300_000].into());
    pull(&stub, cache.path()).expect_err("cut");
    let note = cache.path().join("owner--tiny@main").join(format!("{WEIGHTS}.part.json"));
    let text = fs::read_to_string(&note).expect("a note").replace("tag-", "older-");
    fs::write(&note, text).expect("writes");
    let pulled = pull(&stub, cache.path()).expect("pulls");
    assert_eq!(fs::read(pulled.folder.join(WEIGHTS)).expect("weights"), weights());
    assert_eq!(pulled.record.file(WEIGHTS).map(|f| f.bytes), Some(weights().len() as u64));
}

#[test]
fn wrong_bytes_are_thrown_away_and_named() {
    let (stub, cache) = (stub(), cache());
    stub.set(|s| s.spoil = Some(WEIGHTS.into()));
    let error = pull(&stub, cache.path()).expect_err("spoilt").to_string();
    assert!(error.contains("checksum") && error.contains(&sha256(&weights())) && error.contains("pull again"), "{error}");
    let folder = cache.path().join("owner--tiny@main");
    assert!(!folder.join(WEIGHTS).exists() && !has_leftovers(&folder));
    stub.set(|s| s.spoil = None);
    assert!(pull(&stub, cache.path()).is_ok());
}

#[test]
fn a_file_of_the_wrong_size_is_refused() {
    let (stub, cache) = (stub(), cache());
    let store = Stub::start(&[(WEIGHTS, [weights(), vec![0; 9]].concat())]);
    stub.set(|s| s.store = Some(store.url.clone()));
    let error = pull(&stub, cache.path()).expect_err("too long").to_string();
    assert!(error.contains("the size is over 800000 bytes"), "{error}");
    assert!(!has_leftovers(&cache.path().join("owner--tiny@main")));
}

#[test]
fn the_token_stays_with_the_hub_when_it_sends_us_on() {
    let (stub, cache) = (stub(), cache());
    let store = Stub::start(&[(WEIGHTS, weights())]);
    stub.set(|s| s.store = Some(store.url.clone()));
    let hub = Hub::new(&stub.url, Some(SecretString::from("hf_secret_token"))).expect("hub");
    hub.pull_blocking(&id(), cache.path(), &options(), &mut |_| Gate::Continue).expect("pulls");
    assert!(stub.seen("").iter().all(|s| s.headers["authorization"] == "Bearer hf_secret_token"));
    let there = store.seen("");
    assert!(there.len() == 1 && !there[0].headers.contains_key("authorization"));
}

#[test]
fn every_refusal_says_what_was_asked_of_whom_and_what_next() {
    let table = [
        (401, None, "set HF_TOKEN"),
        (401, Some("hf_secret_token"), "check that token"),
        (403, Some("hf_secret_token"), "accept its conditions at"),
        (404, None, "does not know it"),
        (503, None, "pull again later"),
    ];
    for (status, token, wanted) in table {
        let (stub, cache) = (stub(), cache());
        stub.set(|s| s.refuse = Some(status));
        let hub = Hub::new(&stub.url, token.map(SecretString::from)).expect("hub");
        let error = hub.pull_blocking(&id(), cache.path(), &options(), &mut |_| Gate::Continue).expect_err("refused").to_string();
        for part in [wanted, "owner/tiny", &stub.url, "set student.base"] {
            assert!(error.contains(part), "{status}: '{part}' is not in: {error}");
        }
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_hub_that_cannot_be_reached_says_how_to_go_on_offline() {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port").port();
    let hub = Hub::new(&format!("http://127.0.0.1:{port}"), None).expect("hub");
    let error = hub.pull_blocking(&id(), cache().path(), &options(), &mut |_| Gate::Continue).expect_err("nobody").to_string();
    for part in ["owner/tiny", &port.to_string(), "HF_ENDPOINT", "copy the model's folder", "student.base"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn file_names_that_leave_the_folder_write_nothing() {
    for name in ["../../evil.json", "/tmp/evil.json", "..\\evil.json"] {
        let (stub, cache) = (stub(), cache());
        stub.set(|s| s.odd_names = vec![name.into()]);
        let error = pull(&stub, cache.path()).expect_err(name);
        assert!(matches!(error, HubError::FileName { .. }), "{error}");
        assert!(stub.seen("/resolve/").is_empty() && !cache.path().join("owner--tiny@main/config.json").exists());
    }
}

#[test]
fn too_little_space_is_said_before_anything_is_begun() {
    let (stub, cache) = (stub(), cache());
    let options = PullOptions { free_bytes: |_| Some(1 << 20), ..options() };
    let error = pull_with(&stub, cache.path(), &options).expect_err("no space").to_string();
    assert!(error.contains("only 1 MiB are free") && error.contains("Free some"), "{error}");
    assert!(stub.seen("/resolve/").is_empty());
}

#[test]
fn a_stop_keeps_what_has_come() {
    let (stub, cache) = (stub(), cache());
    let hub = Hub::new(&stub.url, None).expect("hub");
    let mut stop = |p: PullProgress<'_>| if p.file == WEIGHTS && p.file_done > 0 { Gate::Stop } else { Gate::Continue };
    let error = hub.pull_blocking(&id(), cache.path(), &options(), &mut stop).expect_err("stopped");
    let HubError::Stopped { got, .. } = error else { panic!("{error}") };
    let pulled = pull(&stub, cache.path()).expect("goes on");
    assert_eq!(pulled.downloaded, weights().len() as u64 - got);
}

#[test]
fn a_gguf_file_is_pulled_by_a_part_of_its_name() {
    let cache = cache();
    let stub = Stub::start(&[("m-Q8_0.gguf", b"GGUF8".to_vec()), ("m-Q4_0.gguf", b"GGUF4".to_vec())]);
    let options = PullOptions { gguf: Some("q8_0".into()), ..options() };
    let pulled = pull_with(&stub, cache.path(), &options).expect("pulls");
    assert_eq!(pulled.base, pulled.folder.join("m-Q8_0.gguf"));
    assert_eq!(fs::read(&pulled.base).expect("reads"), b"GGUF8");
    assert!(!pulled.folder.join("m-Q4_0.gguf").exists());
    assert_eq!(pull_with(&stub, cache.path(), &options).expect("is there").downloaded, 0);
}

#[test]
fn an_address_that_would_betray_the_token_is_refused() {
    for endpoint in ["http://hub.example.com", "http://127.evil.example.com"] {
        let error = Hub::new(endpoint, Some(SecretString::from("hf_secret_token"))).err().expect("refused").to_string();
        assert!(error.contains("in the clear") && !error.contains("secret"), "{error}");
    }
    let error = Hub::new("https://me:pass@hub.example.com", None).err().expect("refused").to_string();
    assert!(error.contains("no user") && !error.contains("pass@"), "{error}");
}

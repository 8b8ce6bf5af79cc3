//! Ollama as a place to release to: what is sent, what is proved, and clear words when the server is not what it should be.

mod ollama_stub;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use ollama_stub::{ANSWER, Fault, Stub, codec};
use stratos::deploy::modelfile::{self, Modelfile};
use stratos::deploy::ollama::{Ollama, OllamaError, Smoke, Told};
use stratos::domain::recipe::Sampling;
use stratos::domain::{ChatMessage, Recipe, Role};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(stub: &Stub) -> Ollama {
    Ollama::connect(&stub.url, PATIENCE).expect("a server that answers")
}

/// A GGUF of version 3 without keys and tensors, which Ollama makes a model of; a little larger than the pieces it is sent in.
fn gguf(folder: &tempfile::TempDir, fill: u8) -> PathBuf {
    let path = folder.path().join("model-q8_0.gguf");
    let mut bytes = [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &[0; 16]].concat();
    bytes.resize((5 << 20) + 7, fill);
    std::fs::write(&path, bytes).expect("written");
    path
}

fn sampling() -> Sampling {
    Recipe::from_toml(include_str!("../data/recipes/stratos-v19.toml")).expect("sound").sampling
}

fn written() -> Modelfile {
    let codec = codec();
    let end = codec.tokenizer.end_name();
    let sampling = sampling();
    let spec = modelfile::Spec {
        about: Vec::new(),
        from: "./model-q8_0.gguf".into(),
        template: &codec.template,
        bos: None,
        terminator: &end,
        sampling: &sampling,
        lengths: modelfile::Lengths::measured(&[100; 40], 700).expect("measured"),
    };
    Modelfile::read(&spec.write().expect("written")).expect("read")
}

fn make(ollama: &Ollama, tag: &str, fill: u8) -> Result<(stratos::deploy::ollama::Made, Vec<Told>), OllamaError> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut told = Vec::new();
    let made = ollama.release("stratos", tag, &gguf(&folder, fill), &written(), &mut |t| {
        told.push(t);
        ControlFlow::Continue(())
    });
    made.map(|made| (made, told))
}

fn refused(fault: Fault) -> String {
    let stub = Stub::start(fault);
    let error = make(&connect(&stub), "r1", 1).expect_err("a fault").to_string();
    assert!(!error.chars().any(char::is_control), "{error:?}");
    error
}

#[test]
fn a_release_is_made_of_the_gguf_and_the_modelfile() {
    let stub = Stub::start(Fault::None);
    let ollama = connect(&stub);
    let (made, told) = make(&ollama, "r1", 1).expect("made");
    assert_eq!(made.model, "stratos:r1");
    assert_eq!(stub.models(), [("stratos:r1".to_owned(), made.digest.clone())]);
    let body = stub.posted("/api/create").remove(0);
    assert_eq!(body["files"]["model-q8_0.gguf"], made.weights.name());
    assert_eq!(body["parameters"]["temperature"], 0.6);
    assert_eq!(body["parameters"]["num_predict"], 150);
    assert_eq!(body["parameters"]["num_ctx"], 1024);
    assert_eq!(body["parameters"]["stop"], serde_json::json!(["<|im_end|>"]));
    let shown = ollama.show("stratos:r1").expect("shown");
    assert_eq!(Some(shown.template.as_str()), written().template());
    let done: Vec<u64> =
        told.iter().filter_map(|t| if let Told::Uploading { done, .. } = t { Some(*done) } else { None }).collect();
    assert_eq!((done.first(), done.last()), (Some(&0), Some(&made.weights.size)));
    assert!(done.is_sorted() && done.len() > 4, "{done:?}");
    assert_eq!(told.last(), Some(&Told::Status("success".into())));
}

#[test]
fn bytes_that_the_server_has_are_not_sent_again() {
    let stub = Stub::start(Fault::None);
    let ollama = connect(&stub);
    make(&ollama, "r1", 1).expect("made");
    let (made, told) = make(&ollama, "r2", 1).expect("made");
    assert_eq!(told.first(), Some(&Told::Known { bytes: made.weights.size }));
    assert_eq!(stub.asked().iter().filter(|a| *a == "POST /api/blobs").count(), 1);
}

#[test]
fn switching_and_rolling_back_serve_another_release_under_one_name() {
    let stub = Stub::start(Fault::None);
    let ollama = connect(&stub);
    let (first, second) = (make(&ollama, "r1", 1).expect("made").0, make(&ollama, "r2", 2).expect("made").0);
    assert_ne!(first.digest, second.digest);
    let served = ollama.switch("stratos", "r1").expect("switched");
    assert_eq!((served.model.as_str(), served.digest.as_str(), served.before), ("stratos:latest", first.digest.as_str(), None));
    let served = ollama.switch("stratos", "r2").expect("switched");
    assert_eq!((served.digest.as_str(), served.before), (second.digest.as_str(), Some(first.digest.clone())));
    let back = ollama.switch("stratos", "r1").expect("rolled back");
    assert_eq!((back.digest.as_str(), back.before), (first.digest.as_str(), Some(second.digest)));
    ollama.check_pinned("stratos", &first.digest).expect("pinned");
    let error = ollama.switch("stratos", "r9").expect_err("no such release").to_string();
    assert!(error.contains("404") && error.contains("r9") && error.contains("ollama list"), "{error}");
    ollama.delete("stratos:r2").expect("deleted");
    assert_eq!(ollama.digest("stratos:r2").expect("asked"), None);
    assert_eq!(ollama.models().expect("listed").len(), 2);
}

#[test]
fn a_model_that_was_made_anew_is_not_taken_for_the_pinned_one() {
    let stub = Stub::start(Fault::None);
    let ollama = connect(&stub);
    let pinned = make(&ollama, "r1", 1).expect("made").0.digest;
    make(&ollama, "r1", 2).expect("made anew");
    let error = ollama.check_pinned("stratos:r1", &pinned).expect_err("another").to_string();
    assert!(error.contains("S6") && error.contains(&pinned[..12]), "{error}");
    assert!(ollama.check_pinned("stratos:r7", &pinned).expect_err("nothing").to_string().contains("as nothing"));
}

#[test]
fn the_smoke_question_counts_what_the_server_read() {
    let codec = codec();
    let messages = [ChatMessage::new(Role::System, "the reader of news"), ChatMessage::new(Role::User, "the article of the row")];
    let prompt = codec.template.render(&messages, true).expect("rendered");
    let tokens = codec.tokenizer.encode(&prompt).expect("tokens").len();
    let ask = |fault: Fault, tokens: usize, prompt: &str| {
        let stub = Stub::start(fault);
        let ollama = connect(&stub);
        make(&ollama, "r1", 1).expect("made");
        let sampling = sampling();
        let smoked = ollama.smoke("stratos:r1", &Smoke { prompt, tokens, sampling: &sampling, seed: 7 });
        (smoked, ollama.running().expect("listed"))
    };
    let (smoked, running) = ask(Fault::None, tokens, &prompt);
    let smoked = smoked.expect("answered");
    assert_eq!((smoked.text.as_str(), smoked.full), (ANSWER, false));
    assert_eq!((running.len(), running[0].name.as_str(), running[0].context_length), (1, "stratos:r1", 1024));

    let error = ask(Fault::OtherTokens, tokens, &prompt).0.expect_err("other tokens").to_string();
    assert!(error.contains("S2") && error.contains(&(tokens + 3).to_string()), "{error}");
    let long = prompt.repeat(60);
    let tokens = codec.tokenizer.encode(&long).expect("tokens").len();
    let error = ask(Fault::None, tokens, &long).0.expect_err("cut").to_string();
    assert!(error.contains("S8") && error.contains("read 1024") && error.contains("num_ctx"), "{error}");
}

#[test]
fn the_templates_of_both_sides_are_one() {
    let codec = codec();
    let messages = [ChatMessage::new(Role::System, "a reader"), ChatMessage::new(Role::User, "an article")];
    let ours = codec.template.render(&messages, true).expect("rendered");
    let theirs = modelfile::render(written().template().expect("a template"), &messages).expect("rendered");
    assert_eq!(theirs, ours);
}

#[test]
fn whoever_listens_can_end_it() {
    let stub = Stub::start(Fault::None);
    let ollama = connect(&stub);
    let folder = tempfile::tempdir().expect("a folder");
    let path = gguf(&folder, 1);
    let stopped = ollama.release("stratos", "r1", &path, &written(), &mut |told| match told {
        Told::Uploading { done, .. } if done > 1 << 20 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(OllamaError::Stopped)));
    assert!(stub.models().is_empty());
    make(&ollama, "r1", 1).expect("made after all");
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do() {
    for (fault, words) in [
        (Fault::FullDisk, vec!["500", "no space left", "full disk"]),
        (Fault::CreateFails, vec!["/api/create", "gave up", "failed", "kept"]),
        (Fault::CreateCut, vec!["ended before it said success"]),
        (Fault::Garbage, vec!["cannot be read", "Is it an Ollama"]),
        (Fault::HugeBody, vec!["does not end"]),
    ] {
        let error = refused(fault);
        for word in words {
            assert!(error.contains(word), "{fault:?}: '{word}' is not in: {error}");
        }
    }
    let stub = Stub::start(Fault::Silent);
    let ollama = Ollama::connect(&stub.url, Duration::from_millis(80)).expect("it has a version");
    let error = ollama.models().expect_err("silence").to_string();
    assert!(error.contains("said nothing for 0.08 s"), "{error}");
    let huge = Stub::start(Fault::HugeBody);
    let error = connect(&huge).models().expect_err("too much").to_string();
    assert!(error.contains("longer than 32 MiB"), "{error}");
    let url = stub.url.clone();
    drop(stub);
    let error = Ollama::connect(&url, PATIENCE).expect_err("gone").to_string();
    assert!(error.contains("ollama serve") && error.contains("[deploy]"), "{error}");
}

#[test]
fn names_that_ollama_would_read_otherwise_are_refused_before_anything_is_sent() {
    let stub = Stub::start(Fault::None);
    let ollama = connect(&stub);
    for name in ["", "a:b", "a/b", "-x", "\u{1b}[2J", "ü"] {
        let error = ollama.switch(name, "r1").expect_err(name).to_string();
        assert!(error.contains("no name") && !error.contains('\u{1b}'), "{error}");
    }
    assert_eq!(stub.asked(), ["GET /api/version"]);
}

#[test]
fn weights_that_are_none_are_refused_by_the_server() {
    let stub = Stub::start(Fault::None);
    let ollama = connect(&stub);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.gguf");
    std::fs::write(&path, "no weights").expect("written");
    let error = ollama.release("stratos", "r1", &path, &written(), &mut |_| ControlFlow::Continue(())).expect_err("refused");
    assert!(error.to_string().contains("not in GGUF format"), "{error}");
    let missing = folder.path().join("gone.gguf");
    let error = ollama.release("stratos", "r1", &missing, &written(), &mut |_| ControlFlow::Continue(())).expect_err("refused");
    assert!(error.to_string().contains("gone.gguf"), "{error}");
}

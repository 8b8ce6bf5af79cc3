//! Servers that write the student's answers: right rows under concurrency, and clear words when a server is not what it should be.

mod servers;

use std::collections::HashMap;
use std::ops::ControlFlow;

use servers::{Fault, Program, Script, Server, student};
use stratos::domain::recipe::Sampling;
use stratos::domain::{ChatMessage, Digest, Role};
use stratos::scorer::{self, Scorer, ScorerError};
use stratos::student::{Generated, Prompt, Stop};
use stratos::workspace::{ScoringChoice, ServerKind};

const BOTH: [Program; 2] = [Program::LlamaCpp, Program::Ollama];

fn choice(program: Program, url: &str) -> ScoringChoice {
    let model = (program == Program::Ollama).then(|| "toy".to_owned());
    ScoringChoice { server: Some(url.to_owned()), model, parallel: Some(3), ..ScoringChoice::default() }
}

fn open(choice: &ScoringChoice) -> Result<Box<dyn Scorer + Send>, ScorerError> {
    let folder = tempfile::tempdir().expect("a folder");
    scorer::open(choice, &student(folder.path()), &Digest::of("student"))
}

fn scorer_of(script: Script) -> (Server, Box<dyn Scorer>) {
    let program = script.program;
    let server = Server::start(script);
    let scorer = open(&choice(program, &server.url)).expect("a server that is found");
    (server, scorer)
}

fn rules() -> Sampling {
    Sampling {
        temperature: 0.6,
        top_p: 0.95,
        top_k: 20,
        max_new_tokens: 60,
        repeat_penalty: 1.1,
        temperature_floor: 0.5,
        stop: Vec::new(),
    }
}

/// Rows of two readers, in turns.
fn prompts(count: usize) -> Vec<Prompt> {
    let prompt = |i: usize| Prompt {
        id: format!("row-{i}"),
        messages: vec![
            ChatMessage::new(Role::System, ["the reader of news", "another reader"][i % 2]),
            ChatMessage::new(Role::User, format!("the article {i}.")),
        ],
    };
    (0..count).map(prompt).collect()
}

fn ask(scorer: &dyn Scorer, count: usize) -> Result<Vec<Generated>, ScorerError> {
    scorer.answer(&prompts(count), &rules(), 19, &mut |_| ControlFlow::Continue(()))
}

fn error(script: Script) -> String {
    let (_server, scorer) = scorer_of(script);
    ask(scorer.as_ref(), 4).expect_err("a server that misbehaves").to_string()
}

fn assert_says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "'{word}' is not in: {error}");
    }
    assert!(!error.chars().any(char::is_control), "{error:?}");
}

#[test]
fn answers_belong_to_their_rows_though_many_are_under_way() {
    for program in BOTH {
        let (server, scorer) = scorer_of(Script { program, together: 3, ..Script::default() });
        let mut heard = Vec::new();
        let rows = scorer.answer(&prompts(12), &rules(), 19, &mut |row| {
            heard.push(row.id.clone());
            ControlFlow::Continue(())
        });
        for (i, row) in rows.expect("answers").iter().enumerate() {
            assert_eq!((row.id.as_str(), row.stop), (format!("row-{i}").as_str(), Stop::End));
            assert_eq!(row.text, format!("SCORE: {}.5 | REASON: row {i}.", i % 10));
            assert!(row.tokens > 5 && row.prompt_tokens > 5);
        }
        assert_eq!(heard.len(), 12);
        drop(server);
    }
}

#[test]
fn the_prompts_of_one_reader_are_sent_one_after_the_other() {
    let server = Server::start(Script::default());
    let scorer = open(&ScoringChoice { parallel: Some(1), ..choice(Program::LlamaCpp, &server.url) }).expect("found");
    ask(scorer.as_ref(), 8).expect("answers");
    let starts: Vec<Vec<u64>> =
        server.posted("/completion").iter().map(|body| serde_json::from_value(body["prompt"].clone()).expect("ids")).collect();
    let changes = starts.windows(2).filter(|pair| pair[0][..8] != pair[1][..8]).count();
    assert_eq!(changes, 1);
}

#[test]
fn requests_carry_the_recipes_sampling_and_a_seed_of_the_row_alone() {
    let (server, scorer) = scorer_of(Script::default());
    ask(scorer.as_ref(), 2).expect("answers");
    let few: HashMap<String, u64> = seeds(&server);
    ask(scorer.as_ref(), 6).expect("answers");
    assert!(few.iter().all(|(prompt, seed)| seeds(&server)[prompt] == *seed && *seed < 1 << 31));
    let body = server.posted("/completion").remove(0);
    assert_eq!(
        (body["temperature"].as_f64(), body["top_k"].as_u64(), body["n_predict"].as_u64()),
        (Some(0.6), Some(20), Some(60))
    );
    assert_eq!((body["cache_prompt"].as_bool(), body["min_p"].as_f64()), (Some(true), Some(0.0)));

    let (server, scorer) = scorer_of(Script { program: Program::Ollama, ..Script::default() });
    ask(scorer.as_ref(), 2).expect("answers");
    let body = server.posted("/api/generate").pop().expect("asked");
    assert_eq!(
        (body["raw"].as_bool(), body["model"].as_str(), body["stream"].as_bool()),
        (Some(true), Some("toy:latest"), Some(false))
    );
    assert_eq!((body["options"]["num_predict"].as_u64(), body["options"]["num_ctx"].as_u64()), (Some(60), Some(2048)));
}

fn seeds(server: &Server) -> HashMap<String, u64> {
    let posted = server.posted("/completion");
    posted.iter().map(|body| (body["prompt"].to_string(), body["seed"].as_u64().expect("a seed"))).collect()
}

#[test]
fn the_expected_score_is_weighted_by_the_servers_probabilities() {
    let (_server, scorer) = scorer_of(Script::default());
    let rows = ask(scorer.as_ref(), 8).expect("answers");
    // 7.5 was drawn: 7 with 3/4 and 6 with 1/4, then .5 and .4.
    let expected = rows[7].expected_score.expect("a score");
    assert!((expected - (6.75 + 0.475)).abs() < 1e-3, "{expected}");
}

#[test]
fn a_loop_is_cut_and_marked() {
    for program in BOTH {
        let (_server, scorer) = scorer_of(Script { program, answer: |_| "the news ".repeat(200), ..Script::default() });
        let row = ask(scorer.as_ref(), 1).expect("an answer").remove(0);
        assert_eq!(row.stop, Stop::Loop);
        assert!(row.tokens < 80 && row.text.len() < 400, "{row:?}");
    }
}

#[test]
fn an_answer_that_ollama_ends_as_a_loop_costs_no_other_its_score() {
    let (_server, scorer) = scorer_of(Script { program: Program::Ollama, fault: Fault::AbortsLoop, ..Script::default() });
    let rows = ask(scorer.as_ref(), 3).expect("answers");
    assert_eq!(rows.iter().map(|row| row.stop).collect::<Vec<_>>(), [Stop::End, Stop::Loop, Stop::End]);
    assert!(rows[2].text.starts_with("SCORE: 2.5"), "{:?}", rows[2]);
}

#[test]
fn a_stop_string_is_cut_off() {
    for program in BOTH {
        let (_server, scorer) = scorer_of(Script { program, ..Script::default() });
        let rules = Sampling { stop: vec![" |".into()], ..rules() };
        let rows = scorer.answer(&prompts(1), &rules, 19, &mut |_| ControlFlow::Continue(())).expect("an answer");
        assert_eq!(rows[0].text, "SCORE: 0.5");
    }
}

#[test]
fn a_break_ends_the_whole_with_what_is_finished() {
    let (_server, scorer) = scorer_of(Script::default());
    let rows = scorer.answer(&prompts(9), &rules(), 19, &mut |_| ControlFlow::Break(())).expect("an answer");
    assert_eq!(rows.len(), 1);
}

#[test]
fn the_kind_is_found_by_asking_and_the_runtime_says_who_answers() {
    let (_server, llama) = scorer_of(Script::default());
    assert_eq!(llama.runtime().to_string(), "llama.cpp b1234-abc Q8_0 server 127.0.0.1");
    let (_server, ollama) = scorer_of(Script { program: Program::Ollama, ..Script::default() });
    assert_eq!(ollama.runtime().to_string(), "ollama 0.99.1 Q4_K_M server 127.0.0.1");
    let embedded = open(&ScoringChoice::default()).expect("the embedded engine");
    let digests = [llama.digest(), ollama.digest(), embedded.digest()];
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

#[test]
fn a_server_that_still_loads_is_waited_for() {
    let (_server, scorer) = scorer_of(Script { fault: Fault::Loads(2), ..Script::default() });
    assert_eq!(ask(scorer.as_ref(), 2).expect("answers").len(), 2);
}

#[test]
fn a_stranger_is_named_and_so_is_a_port_where_nobody_listens() {
    let server = Server::start(Script { program: Program::Stranger, ..Script::default() });
    let url = server.url.clone();
    assert_says(
        &open(&choice(Program::LlamaCpp, &url)).err().expect("a stranger").to_string(),
        &[&url, "neither", "/api/version: 404"],
    );
    drop(server);
    let gone = open(&choice(Program::LlamaCpp, &url)).err().expect("nobody").to_string();
    assert_says(&gone, &[&url, "llama-server -m", "ollama serve", "embedded"]);
    let forced = ScoringChoice { kind: Some(ServerKind::Ollama), ..choice(Program::Ollama, &url) };
    let gone = open(&forced).err().expect("nobody").to_string();
    assert!(gone.contains("ollama serve") && !gone.contains("llama-server"), "{gone}");
}

#[test]
fn another_model_than_the_one_named_is_refused() {
    for program in BOTH {
        let server = Server::start(Script { program, ..Script::default() });
        let choice = ScoringChoice { model: Some("other".into()), ..choice(program, &server.url) };
        assert_says(&open(&choice).err().expect("another").to_string(), &["toy", "'other'"]);
    }
}

#[test]
fn a_server_that_reads_other_tokens_is_refused_by_guard_t11() {
    for program in BOTH {
        let words = error(Script { program, fault: Fault::OtherTokens, ..Script::default() });
        assert_says(&words, &["T11", "row-0", "tokens"]);
    }
}

#[test]
fn a_cut_prompt_is_refused() {
    for program in BOTH {
        let words = error(Script { program, fault: Fault::CutsPrompts, ..Script::default() });
        assert_says(&words, &["cut", "it read", "row-"]);
    }
    let words = error(Script { context: 64, ..Script::default() });
    assert_says(&words, &["room for 64", "-c 768", "-np 3"]);
}

#[test]
fn a_server_that_dies_in_the_middle_is_named_with_what_was_answered() {
    for program in BOTH {
        let (_server, scorer) = scorer_of(Script { program, fault: Fault::DiesAfter(5), ..Script::default() });
        let mut heard = 0;
        let end = scorer.answer(&prompts(20), &rules(), 19, &mut |_| {
            heard += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(heard, 5);
        let start = if program == Program::Ollama { "ollama serve" } else { "llama-server" };
        assert_says(&end.expect_err("gone").to_string(), &["5 of 20", start]);
    }
}

#[test]
fn a_passing_error_is_tried_again_and_a_lasting_one_told_without_control_characters() {
    let (_server, scorer) = scorer_of(Script { fault: Fault::Errors(2), ..Script::default() });
    assert_eq!(ask(scorer.as_ref(), 1).expect("the third try").len(), 1);
    for program in BOTH {
        assert_says(
            &error(Script { program, fault: Fault::Errors(usize::MAX), ..Script::default() }),
            &["500", "out of [2Jmemory", "log"],
        );
    }
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    for program in BOTH {
        let server = Server::start(Script { program, fault: Fault::NeverAnswers, ..Script::default() });
        let choice = ScoringChoice { timeout_seconds: 0.3, ..choice(program, &server.url) };
        let scorer = open(&choice).expect("found");
        assert_says(&ask(scorer.as_ref(), 4).expect_err("silence").to_string(), &["0.3 s", "timeout_seconds"]);
    }
}

#[test]
fn garbage_and_endless_replies_are_refused() {
    for program in BOTH {
        assert_says(&error(Script { program, fault: Fault::Garbage, ..Script::default() }), &["cannot be read"]);
        assert_says(&error(Script { program, fault: Fault::HugeBody, ..Script::default() }), &["longer than 32 MiB"]);
    }
}

#[test]
fn without_a_students_folder_it_says_what_is_missing() {
    let server = Server::start(Script::default());
    let folder = tempfile::tempdir().expect("a folder");
    let error = scorer::open(&choice(Program::LlamaCpp, &server.url), folder.path(), &Digest::of("student"));
    assert_says(&error.err().expect("no student").to_string(), &["tokenizer and chat template", "stratos run"]);
}

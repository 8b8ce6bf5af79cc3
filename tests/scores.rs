//! `stratos score` through the binary: whence articles come, who answers, what is remembered and what is refused. The student
//! is a toy, and stubs of servers write for it.

mod common;
mod servers;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};

use common::{READERS, Workspace, json_lines, text};
use serde_json::Value;
use servers::{Program, Script, Server, student_with};
use stratos::domain::{Digest, Profile, ProfileRow, UnixMillis};
use stratos::student::Student;
use stratos::workspace::{Ledger, Origin, ReleaseRow};

const READER: &str = READERS[0];

/// A workspace with four readers and a released toy that reads long prompts.
fn released() -> Workspace {
    let workspace = empty();
    let folder = workspace.path().join(".stratos/releases/toy-1");
    fs::create_dir_all(&folder).expect("creates");
    let model = Student::load(&student_with(&folder, 16_384)).expect("a student").digest().clone();
    release(&workspace, "toy-1", &model);
    workspace
}

/// The same with nothing trained.
fn empty() -> Workspace {
    let workspace = Workspace::small();
    let text = fs::read_to_string(workspace.path().join("data/profiles_v19.json")).expect("reads");
    let rows: Vec<ProfileRow> = serde_json::from_str(&text).expect("profiles");
    let profiles: Vec<Profile> = rows.into_iter().map(|row| row.into_profile().expect("a profile")).collect();
    ledger(&workspace).put_profiles(&profiles, Origin::Shipped).expect("stores");
    workspace
}

fn ledger(workspace: &Workspace) -> Ledger {
    stratos::workspace::Workspace::open(workspace.path()).expect("opens").ledger().expect("opens")
}

fn release(workspace: &Workspace, name: &str, model: &Digest) {
    let row = ReleaseRow {
        name: name.into(),
        path: ".stratos/releases/toy-1".into(),
        model: model.clone(),
        evaluation: Digest::of("none"),
        runtime: "stratos f32 cpu".into(),
        verdict: String::new(),
        live: false,
        at: UnixMillis(1),
    };
    let mut ledger = ledger(workspace);
    ledger.put_release(&row).expect("stores");
    assert!(ledger.go_live(name, UnixMillis(1)).expect("serves"));
}

/// Adds to `stratos.toml`, in the table that is named.
fn configure(workspace: &Workspace, keys: &[(&str, &str, &str)]) {
    let path = workspace.path().join("stratos.toml");
    let mut config: toml::Table = fs::read_to_string(&path).expect("reads").parse().expect("toml");
    for (table, key, value) in keys {
        let mut place = &mut config;
        for part in table.split('.') {
            place = place.entry(part).or_insert_with(|| toml::Table::new().into()).as_table_mut().expect("a table");
        }
        let value: toml::Table = format!("v = {value}").parse().expect("a value");
        place.insert((*key).to_owned(), value["v"].clone());
    }
    fs::write(path, config.to_string()).expect("writes");
}

fn serve(workspace: &Workspace, server: &Server) {
    configure(workspace, &[("scoring", "server", &format!("{:?}", server.url))]);
}

fn server(script: Script) -> Server {
    Server::start(Script { context: 32_768, ..script })
}

fn rows(numbers: &[u32]) -> String {
    let row = |n: &u32| format!("{{\"id\":\"a{n}\",\"title\":\"News\",\"summary\":\"the article {n}.\"}}\n");
    numbers.iter().map(row).collect::<Vec<String>>().concat()
}

fn piped(workspace: &Workspace, arguments: &[&str], input: &str) -> Output {
    let mut command = workspace.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    child.wait_with_output().expect("ends")
}

/// (article, reader, score) of each answer, in the order in which they were printed.
fn told(output: &Output) -> Vec<(String, String, Option<f64>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let scored = |row: &Value| (text(&row["pair"]["article"]), text(&row["pair"]["profile"]), row["score"].as_f64());
    json_lines(output).iter().filter(|row| row["event"] == "scored").map(scored).collect()
}

fn done(output: &Output) -> Value {
    let last = json_lines(output).pop().unwrap_or_default();
    assert_eq!(last["event"], "scoring_done", "{}", text(output));
    last
}

#[test]
fn standard_input_is_scored_in_order_and_its_broken_rows_are_told_and_passed_over() {
    let (workspace, server) = (released(), server(Script::default()));
    serve(&workspace, &server);
    let input = format!("{}not json\n{{\"summary\":\"no title\"}}\n{}", rows(&[3]), rows(&[7, 5]));
    let readers = format!("{},{}", READERS[1], READERS[0]);
    let output = piped(&workspace, &["score", "--profile", &readers, "--file", "-", "--json"], &input);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let scores: Vec<(String, Option<f64>)> = told(&output).into_iter().map(|(article, _, score)| (article, score)).collect();
    let wanted = [("a3", 3.5), ("a7", 7.5), ("a5", 5.5)].map(|(a, s)| (a.to_owned(), Some(s)));
    assert_eq!(scores, [wanted.clone(), wanted].concat(), "reader by reader, each in the input's order");
    let skipped: Vec<Value> = json_lines(&output).into_iter().filter(|row| row["event"] == "skipped").collect();
    assert_eq!(skipped.iter().map(|row| row["line"].as_u64()).collect::<Vec<_>>(), [Some(2), Some(3)]);
    let sum = done(&output);
    assert_eq!((sum["answers"].as_u64(), sum["unread"].as_u64(), sum["cached"].as_u64()), (Some(6), Some(0), Some(0)));
    assert_eq!(sum["model"], "toy-1");

    let nothing = piped(&workspace, &["score", "--all-profiles", "-"], "nothing of the kind\n");
    assert!(
        !nothing.status.success() && text(&nothing).contains("standard input holds no article (line 1"),
        "{}",
        text(&nothing)
    );
}

const FEED: &str = "<?xml version='1.0'?><rss version='2.0'><channel><title>Al Anba</title>\
    <item><title>One</title><guid>g1</guid><description>the article 4.</description></item>\
    <item><title>Two</title><guid>g2</guid><description>the article 9.</description></item></channel></rss>";

/// Answers one request with the feed.
fn feed_server() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/feed.xml", socket.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().expect("asked");
        let _ = stream.read(&mut [0; 4096]).expect("a request");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/rss+xml\r\ncontent-length: {}\r\n\r\n", FEED.len());
        stream.write_all(format!("{head}{FEED}").as_bytes()).expect("answered");
    });
    url
}

#[test]
fn files_of_every_kind_and_feeds_by_name_are_scored_alike() {
    let (workspace, server) = (released(), server(Script::default()));
    serve(&workspace, &server);
    let scores = |arguments: &[&str]| {
        let output = workspace.stratos(&[&["score", "--profile", READER, "--json"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output));
        told(&output).into_iter().map(|(_, _, score)| score).collect::<Vec<_>>()
    };
    let feed = workspace.file("feed.xml", FEED);
    assert_eq!(scores(&["--file", &feed.to_string_lossy()]), [Some(4.5), Some(9.5)]);
    let table = workspace.file("rows.csv", "title,summary\nA,the article 6.\nB,the article 1.\n");
    assert_eq!(scores(&["--file", &table.to_string_lossy()]), [Some(6.5), Some(1.5)]);
    let array = workspace.file("rows.json", "[{\"title\":\"A\",\"content\":\"the article 8.\"}]");
    assert_eq!(scores(&["--file", &array.to_string_lossy()]), [Some(8.5)]);
    assert_eq!(scores(&["--title", "A", "--summary", "the article 2."]), [Some(2.5)]);

    let url = feed_server();
    configure(&workspace, &[("x", "y", "1")]);
    let path = workspace.path().join("stratos.toml");
    let text = fs::read_to_string(&path).expect("reads").replace("[x]\ny = 1\n", "");
    fs::write(&path, format!("{text}\n[[feeds]]\nurl = \"{url}\"\nsource = \"Al Anba\"\n")).expect("writes");
    assert_eq!(scores(&["--feed", "al anba"]), [Some(4.5), Some(9.5)]);
    let unknown = workspace.stratos(&["score", "--all-profiles", "--feed", "Reuters"]);
    assert!(common::text(&unknown).contains("no feed 'Reuters' in stratos.toml (Al Anba)"), "{}", common::text(&unknown));
}

#[test]
fn the_same_is_asked_once_and_what_is_fresh_anew() {
    let (workspace, first) = (released(), server(Script::default()));
    serve(&workspace, &first);
    let score = |more: &[&str]| {
        let output = piped(&workspace, &[&["score", "--profile", READER, "-", "--json"], more].concat(), &rows(&[1, 2, 3]));
        assert!(output.status.success(), "{}", text(&output));
        done(&output)["cached"].as_u64().expect("a number")
    };
    assert_eq!((score(&[]), first.posted("/completion").len()), (0, 3));
    assert_eq!((score(&[]), first.posted("/completion").len()), (3, 3));
    assert_eq!((score(&["--fresh"]), first.posted("/completion").len()), (0, 6));
    let said = piped(&workspace, &["score", "--profile", READER, "-"], &rows(&[1, 2, 4]));
    assert!(text(&said).contains("2 of 3 from the cache"), "{}", text(&said));

    // Another file, another quantisation, another server: each is another model.
    let others = [
        server(Script { model: "/models/toy.Q4_K_M.gguf", ..Script::default() }),
        server(Script { program: Program::Ollama, ..Script::default() }),
    ];
    configure(&workspace, &[("scoring", "model", "\"toy\"")]);
    for other in &others {
        serve(&workspace, other);
        assert_eq!(score(&[]), 0);
        assert_eq!(score(&[]), 3);
    }
    serve(&workspace, &first);
    assert_eq!(score(&[]), 3, "and the first one's answers are still its own");

    // A reader whose description changed is another prompt.
    let mut ledger = ledger(&workspace);
    let (mut profile, _) = ledger.profiles().expect("reads").into_iter().find(|(p, _)| p.id.as_str() == READER).expect("here");
    profile.system_prompt = Some("Another prompt.".into());
    ledger.put_profiles(&[profile], Origin::Shipped).expect("stores");
    assert_eq!(score(&[]), 0);
}

#[test]
fn a_fast_pass_that_cannot_be_read_leaves_the_answer_to_the_think_pass() {
    let (workspace, server) = (released(), server(Script::default()));
    serve(&workspace, &server);
    // Untrained: it writes noise.
    let fast = workspace.path().join("fast");
    fs::create_dir(&fast).expect("creates");
    student_with(&fast, 16_384);
    configure(&workspace, &[("scoring.cascade", "fast", "\"fast\"")]);
    let score =
        |more: &[&str]| piped(&workspace, &[&["score", "--profile", READER, "-", "--json"], more].concat(), &rows(&[1, 2]));
    let output = score(&[]);
    assert!(output.status.success(), "{}", text(&output));
    let passes: Vec<Value> = json_lines(&output).iter().filter(|r| r["event"] == "scored").map(|r| r["pass"].clone()).collect();
    assert_eq!(passes, ["think", "think"]);
    assert_eq!(told(&output).into_iter().map(|(_, _, score)| score).collect::<Vec<_>>(), [Some(1.5), Some(2.5)]);
    let single = score(&["--single-pass"]);
    assert_eq!(done(&single)["cached"], 2, "what the think pass said is what the only pass says");

    configure(&workspace, &[("scoring.cascade", "fast", "\"nowhere\"")]);
    let refused = score(&[]);
    assert!(!refused.status.success() && text(&refused).contains("scoring.cascade: fast 'nowhere'"), "{}", text(&refused));
}

#[test]
fn a_think_recipe_is_asked_at_half_a_degree_at_least() {
    let (workspace, server) = (released(), server(Script::default()));
    serve(&workspace, &server);
    let path = workspace.path().join("data/recipes/stratos-v19.toml");
    let recipe = fs::read_to_string(&path).expect("reads");
    let cold = recipe.replacen("temperature_floor = 0.5", "temperature_floor = 0.0", 1).replacen(
        "temperature = 0.6",
        "temperature = 0.1",
        1,
    );
    assert_ne!(cold, recipe);
    fs::write(path, cold).expect("writes");
    let output = piped(&workspace, &["score", "--profile", READER, "-"], &rows(&[1]));
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(server.posted("/completion")[0]["temperature"].as_f64(), Some(0.5));
}

#[test]
fn another_model_than_the_released_one_is_refused_and_both_are_named() {
    let workspace = released();
    let score = || piped(&workspace, &["score", "--profile", READER, "-"], &rows(&[1]));
    let wrong = Digest::of("another");
    release(&workspace, "toy-2", &wrong);
    let output = score();
    assert!(!output.status.success(), "{}", text(&output));
    let folder = workspace.path().join(".stratos/releases/toy-1");
    let found = Student::load(&folder).expect("a student").digest().clone();
    let inspected = piped(&workspace, &["models", "inspect", "--digest", &folder.display().to_string()], "");
    assert!(text(&inspected).contains(found.as_str()), "{}", text(&inspected));
    for word in ["S6", wrong.short(), found.short()] {
        assert!(text(&output).contains(word), "{word}: {}", text(&output));
    }

    // A server that answers otherwise than at the gate.
    release(&workspace, "toy-1", &found);
    let server = server(Script::default());
    serve(&workspace, &server);
    ledger(&workspace).pin("toy-1", "llama.cpp", &wrong, UnixMillis(2)).expect("pins");
    let output = score();
    assert!(
        !output.status.success() && text(&output).contains("S6") && text(&output).contains(wrong.short()),
        "{}",
        text(&output)
    );
    assert!(server.posted("/completion").is_empty(), "it was not even asked");
    ledger(&workspace).pin("toy-1", "ollama", &wrong, UnixMillis(2)).expect("pins");
    ledger(&workspace).remove_release("toy-2").expect("removes");
}

#[test]
fn the_untuned_base_answers_where_nothing_was_trained_and_says_so() {
    let workspace = empty();
    let score = |more: &[&str]| workspace.stratos(&[&["score", "--profile", READER, "--title", "News"], more].concat());
    let none = score(&[]);
    assert!(!none.status.success() && text(&none).contains("no student was trained yet"), "{}", text(&none));
    let refused = score(&["--base"]);
    assert!(text(&refused).contains("the seedling has no base"), "{}", text(&refused));
    common_base::write(&workspace.path().join("base"), ["the reader of news reads an article and gives a score"]);
    configure(&workspace, &[("student", "base", "\"base\"")]);
    for more in [&[][..], &["--base"]] {
        let output = score(&[more, &["--json"]].concat());
        let said = text(&output);
        assert!(said.contains("untuned base base") && said.contains("never trained on this recipe"), "{said}");
        let sum = done(&output);
        assert_eq!((sum["untuned"].as_bool(), sum["answers"].as_u64()), (Some(true), Some(1)), "{said}");
    }
}

#[path = "common/base.rs"]
mod common_base;

#[test]
fn the_drift_watch_sees_what_was_scored_and_cannot_tell_from_a_few() {
    let (workspace, server) = (
        released(),
        server(Script {
            answer: |row| if row % 5 == 0 { "I cannot say.".into() } else { format!("SCORE: {}.5 | REASON: r.", row % 10) },
            ..Script::default()
        }),
    );
    serve(&workspace, &server);
    let drift = || {
        let output = workspace.stratos(&["deploy", "drift", "--json"]);
        (output.status.code(), json_lines(&output).pop().unwrap_or_default())
    };
    let score = |numbers: std::ops::Range<u32>| {
        let output = piped(&workspace, &["score", "--profile", READER, "-"], &rows(&numbers.collect::<Vec<_>>()));
        assert_eq!(output.status.code(), Some(1), "a fifth has no score: {}", text(&output));
    };
    score(0..10);
    let (code, seen) = drift();
    assert_eq!((code, seen["n"].as_u64(), seen["level"].as_str()), (Some(0), Some(10), Some("cannot_tell")), "{seen}");
    score(0..70);
    let (_, seen) = drift();
    assert_eq!(seen["n"].as_u64(), Some(70), "what came from the cache is not counted twice: {seen}");
    let lines: Vec<(&str, &str)> = seen["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|l| (l["what"].as_str().unwrap_or_default(), l["level"].as_str().unwrap_or_default()))
        .collect();
    // Nothing was evaluated: scores have nothing to be compared with, a fifth unread is worth a look by itself.
    assert_eq!(lines, [("unread", "watch"), ("scores", "cannot_tell"), ("prompts", "steady"), ("pace", "steady")]);
    assert_eq!(seen["causes"]["there is no score line"].as_u64(), Some(14), "{seen}");
}

#[test]
fn the_frontier_of_a_cascade_is_measured_kept_and_shown_again() {
    let (workspace, server) = (released(), server(Script::default()));
    serve(&workspace, &server);
    let fast = workspace.path().join("fast");
    fs::create_dir(&fast).expect("creates");
    student_with(&fast, 16_384);
    configure(&workspace, &[("scoring.cascade", "fast", "\"fast\"")]);
    let none = workspace.stratos(&["deploy", "frontier", "--last"]);
    assert!(!none.status.success() && text(&none).contains("No frontier"), "{}", text(&none));

    let articles = workspace.file("articles.jsonl", rows(&(0..10).collect::<Vec<_>>()));
    let imported = workspace.stratos(&["articles", "import", &articles.to_string_lossy()]);
    assert!(imported.status.success(), "{}", text(&imported));
    let judged: Vec<String> = (0..10)
        .flat_map(|n| READERS[..2].iter().map(move |reader| (n, reader)))
        .map(|(n, reader)| {
            format!("{{\"article_id\":\"a{n}\",\"profile_id\":\"{reader}\",\"score\":{n}.0,\"annotator\":\"me\"}}\n")
        })
        .collect();
    let path = workspace.file("judged.jsonl", judged.concat());
    let rows = format!("file:{}", path.display());
    let output = workspace.stratos(&["deploy", "frontier", "--rows", &rows, "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    let frontier = json_lines(&output).pop().expect("a frontier");
    // 5.0 is a score that the recipe forbids.
    assert_eq!((frontier["rows"].as_u64(), frontier["articles"].as_u64()), (Some(18), Some(9)));
    let points = frontier["points"].as_array().expect("points");
    let of = |setting: &str| points.iter().find(|p| p["setting"] == setting).expect("measured");
    let (think, quick) = (of("think_only"), of("fast_only"));
    assert!((think["mae"].as_f64().expect("a figure") - 0.5).abs() < 1e-9, "{think}");
    assert_eq!((quick["unread"].as_u64(), quick["sent_on"].as_f64()), (Some(18), Some(0.0)), "noise is no score: {quick}");
    let configured = points.iter().find(|p| p["configured"] == true).expect("measured");
    assert_eq!(configured["sent_on"].as_f64(), Some(1.0), "what cannot be read goes on");

    let asked = server.posted("/completion").len();
    let table = workspace.stratos(&["deploy", "frontier", "--last"]);
    assert!(
        table.status.success() && text(&table).contains("think only") && text(&table).contains("4.0–8.0"),
        "{}",
        text(&table)
    );
    let again = workspace.stratos(&["deploy", "frontier", "--rows", &rows, "--json"]);
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(server.posted("/completion").len(), asked, "both passes' answers are kept");
}

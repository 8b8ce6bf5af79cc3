//! Modelfiles: the template of every family renders the bytes of training, what is broken is named with its guard, and the
//! repository's own is what the generator writes.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use stratos::deploy::Blob;
use stratos::deploy::modelfile::{self, Expected, Lengths, Modelfile, ModelfileError, Remark, Spec, Weights, lint};
use stratos::domain::{Article, ChatMessage, Profile, ProfileRow, Recipe, Renderer, Role};
use stratos::student::{ChatTemplate, Codec};

const V19: &str = include_str!("../data/recipes/stratos-v19.toml");
/// The longest prompt that shipped profiles make with shipped and real articles, in Qwen3's tokens.
const LONGEST_PROMPT: usize = 331;
const REGENERATE: &str = "STRATOS_WRITE_MODELFILE";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recipe() -> Recipe {
    Recipe::from_toml(V19).expect("sound")
}

/// A family's template, and the text that a server of its GGUF writes before every prompt.
fn family(name: &str) -> (ChatTemplate, Option<String>, String) {
    let path = root().join(format!("tests/fixtures/student/templates/{name}.json"));
    let fixture: Value = serde_json::from_str(&fs::read_to_string(path).expect("a fixture")).expect("JSON");
    let template = fixture["template"].as_str().expect("a template");
    let names = &fixture["special_tokens"];
    let text = |key: &str| names[key].as_str().map(str::to_owned);
    // Of these, only Gemma's and Llama's GGUFs ask the server for it.
    let bos = text("bos_token").filter(|_| ["gemma3", "llama3_2"].contains(&name));
    (ChatTemplate::with_config(template, names.clone()).expect("sound"), bos, text("eos_token").expect("a terminator"))
}

const FAMILIES: [&str; 5] = ["qwen3", "qwen2_5", "smollm2", "llama3_2", "gemma3"];

fn write(name: &str) -> Result<String, ModelfileError> {
    let (template, bos, terminator) = family(name);
    let recipe = recipe();
    let spec = Spec {
        about: vec!["For a test.".into()],
        from: "./gguf/model-q8_0.gguf".into(),
        template: &template,
        bos: bos.as_deref(),
        terminator: &terminator,
        sampling: &recipe.sampling,
        lengths: lengths(),
    };
    spec.write()
}

fn lengths() -> Lengths {
    let answers: Vec<usize> = (101..=300).collect();
    Lengths::measured(&answers, 900).expect("measured")
}

fn message(role: Role, text: &str) -> ChatMessage {
    ChatMessage::new(role, text)
}

#[test]
fn the_template_of_every_family_writes_the_bytes_of_training() {
    for name in FAMILIES {
        let text = write(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let modelfile = Modelfile::read(&text).expect("read back");
        let (template, bos, _) = family(name);
        let mut conversation =
            vec![message(Role::System, "You are <b>.\n\nTwo {{ things }}."), message(Role::User, "Title: 'x' \"y\"")];
        for _ in 0..2 {
            let trained = template.render(&conversation, true).expect("rendered");
            let trained =
                bos.as_ref().map_or(trained.as_str(), |bos| trained.strip_prefix(bos.as_str()).expect("begins with it"));
            let served = modelfile::render(modelfile.template().expect("a template"), &conversation).expect("rendered");
            assert_eq!(served, trained, "{name}");
            conversation.extend([message(Role::Assistant, "SCORE: 1.0 | REASON: no."), message(Role::User, "And now?")]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_people_write_it_is_rendered_alike(system in "[!-~¡-ž][ -~¡-ž\n]{0,40}[!-~]", user in "[!-~][ -~{}\n]{0,60}[!-~]") {
        for name in FAMILIES {
            let (template, bos, _) = family(name);
            let text = write(name).expect("written");
            let modelfile = Modelfile::read(&text).expect("read back");
            let conversation = [message(Role::System, &system), message(Role::User, &user)];
            let trained = template.render(&conversation, true).expect("rendered");
            let trained = bos.as_ref().map_or(trained.as_str(), |bos| trained.strip_prefix(bos.as_str()).expect("begins with it"));
            prop_assert_eq!(modelfile::render(modelfile.template().expect("a template"), &conversation).expect("rendered"), trained);
        }
    }
}

#[test]
fn figures_are_the_recipe_s_and_the_measured_ones() {
    let text = write("qwen3").expect("written");
    let parameters = Modelfile::read(&text).expect("read").parameters().expect("typed");
    let figure = |key: &str| parameters[key].as_f64().expect("a number");
    assert_eq!((figure("temperature"), figure("top_p"), figure("top_k")), (0.6, 0.95, 20.0));
    assert_eq!(parameters["repeat_penalty"], 1.1);
    // The p99 of 101..=300 by nearest rank is 298.
    assert_eq!((figure("num_predict"), figure("num_ctx")), (447.0, 1536.0));
    assert_eq!(parameters["stop"], serde_json::json!(["<|im_end|>"]));
    assert!(text.contains("1.5 × 298 tokens, the p99 of 200 measured answers"), "{text}");
    assert!(!text.contains("SYSTEM") && !text.contains("think"), "{text}");
}

#[test]
fn a_guess_is_no_measurement() {
    for wrong in [Lengths::measured(&[], 700), Lengths::measured(&[0, 0], 700), Lengths::measured(&[30], 0)] {
        let error = wrong.expect_err("a guess").to_string();
        assert!(error.contains("S3") && error.contains("stratos validate"), "{error}");
    }
}

#[test]
fn a_temperature_below_the_floor_is_never_written() {
    let (template, _, terminator) = family("qwen3");
    let mut sampling = recipe().sampling;
    sampling.temperature = 0.0;
    let spec = Spec {
        about: Vec::new(),
        from: "x.gguf".into(),
        template: &template,
        bos: None,
        terminator: &terminator,
        sampling: &sampling,
        lengths: lengths(),
    };
    assert_eq!(Modelfile::read(&spec.write().expect("written")).expect("read").parameters().expect("typed")["temperature"], 0.5);
}

#[test]
fn a_template_that_cannot_be_said_is_refused_with_the_reason() {
    for (source, words) in [
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "not where"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content | replace('e', 'a') }}\n{% endfor %}", "not where"),
        (
            "{% for m in messages %}[{{ loop.index }}]{{ m.role }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}",
            "",
        ),
        (
            "{% for m in messages %}{{ '{{ ' + m.role + ':' + m.content }};{% endfor %}{% if add_generation_prompt %}{{ '{{ ' }}assistant:{% endif %}",
            "",
        ),
        (
            "{% for m in messages %}\u{1}{{ m.role + ':' + m.content }};{% endfor %}{% if add_generation_prompt %}\u{1}assistant:{% endif %}",
            "control character",
        ),
    ] {
        let template = ChatTemplate::new(source).expect("jinja");
        let recipe = recipe();
        let spec = Spec {
            about: Vec::new(),
            from: "x.gguf".into(),
            template: &template,
            bos: None,
            terminator: "<|im_end|>",
            sampling: &recipe.sampling,
            lengths: lengths(),
        };
        let error = spec.write().expect_err(source).to_string();
        assert!(error.contains("S2") && error.contains(words) && error.contains("llama.cpp"), "{source}: {error}");
    }
}

/// What the lint says of a Modelfile in a folder with the weights that it names.
fn remarks(text: &str, name: &str) -> Vec<Remark> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("gguf")).expect("created");
    let path = folder.path().join("gguf/model-q8_0.gguf");
    fs::write(&path, "GGUF weights").expect("written");
    fs::write(folder.path().join("gguf/model-q4_k_m.gguf"), "GGUF others").expect("written");
    fs::write(folder.path().join("copy.gguf"), "GGUF weights").expect("written");
    let weights = Weights { digest: Blob::of(&path).expect("read").digest, path };
    let (template, bos, terminator) = family(name);
    let recipe = recipe();
    let expected = Expected {
        template: Some(&template),
        bos: bos.as_deref(),
        terminator: Some(&terminator),
        sampling: Some(&recipe.sampling),
        think: true,
        lengths: Some(lengths()),
        weights: Some(&weights),
    };
    lint(text, folder.path(), &expected)
}

#[test]
fn what_is_generated_has_nothing_wrong_with_it() {
    for name in FAMILIES {
        assert_eq!(remarks(&write(name).expect("written"), name), [], "{name}");
    }
}

#[test]
fn each_way_to_break_one_is_named_with_its_guard() {
    let good = write("qwen3").expect("written");
    let without = |word: &str| good.lines().filter(|l| !l.contains(word)).fold(String::new(), |all, l| all + l + "\n");
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let template = Modelfile::read(&good).expect("read").template().expect("a template").to_owned();
    let block = format!("TEMPLATE \"\"\"{template}\"\"\"");
    let table = [
        ("S2", "bare FROM", swap(&block, "")),
        ("S2", "\\n", swap("TEMPLATE \"\"\"", "TEMPLATE \"\"\"\n")),
        ("S2", "training wrote", swap("<|im_start|>user\n", "<|im_start|>user")),
        ("S2", "training wrote", swap("<|im_start|>assistant\n{{ end }}", "<|im_start|>assistant{{ end }}")),
        ("S2", "cannot be proved", swap("{{ range", "{{ template \"x\" }}{{ range")),
        ("S2", "cannot be proved", swap("{{ range", "{{ if }}{{ range")),
        ("S2", "SYSTEM", format!("{good}SYSTEM You score.\n")),
        ("S2", "MESSAGE", format!("{good}MESSAGE user hello\n")),
        ("S2", "RENDERER", format!("{good}RENDERER qwen3\n")),
        (
            "S1",
            "/no_think",
            swap(
                "{{ .Content }}<|im_end|>\n{{ else if eq .Role \"assistant\"",
                "{{ .Content }} /no_think<|im_end|>\n{{ else if eq .Role \"assistant\"",
            ),
        ),
        ("S1", "/nothink", format!("{good}SYSTEM \"score\n/NoThink\"\n")),
        (
            "S1",
            "think block",
            swap("<|im_start|>assistant\n{{ end }}", "<|im_start|>assistant\n<think>\n\n</think>\n\n{{ end }}"),
        ),
        ("S3", "not set", without("num_predict")),
        ("S3", "smaller than 447", swap("num_predict 447", "num_predict 256")),
        ("S3", "guess", swap("num_predict 447", "num_predict 2048")),
        ("S3", "guess", swap("num_predict 447", "num_predict -1")),
        ("S4", "below the recipe's floor", swap("temperature 0.6", "temperature 0")),
        ("S4", "not set", without("temperature")),
        ("S4", "top_k is 40", swap("top_k 20", "top_k 40")),
        ("S5", "no parameter", format!("{good}PARAMETER max_tokens 5\n")),
        ("S5", "no number", swap("top_k 20", "top_k many")),
        ("S6", "no file", swap("./gguf/model-q8_0.gguf", "qwen3:0.6b")),
        ("S6", "another file", swap("model-q8_0", "model-q4_k_m")),
        ("S7", "ADAPTER", format!("{good}ADAPTER ./adapter\n")),
        ("S8", "num_ctx 1024", swap("num_ctx 1536", "num_ctx 1024")),
        ("T10", "is missing", without("PARAMETER stop")),
        ("T10", "part of every answer", format!("{good}PARAMETER stop REASON\n")),
        ("", "no command", format!("{good}FORM x\n")),
        ("", "never closed", format!("{good}SYSTEM \"\"\"x\n")),
    ];
    for (guard, words, text) in table {
        let remarks = remarks(&text, "qwen3");
        let found = remarks.iter().any(|r| r.guard == guard && (r.what.contains(words) || r.why.contains(words)));
        assert!(found, "{guard}, {words}: {remarks:#?}");
        assert!(remarks.iter().all(|r| !r.remedy.is_empty() && !r.why.is_empty()), "{remarks:#?}");
    }
    // The same bytes under another name are the release's.
    assert_eq!(remarks(&swap("./gguf/model-q8_0.gguf", "copy.gguf"), "qwen3"), []);
}

#[test]
fn a_remark_stands_at_its_line() {
    let text = "FROM ./gguf/model-q8_0.gguf\n\nPARAMETER num_predict 12\nSYSTEM \"a\nb /no_think\"\n";
    let lines: Vec<(usize, &str)> =
        remarks(text, "qwen3").iter().map(|r| (r.line, r.guard)).filter(|(line, _)| *line > 0).collect();
    assert_eq!(lines, [(1, "S2"), (3, "S3"), (4, "S2"), (5, "S1")]);
    let stops: Vec<bool> = remarks(text, "qwen3").iter().filter(|r| r.line > 0).map(Remark::stops).collect();
    assert_eq!(stops, [true, false, true, true]);
}

#[test]
fn templates_of_before_that_know_one_prompt_are_proved_too() {
    let good = write("qwen2_5").expect("written");
    let template = Modelfile::read(&good).expect("read").template().expect("a template").to_owned();
    let chatml = "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ else }}<|im_start|>system\nYou are Qwen, created by \
                  Alibaba Cloud. You are a helpful assistant.<|im_end|>\n{{ end }}{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n\
                  {{ end }}<|im_start|>assistant\n{{ .Response }}<|im_end|>\n";
    // Of a second question it writes the default system prompt again: training did not.
    let found = remarks(&good.replace(&template, chatml), "qwen2_5");
    assert!(found.iter().all(|r| r.guard == "S2" && r.what.contains("a second question")) && found.len() == 1, "{found:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn nothing_that_is_written_breaks_the_lint(text in "((FROM|PARAMETER|TEMPLATE|SYSTEM|MESSAGE user|#) [ -~{}\"\n]{0,60}\n){0,6}", raw in any::<String>()) {
        for text in [text, raw, "FROM x\nTEMPLATE \"\"\"{{ range .Messages }}{{ .Role }}{{ end }}\"\"\"".to_owned()] {
            for remark in remarks(&text, "qwen3") {
                let escapes = remark.what.contains('\u{1b}');
                prop_assert!(!remark.what.is_empty() && !escapes);
            }
        }
    }
}

/// Cases for Go's own `text/template` (`.ci/peers/modelfile_check.py`): what each template must write for each conversation.
#[test]
fn every_case_for_go_holds_here_too() {
    let mut cases = Vec::new();
    for name in FAMILIES {
        let (template, bos, _) = family(name);
        let modelfile = Modelfile::read(&write(name).expect("written")).expect("read back");
        let go = modelfile.template().expect("a template");
        let (system, user) = (
            message(Role::System, "A «reader».\n\n{{ .Role }} \"q\" <b>\\n"),
            message(Role::User, "T'itle: {{ end }} & `x`\nü 語 🙂"),
        );
        let (answer, again) = (message(Role::Assistant, "SCORE: 1.0 | REASON: no."), message(Role::User, "Again?"));
        let conversations = [
            vec![system.clone(), user.clone()],
            vec![user.clone()],
            vec![system.clone(), user.clone(), answer.clone()],
            vec![system.clone(), user.clone(), answer.clone(), again.clone()],
            vec![system, user, answer.clone(), again.clone(), answer, again],
        ];
        for conversation in conversations {
            let (asked, begun) = match conversation.split_last() {
                Some((last, before)) if last.role == Role::Assistant => (before, last.content.as_str()),
                _ => (conversation.as_slice(), ""),
            };
            let trained = template.render(asked, true).expect("rendered") + begun;
            let trained = bos.as_ref().and_then(|bos| trained.strip_prefix(bos.as_str())).unwrap_or(&trained).to_owned();
            assert_eq!(modelfile::render(go, &conversation).expect("rendered"), trained, "{name}");
            cases.push(serde_json::json!({"name": name, "template": go, "messages": conversation, "wanted": trained}));
        }
    }
    if let Some(path) = std::env::var_os("STRATOS_TEMPLATE_CASES") {
        fs::write(path, serde_json::to_string(&cases).expect("JSON")).expect("written");
    }
}

/// Qwen3's own tokenizer, where `.ci/fetch-peers` has put it.
fn qwen3() -> Option<Codec> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let peers = std::env::var_os("STRATOS_PEERS_DIR").map_or_else(|| home.join(".cache/stratos-peers"), PathBuf::from);
    Codec::load(&peers.join("qwen3")).ok()
}

#[test]
fn the_longest_prompt_is_what_the_repository_s_modelfile_says() {
    let Some(codec) = qwen3() else { return eprintln!("skipped: .ci/fetch-peers has not fetched Qwen3's tokenizer") };
    let recipe = recipe();
    let renderer = Renderer::new(&recipe).expect("sound");
    let rows: Vec<ProfileRow> = serde_json::from_str(include_str!("../data/profiles_v19.json")).expect("profiles");
    let profiles: Vec<Profile> = rows.into_iter().map(|row| row.into_profile().expect("sound")).collect();
    let mut articles: Vec<Article> =
        serde_json::from_str(include_str!("../data/polarizing_articles_v19.json")).expect("articles");
    let real = std::env::var_os("STRATOS_TEST_DATA").map(|data| PathBuf::from(data).join("articles.jsonl"));
    let Some(real) = real.and_then(|path| fs::read_to_string(path).ok()) else {
        return eprintln!("skipped: STRATOS_TEST_DATA names no folder with real articles");
    };
    articles.extend(real.lines().filter_map(|line| serde_json::from_str(line).ok()));
    // Longer text is more tokens: the few longest will do.
    articles.sort_by_key(|a: &Article| std::cmp::Reverse(a.summary.len() + a.title.len()));
    articles.truncate(150);
    let pairs = profiles.iter().flat_map(|p| articles.iter().map(move |a| (p, a)));
    let tokens = pairs.map(|(p, a)| codec.prompt(&renderer.student(p, a).expect("rendered").messages()).expect("tokens").len());
    assert_eq!(tokens.max(), Some(LONGEST_PROMPT));
}

#[test]
fn the_repository_s_modelfile_is_what_the_generator_writes() {
    let (template, _, terminator) = family("qwen3");
    let recipe = recipe();
    let spec = Spec {
        about: vec![
            format!("{}: Qwen3, trained by this recipe, as Ollama serves it.", recipe.name),
            "Written by the generator of 'stratos deploy modelfile'; tests/modelfile.rs keeps it so and says how to write it anew.".into(),
            "A release has its own, with its measured lengths. No SYSTEM here: every request brings its reader's prompt.".into(),
        ],
        from: "./gguf/model-q8_0.gguf".into(),
        template: &template,
        bos: None,
        terminator: &terminator,
        sampling: &recipe.sampling,
        lengths: Lengths::of_recipe(&recipe.sampling, LONGEST_PROMPT).expect("lengths"),
    };
    let (wanted, path) = (spec.write().expect("written"), root().join("Modelfile"));
    if std::env::var_os(REGENERATE).is_some() {
        fs::write(&path, &wanted).expect("written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "write it anew: {REGENERATE}=1 cargo test --test modelfile");
}

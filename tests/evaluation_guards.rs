//! The documented failures of evaluation, made again: each guard must see its own.

use std::collections::BTreeMap;

use stratos::domain::{Article, Digest, Finding, PairKey, Profile, ProfileRow, Recipe};
use stratos::evaluate::{
    Answered, Baselines, Calibration, Evaluation, Given, JudgedRow, Material, NoiseFloor, Row, RowSet, Runtime, Subject, d19,
};
use stratos::student::Stop;

fn recipe() -> Recipe {
    Recipe::from_toml(include_str!("../data/recipes/stratos-v19.toml")).expect("sound")
}

/// One row: article, reader, truth, and what was said.
struct Said {
    article: usize,
    reader: usize,
    truth: f64,
    score: Option<f64>,
}

/// Articles for six readers: one of them concerned, the others not, or hardly.
fn rows(articles: usize, predict: impl Fn(usize, usize, f64) -> Option<f64>) -> Vec<Said> {
    let cell = |article: usize, reader: usize| {
        let truth = if reader == article % 6 { 8.0 + (article % 4) as f64 / 2.0 } else { ((article + reader) % 5) as f64 / 2.0 };
        Said { article, reader, truth, score: predict(article, reader, truth) }
    };
    (0..articles).flat_map(|a| (0..6).map(move |r| (a, r))).map(|(a, r)| cell(a, r)).collect()
}

/// A score that knows nothing: a digest of the pair.
fn noise(article: usize, reader: usize) -> f64 {
    let digest = Digest::of(format!("{article}|{reader}"));
    let byte = u8::from_str_radix(&digest.as_str()[..2], 16).expect("hex");
    (f64::from(byte) / 25.5 * 10.0).round() / 10.0
}

fn subject(model: &str, runtime: Runtime) -> Subject {
    Subject {
        model: Digest::of(model),
        runtime,
        dataset: Digest::of("data"),
        recipe: Digest::of("recipe"),
        sampling: "none".into(),
        seed: 19,
        rows: None,
        calibrator: None,
    }
}

fn embedded() -> Runtime {
    Runtime { engine: "stratos".into(), precision: "f32".into(), device: "cpu".into() }
}

fn evaluation_of(said: &[Said], set: RowSet, texts: Option<&[(String, Stop)]>, runtime: Runtime) -> Evaluation {
    let recipe = recipe();
    let profile = |r: usize| -> Profile {
        let text = format!(r#"{{"id":"p{r}","role":"reader {r}","location":"Kuwait"}}"#);
        serde_json::from_str::<ProfileRow>(&text).expect("reads").into_profile().expect("typed")
    };
    let article = |a: usize| -> Article {
        serde_json::from_value(serde_json::json!({"id": format!("a{a:03}"), "title": format!("Title {a}"), "summary": ""}))
            .expect("reads")
    };
    let profiles: Vec<Profile> = (0..6).map(profile).collect();
    let articles: Vec<Article> = (0..=said.iter().map(|s| s.article).max().unwrap_or(0)).map(article).collect();
    let pairs: Vec<PairKey> = said
        .iter()
        .map(|s| PairKey { article: articles[s.article].id.clone(), profile: profiles[s.reader].id.clone() })
        .collect();
    let answered: Vec<Answered<'_>> = said
        .iter()
        .enumerate()
        .map(|(i, s)| Answered {
            pair: &pairs[i],
            profile: &profiles[s.reader],
            article: &articles[s.article],
            cluster: pairs[i].article.as_str(),
            prompt: "",
            truth: s.truth,
            source: "teacher",
            given: match texts {
                Some(texts) => Given::Text { output: &texts[i].0, expected: s.score, stop: Some(texts[i].1) },
                None => Given::Score(s.score),
            },
            seen_profile: Some(s.reader != 5),
            seen_article: None,
        })
        .collect();
    let train: Vec<(&Profile, &Article, f64)> = profiles.iter().map(|p| (p, &articles[0], 1.0)).collect();
    let baselines = Baselines::fit(&train, recipe.scale.range());
    Evaluation::new(Material {
        subject: subject("model", runtime),
        predictor: "student",
        row_set: set,
        recipe: &recipe,
        baselines: Some(&baselines),
        fitted_here: 0,
        answered: &answered,
        sanity_score: None,
        calibrator: None,
        floor: None,
        findings: Vec::new(),
        settings: BTreeMap::new(),
    })
}

fn evaluation(said: &[Said]) -> Evaluation {
    evaluation_of(said, RowSet { name: "held-out".into(), n: said.len(), of: said.len(), ..RowSet::default() }, None, embedded())
}

fn finding<'a>(evaluation: &'a Evaluation, guard: &str) -> &'a Finding {
    evaluation.findings.iter().find(|f| f.guard == guard).unwrap_or_else(|| panic!("{guard}: {:?}", evaluation.findings))
}

/// E2: random scores reach a PSR of 100 %.
#[test]
fn noise_with_a_perfect_spread_is_caught_by_its_order() {
    let random = evaluation(&rows(40, |article, reader, _| Some(noise(article, reader))));
    assert!(random.metrics.psr_spread > Some(0.99), "{:?}", random.metrics.psr_spread);
    let e2 = finding(&random, "E2");
    assert!(e2.failed() && e2.saw.contains("teacher's own") && e2.saw.contains("contrast ordered"), "{e2:?}");
    assert!(!finding(&evaluation(&rows(40, |_, _, truth| Some(truth))), "E2").failed());
    // Words of PSR never stand alone.
    assert!(e2.saw.contains("pairs"));
}

/// E1, E4: the constant matches, on few rows.
#[test]
fn a_constant_is_no_better_than_a_constant_and_ten_rows_are_few() {
    let constant = evaluation(&rows(40, |_, _, _| Some(1.0)));
    assert!(finding(&constant, "E1").failed() && finding(&constant, "D2").failed());
    let few = evaluation(&rows(1, |_, _, truth| Some(truth)));
    assert!(finding(&few, "E4").failed() && few.groups.iter().all(stratos::evaluate::Group::weak));
}

/// D2: collapse to two scores.
#[test]
fn two_modes_are_a_collapse() {
    let modes = evaluation(&rows(40, |_, _, truth| Some(if truth > 5.0 { 8.5 } else { 0.5 })));
    let d2 = finding(&modes, "D2");
    assert!(d2.failed() && d2.saw.contains("8.5") && d2.saw.contains("0.5"), "{d2:?}");
    assert!(!finding(&evaluation(&rows(40, |_, _, truth| Some(truth))), "D2").failed());
}

/// E3: the head of a file in the order of its bands.
#[test]
fn rows_of_one_band_are_told_from_rows_of_all() {
    let mut all = rows(100, |_, _, truth| Some(truth));
    all.sort_by(|a, b| a.truth.total_cmp(&b.truth));
    all.truncate(200);
    let head = evaluation(&all);
    let e3 = finding(&head, "E3");
    assert!(e3.failed() && e3.saw.contains("Noise"), "{e3:?}");
    assert!(!finding(&evaluation(&rows(40, |_, _, truth| Some(truth))), "E3").failed());
}

/// E5: failures are charged and counted by cause.
#[test]
fn dropping_the_hard_rows_does_not_pay() {
    let perfect = evaluation(&rows(40, |_, _, truth| Some(truth)));
    let silent = evaluation(&rows(40, |_, _, truth| (truth < 5.0).then_some(truth)));
    assert!(silent.metrics.mae > perfect.metrics.mae && silent.metrics.n == perfect.metrics.n);
    let e5 = finding(&silent, "E5");
    assert!(e5.failed() && e5.saw.contains("40 of 240"), "{e5:?}");
}

/// E6: numbers without a runtime, and of two runtimes.
#[test]
fn a_number_carries_its_runtime() {
    let unknown = Runtime { engine: "file".into(), precision: String::new(), device: String::new() };
    let said = rows(10, |_, _, truth| Some(truth));
    let nameless = evaluation_of(&said, RowSet::default(), None, unknown);
    assert!(finding(&nameless, "E6").failed());
    let q8 = Runtime { engine: "llama.cpp b1".into(), precision: "Q8_0".into(), device: "server x".into() };
    assert!(!embedded().comparable(&q8) && embedded().comparable(&embedded()));
}

/// S12: causes are counted.
#[test]
fn answers_in_another_script_and_open_think_blocks_are_counted() {
    let said = rows(20, |_, _, truth| Some(truth));
    let text = |(i, s): (usize, &Said)| match i % 10 {
        0 => ("<think>\nand so on".to_owned(), Stop::Length),
        1 => (format!("<think>\n一\n</think>\nSCORE: {:.1} | REASON: 这篇文章与读者无关。", s.truth), Stop::End),
        _ => (format!("<think>\na\n</think>\nSCORE: {:.1} | REASON: It names the field.", s.truth), Stop::End),
    };
    let texts: Vec<(String, Stop)> = said.iter().enumerate().map(text).collect();
    let evaluation = evaluation_of(&said, RowSet::default(), Some(&texts), embedded());
    assert_eq!(evaluation.causes.get("think block not closed"), Some(&12), "{:?}", evaluation.causes);
    assert_eq!(evaluation.causes.get("in another script"), Some(&12));
    assert!(finding(&evaluation, "S12").failed());
    assert_eq!(evaluation.metrics.parse_failures, 12);
    // The second reading has its own figures; there every row has a number.
    let expected = evaluation.expected.as_ref().expect("weighted scores");
    assert_eq!((expected.metrics.parse_failures, expected.metrics.mae), (0, Some(0.0)));
}

fn judged(n: usize, predict: impl Fn(usize) -> (f64, f64)) -> Vec<JudgedRow> {
    let row = |i: usize| {
        let (truth, predicted) = predict(i);
        JudgedRow {
            article: format!("a{}", i / 3),
            profile: format!("p{}", i % 3),
            cluster: format!("a{}", i / 3),
            truth,
            source: "t".into(),
            predicted: Some(predicted),
            expected: None,
            output: String::new(),
            defect: None,
            seen_profile: None,
            seen_article: None,
            kind: None,
        }
    };
    (0..n).map(row).collect()
}

/// E8: calibration that only looks better on the rows it was fitted on.
#[test]
fn a_calibrator_that_memorises_is_dropped_with_both_figures_shown() {
    let hash = |i: usize| f64::from(u8::from_str_radix(&Digest::of(i.to_string()).as_str()[..2], 16).expect("hex")) / 25.5;
    // Truth and prediction have nothing to do with each other but their level.
    let rows = judged(90, |i| (hash(i), 5.0 + (hash(i + 1_000) - 5.0) * 0.05));
    let judged_here = Calibration::judge(&rows, |r| r.predicted, &Digest::of("m"), &recipe(), 19).expect("enough rows");
    assert!(!judged_here.kept && judged_here.points.is_empty(), "{judged_here:?}");
    assert!(judged_here.in_sample_mae < judged_here.raw_mae, "the failure is not made again: {judged_here:?}");
    assert!(judged_here.words().contains("out of sample") && judged_here.words().contains("in sample"));
    assert!((judged_here.apply(3.3) - 3.3).abs() < 1e-12, "a dropped calibrator changes nothing");
}

#[test]
fn a_bias_is_mended_out_of_sample_monotonely_and_inside_the_scale() {
    let rows = judged(300, |i| {
        let truth = (i * 37 % 101) as f64 / 10.0;
        (truth, (0.5 * truth + 4.0 + (i % 7) as f64 / 20.0).min(10.0))
    });
    let calibration = Calibration::judge(&rows, |r| r.predicted, &Digest::of("m"), &recipe(), 19).expect("enough rows");
    assert!(calibration.kept && calibration.mae < 0.5 * calibration.raw_mae, "{calibration:?}");
    assert!(calibration.difference.is_some_and(|(_, high)| high < 0.0));
    let mapped: Vec<f64> = (-20..=140).map(|x| calibration.apply(f64::from(x) / 10.0)).collect();
    assert!(mapped.windows(2).all(|w| w[0] <= w[1] + 1e-12) && mapped.iter().all(|y| (0.0..=10.0).contains(y)));
    // The same rows and the same seed give the same judgement.
    assert_eq!(Some(calibration), Calibration::judge(&rows, |r| r.predicted, &Digest::of("m"), &recipe(), 19));
}

/// D9: a calibrator of one model on another's scores.
#[test]
fn a_calibrator_knows_its_model_and_its_rows() {
    let rows = judged(120, |i| ((i % 10) as f64, (i % 10) as f64 / 2.0));
    let calibration = Calibration::judge(&rows, |r| r.predicted, &Digest::of("m"), &recipe(), 19).expect("enough rows");
    assert!(!calibration.d9(&Digest::of("m")).failed());
    let d9 = calibration.d9(&Digest::of("another"));
    assert!(d9.failed() && d9.saw.contains(Digest::of("another").short()), "{d9:?}");
    assert!(calibration.e8_at_use(["a1", "elsewhere"].into_iter()).failed());
    assert!(!calibration.e8_at_use(["elsewhere"].into_iter()).failed());
    assert!(Calibration::judge(&rows[..40], |r| r.predicted, &Digest::of("m"), &recipe(), 19).is_none());
}

/// D19: two oracles disagree by 0.6 to 2.5 points.
#[test]
fn an_error_below_the_annotators_own_says_so_and_few_rows_give_no_floor() {
    let row = |i: usize| Row {
        article: format!("a{}", i / 4),
        profile: format!("p{}", i % 4),
        truth: (i % 9) as f64,
        predicted: Some(((i % 9) as f64 + if i.is_multiple_of(2) { 1.2 } else { -0.8 }).clamp(0.0, 10.0)),
    };
    let rows: Vec<Row> = (0..80).map(row).collect();
    let floor = NoiseFloor::between("a", "b", &rows, true, &recipe(), 19);
    assert!(floor.enough() && !floor.copied() && floor.interval.is_some(), "{floor:?}");
    assert!(d19(Some(&floor), Some(0.4)).saw.contains("within it") && !d19(Some(&floor), Some(3.0)).saw.contains("within it"));
    assert!(d19(Some(&NoiseFloor::between("a", "b", &rows[..49], true, &recipe(), 19)), Some(1.0)).failed());
    assert!(d19(None, Some(1.0)).failed());
}

/// Records of before there were row sets still read, and say whose they are.
#[test]
fn an_old_record_still_reads() {
    let evaluation = evaluation(&rows(10, |_, _, truth| Some(truth)));
    let mut old = serde_json::to_value(&evaluation).expect("plain");
    let fields = old.as_object_mut().expect("an object");
    for new in ["predictor", "row_set", "rows", "groups", "calibration", "expected", "floor", "causes", "probes", "settings"] {
        fields.remove(new);
    }
    for baseline in fields["baselines"].as_array_mut().expect("a list") {
        baseline.as_object_mut().expect("an object").remove("intervals");
    }
    let read: Evaluation = serde_json::from_value(old).expect("reads");
    assert_eq!((read.predictor_name(), read.rows_name(), read.rows.len()), ("student", "held-out", 0));
    assert_eq!(read.metrics, evaluation.metrics);
    assert_eq!(read.subject.digest(), evaluation.subject.digest());
}

//! Every failure that these guards make impossible, made once more.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::domain::ChatMessage;
use crate::domain::Role;
use crate::domain::recipe::OrderStrategy;
use crate::student::ChatTemplate;
use crate::student::adapter::AdapterRules;
use crate::student::matrix::Keep;
use crate::train::learner::{Learner, Subject};
use crate::train::tests::{job, rules, toy_rows, toy_subject};

fn world() -> (crate::train::TrainJob, Vec<Row>) {
    let job = job(Path::new("unused"));
    let rows = job.encode(&job.train).unwrap();
    (job, rows)
}

#[test]
fn loss_on_prompts_or_a_missing_end_is_seen_t1() {
    let (job, rows) = world();
    let sound = t1(&job.codec, &job.train, &rows).unwrap();
    assert!(!sound.failed() && sound.saw.contains("% of"), "{sound:?}");
    let all = |change: &dyn Fn(&mut Row)| {
        let mut rows = rows.clone();
        rows.iter_mut().for_each(change);
        t1(&job.codec, &job.train, &rows).unwrap()
    };
    let everywhere = all(&|row| row.encoded.loss_from = 1);
    assert!(everywhere.failed() && everywhere.saw.contains("prompt tokens carry loss"), "{everywhere:?}");
    let late = all(&|row| row.encoded.loss_from += 2);
    assert!(late.failed() && late.saw.contains("carry none"), "{late:?}");
    let endless = all(&|row| *row.encoded.ids.last_mut().unwrap() = 5);
    assert!(endless.failed() && endless.saw.contains("is not"), "{endless:?}");
}

#[test]
fn a_template_that_serves_otherwise_than_it_trains_is_seen_t11() {
    let (job, rows) = world();
    assert!(!t11(&job.codec, &job.train, &rows).unwrap().failed());
    let mut served = job.codec.clone();
    let other = served.template.source().replace("assistant", "assistant now");
    served.template = ChatTemplate::new(&other).unwrap();
    let seen = t11(&served, &job.train, &rows).unwrap();
    assert!(seen.failed() && seen.saw.contains("differs from token"), "{seen:?}");
}

#[test]
fn rows_that_are_too_long_are_listed_and_a_length_is_advised_t9() {
    let (_, mut rows) = world();
    assert!(!t9(&rows, 128, &[]).failed() && t9(&rows, 1024, &[]).saw.contains("p99 + 10 % is"));
    rows[3].encoded.ids.extend(vec![1; 200]);
    let seen = t9(&rows, 128, &[]);
    assert!(seen.failed() && seen.saw.contains("train-3 (") && !seen.saw.contains("train-4"), "{seen:?}");
    assert!(!t9(&[], 128, &[]).failed());
    let left_out: Vec<(String, usize)> = (0..12).map(|i| (format!("row-{i}"), 900 - i)).collect();
    let seen = t9(&rows[..3], 1024, &left_out);
    assert!(seen.failed() && seen.saw.contains("12 longer rows are left out of the run: row-0 (900)"), "{seen:?}");
    assert!(seen.saw.ends_with("row-9 (891) and 2 more"), "{seen:?}");
}

/// A hundred rows over two bands, their order, and what is seen of it.
fn seen_of(strategy: OrderStrategy, change: impl Fn(&mut Vec<u32>), dir: &Path) -> Finding {
    let mut run = rules().run;
    run.order = strategy;
    let rows: Vec<OrderRow> = (0..100)
        .map(|i| OrderRow {
            score: if i % 4 == 0 { 9.0 } else { 0.5 + f64::from(i) / 100.0 },
            repeats: 1 + u32::from(i % 4 == 0),
            weight: if i % 4 == 0 { 3.0 } else { 1.0 },
        })
        .collect();
    let mut first = crate::dataset::order(&rows, strategy, 5.0, 7, 0);
    change(&mut first);
    let bands = Bands::from_edges(&[0.0, 5.0]).unwrap();
    let ids: Vec<String> = (0..100).map(|i| format!("row-{i}")).collect();
    Order { run: &run, rows: &rows, ids: &ids, bands: &bands, middle: 5.0, orders: &[first], seed: 19 }.t8(dir)
}

#[test]
fn a_shuffled_curriculum_an_ignored_sampler_and_a_changed_order_are_seen_t8() {
    let dir = || tempfile::tempdir().unwrap();
    for strategy in [OrderStrategy::Curriculum, OrderStrategy::Shuffle, OrderStrategy::Weighted] {
        let dir = dir();
        for _ in 0..2 {
            let seen = seen_of(strategy, |_| {}, dir.path());
            assert!(!seen.failed(), "{strategy:?} {seen:?}");
        }
        let log = std::fs::read_to_string(dir.path().join("order.jsonl")).unwrap();
        assert!(log.starts_with("{\"epoch\":1,\"ids\":[\"row-"), "{log}");
    }
    let shuffled = seen_of(OrderStrategy::Curriculum, |order| order.reverse(), dir().path());
    assert!(shuffled.failed() && shuffled.saw.contains("not one"), "{shuffled:?}");
    let ignored = seen_of(OrderStrategy::Weighted, |order| *order = (0..100).collect(), dir().path());
    assert!(ignored.failed() && ignored.saw.contains("not what is read"), "{ignored:?}");
    let lost = seen_of(
        OrderStrategy::Shuffle,
        |order| {
            order.pop();
        },
        dir().path(),
    );
    assert!(lost.failed() && lost.saw.contains("instead of"), "{lost:?}");
    let again = dir();
    seen_of(OrderStrategy::Shuffle, |_| {}, again.path());
    let changed = seen_of(OrderStrategy::Shuffle, |order| order.swap(0, 90), again.path());
    assert!(changed.failed() && changed.saw.contains("epoch 1"), "{changed:?}");
}

#[test]
fn a_loss_that_is_shown_eight_times_or_a_thirty_fifth_is_seen_t6() {
    assert!(!numbers::same_loss(2.0, 2.0004).failed());
    assert!(numbers::same_loss(16.0, 2.0).failed() && numbers::same_loss(2.0 / 35.0, 2.0).failed());
    assert!(numbers::same_loss(f64::NAN, 2.0).failed());
}

/// A toy base with an adapter that has learnt a little, as a subject.
fn adapter_subject() -> (Subject, Vec<Row>) {
    let (job, rows) = world();
    let vocab = job.subject.config().vocab_size;
    let config = crate::student::config::tests::toy(vocab);
    let weights = crate::bench::train::random(&config, Keep::F32).unwrap();
    let base = crate::student::base::Base { config, codec: job.codec, weights, digest: crate::domain::Digest::of("base") };
    let rules = AdapterRules {
        dora: true,
        rank: 2,
        alpha: 4.0,
        rslora: false,
        dropout: 0.0,
        targets: vec!["q_proj".into(), "up_proj".into()],
    };
    let subject = crate::train::learner::AdapterSubject {
        base: std::sync::Arc::new(base),
        path: "base".into(),
        precision: "f32".into(),
        rules,
        recompute: false,
        device: crate::train::learner::Device::Cpu,
    };
    (Subject::Adapter(Box::new(subject)), rows)
}

#[test]
fn the_shown_loss_is_the_mean_cross_entropy_of_another_path_t6() {
    let (toy, numbers) = toy_subject();
    let (adapter, rows) = adapter_subject();
    for (subject, numbers) in [(&toy, numbers), (&adapter, adapter.fresh(3))] {
        let learner = Learner::new(subject).unwrap();
        let seen = t6(&learner, &numbers, &[&short(&rows[0]), &short(&rows[1])]).unwrap();
        assert!(!seen.failed(), "{seen:?}");
    }
}

#[test]
fn a_weight_counts_at_micro_batch_one_and_a_no_op_is_seen_t7() {
    let (toy, numbers) = toy_subject();
    let (adapter, rows) = adapter_subject();
    for (subject, numbers) in [(&toy, numbers), (&adapter, adapter.fresh(3))] {
        let learner = Learner::new(subject).unwrap();
        let seen = t7(&learner, &numbers, [&short(&rows[0]), &short(&rows[1])]).unwrap();
        assert!(!seen.failed(), "{seen:?}");
    }
    // Each micro-batch of one row divided by its own weight: the weight vanishes.
    let no_op = |w: [f32; 2]| {
        let on = w.map(|w| if w > 0.0 { 1.0_f32 } else { 0.0 });
        let sum = (5.0 * on[0] + 9.0 * on[1]).max(1.0);
        Ok(vec![5.0 * on[0] / sum, 9.0 * on[1] / sum])
    };
    assert!(numbers::weight_counts([5, 9], no_op).unwrap().failed());
}

#[test]
fn layers_without_adapters_and_frozen_ones_are_seen_t12() {
    let (subject, _) = adapter_subject();
    let Subject::Adapter(a) = &subject else { unreachable!() };
    let (config, mut shapes) = (&a.base.config, subject.shapes());
    assert!(!t12(config, Some(&a.rules), &shapes).failed());
    let (toy, _) = toy_subject();
    assert!(!t12(toy.config(), None, &toy.shapes()).failed());
    let first: BTreeMap<_, _> = shapes.clone().into_iter().filter(|(n, _)| n.contains("layers.0")).collect();
    let seen = t12(config, Some(&a.rules), &first);
    assert!(seen.failed() && seen.saw.contains("1 of 2 layers"), "{seen:?}");
    shapes.retain(|name, _| !name.contains("up_proj"));
    assert!(t12(config, Some(&a.rules), &shapes).failed());
    let wider: BTreeMap<_, _> = subject.shapes().into_iter().map(|(n, s)| (n, s.iter().map(|d| d + 1).collect())).collect();
    assert!(t12(config, Some(&a.rules), &wider).saw.contains("expected"));
    assert!(t12(config, Some(&AdapterRules { targets: Vec::new(), ..a.rules.clone() }), &shapes).failed());
}

#[test]
fn a_skill_that_the_base_has_already_is_seen_t16() {
    let (subject, _) = adapter_subject();
    let fresh = t16(&subject, 2.5, 16);
    assert!(!fresh.failed() && fresh.saw.contains("blind guessing loses 5."), "{fresh:?}");
    assert!(t16(&subject, 0.05, 16).failed() && t16(&subject, f64::NAN, 16).failed());
}

#[test]
fn more_than_two_changed_variables_are_named_t4() {
    let run = json!({"run": {"learning_rate": 1e-4, "epochs": 2, "order": "shuffle"}, "seed": 7, "rows": {"train": 9}});
    assert!(!t4(None, &run).failed() && !t4(Some(&run), &run).failed());
    let mut other = run.clone();
    (other["seed"], other["rows"]["train"]) = (json!(8), json!(10));
    let one = t4(Some(&run), &other);
    assert!(!one.failed() && one.saw.contains("seed 7 → 8") && !one.saw.contains("rows"), "{one:?}");
    (other["run"]["epochs"], other["run"]["order"]) = (json!(3), json!("curriculum"));
    let many = t4(Some(&run), &other);
    assert!(many.failed() && many.saw.contains("3 variables") && many.saw.contains("run.epochs 2 → 3"), "{many:?}");
}

#[test]
fn effective_settings_are_written_and_read_back_t18() {
    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path());
    let now = settings(&job);
    let seen = t18(dir.path(), &now).unwrap();
    assert!(seen.saw.contains("digest") && now["student"]["shape"]["hidden_size"] == json!(16), "{now}");
    assert_eq!(parent_settings(dir.path()), Some(now.clone()));
    let mut changed = job;
    changed.run.learning_rate *= 2.0;
    assert_eq!(differences(&now, &settings(&changed)).len(), 1);
    let (subject, _) = adapter_subject();
    changed.subject = subject;
    assert_eq!(settings(&changed)["student"]["rules"]["rank"], json!(2));
}

#[test]
fn a_full_disk_is_forecast_t3() {
    assert!(!t3(5_000_000, Some(1 << 30)).failed() && !t3(5_000_000, None).failed());
    let seen = t3(5_000_000, Some(100 << 20));
    assert!(seen.failed() && seen.saw.contains("100 MiB are free"), "{seen:?}");
}

#[test]
fn an_earlier_fine_tune_is_not_taken_for_a_fresh_base_t19() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("SmolLM2-135M");
    std::fs::create_dir(&base).unwrap();
    assert!(!t19(&base, false).failed());
    for sign in ["adapter_config.json", "stratos_base.json", "trainer_state.json", "manifest.json"] {
        std::fs::write(base.join(sign), "{}").unwrap();
        let seen = t19(&base, false);
        assert!(seen.failed() && seen.saw.contains(sign) && seen.remedy.contains("train.continues"), "{seen:?}");
        assert!(!t19(&base, true).failed());
        std::fs::remove_file(base.join(sign)).unwrap();
    }
    let checkpoint = dir.path().join("checkpoint-1200");
    std::fs::create_dir(&checkpoint).unwrap();
    assert!(t19(&checkpoint, false).failed());
    for name in ["settings.json", "steps.jsonl"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    assert!(t19(&base, false).saw.contains("a run of this program"));
}

#[test]
fn rows_cut_short_keep_their_meeting_of_prompt_and_answer() {
    let row = &toy_rows()[0];
    let cut = short(row);
    let e = &cut.encoded;
    assert!(e.loss_from <= 48 && e.loss_tokens() <= 16 && e.loss_tokens() > 0);
    assert_eq!(e.ids[e.loss_from], row.encoded.ids[row.encoded.loss_from]);
    let lone = ChatMessage::new(Role::User, "x");
    assert!(t1(&job(Path::new("unused")).codec, &[], &[]).is_ok() && lone.content == "x");
}

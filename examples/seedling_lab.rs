//! Throw-away harness: trains the seedling on the rehearsal teacher and measures it on articles it never saw.
//! `seedling_lab [key=value …]` overrides keys of the recipe's [seedling] and [sampling] blocks.
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;
use stratos::domain::*;
use stratos::student::random::Stream;
use stratos::student::{ChatTemplate, Codec, Prompt, Student, StudentConfig, StudentTokenizer, generate, template};
use stratos::teacher::rehearsal::Judge;
use stratos::train::*;

struct Print(Instant, usize);
impl TrainControl for Print {
    fn gate(&mut self) -> Gate {
        Gate::Continue
    }
    fn on_event(&mut self, e: &TrainEvent) {
        match e {
            TrainEvent::Step(s) => {
                self.1 += s.tokens;
                if s.step % 20 == 0 || s.step < 4 {
                    println!(
                        "  step {} epoch {} loss {:.3} lr {:.5} norm {:.2} {:.0} tok/s (avg {:.0})",
                        s.step,
                        s.epoch,
                        s.loss,
                        s.lr,
                        s.grad_norm,
                        s.tokens as f64 / s.seconds,
                        self.1 as f64 / self.0.elapsed().as_secs_f64()
                    )
                }
            }
            TrainEvent::Checkpoint { .. } => {}
            TrainEvent::Eval(e) => {
                println!("EVAL step {} loss {:.4} best {} at {:.0}s", e.step, e.loss, e.best, self.0.elapsed().as_secs_f64())
            }
            e => println!("{e:?}"),
        }
    }
}

fn main() {
    let mut recipe: toml::Table = toml::from_str(include_str!("../data/recipes/stratos-v19.toml")).unwrap();
    let (mut out, mut seed, mut skip, mut hold) = ("/tmp/lab".to_owned(), 7u64, false, 3usize);
    for arg in std::env::args().skip(1) {
        let (k, v) = arg.split_once('=').unwrap();
        match k {
            "out" => {
                out = v.into();
                continue;
            }
            "seed" => {
                seed = v.parse().unwrap();
                continue;
            }
            "skip" => {
                skip = true;
                continue;
            }
            "hold" => {
                hold = v.parse().unwrap();
                continue;
            }
            _ => {}
        }
        let block = if recipe["sampling"].get(k).is_some() { "sampling" } else { "seedling" };
        let value: toml::Table =
            toml::from_str(&format!("x = {v}")).unwrap_or_else(|_| toml::from_str(&format!("x = \"{v}\"")).unwrap());
        recipe[block].as_table_mut().unwrap().insert(k.into(), value["x"].clone());
    }
    let recipe = Recipe::from_toml(&toml::to_string(&recipe).unwrap()).unwrap();
    let rules = recipe.seedling.clone();
    let rows: Vec<ProfileRow> = serde_json::from_str(include_str!("../data/profiles_v19.json")).unwrap();
    let profiles: Vec<Profile> = rows.into_iter().map(|r| r.into_profile().unwrap()).collect();
    let articles: Vec<Article> = serde_json::from_str(include_str!("../data/polarizing_articles_v19.json")).unwrap();
    let (judge, renderer) = (Judge::shipped().unwrap(), Renderer::new(&recipe).unwrap());
    let (mut train, mut eval, mut truth_train) = (vec![], vec![], vec![]);
    let mut held = vec![];
    let (mut noise, mut words) = (0, 0);
    for (a, article) in articles.iter().enumerate() {
        for profile in &profiles {
            let prism = judge.judge(profile, article, &recipe.depth, &recipe.bands);
            let prompt = renderer.student(profile, article).unwrap().messages();
            let mut messages = prompt.clone();
            messages.push(ChatMessage::new(Role::Assistant, prism.answer()));
            noise += usize::from(prism.score < 2.0);
            words += word_count(&prism.think());
            let id = format!("{a}/{:?}", profile.id);
            let example = TrainExample { id: id.clone(), messages, weight: 1.0 };
            if a % 10 == hold {
                eval.push(example);
                held.push((a, Prompt { id, messages: prompt }, prism));
            } else {
                truth_train.push(prism.score);
                train.push(example);
            }
        }
    }
    println!(
        "{} train, {} eval, noise share {:.2}, mean words {:.0}",
        train.len(),
        eval.len(),
        noise as f64 / (train.len() + eval.len()) as f64,
        words as f64 / (train.len() + eval.len()) as f64
    );
    // up-sampling
    let mut by: Vec<Vec<u32>> = vec![vec![]; recipe.data.targets.len()];
    for (i, s) in truth_train.iter().enumerate() {
        let t = recipe.data.targets.iter().position(|t| t.bands.iter().any(|b| b == recipe.bands.name_of(*s))).unwrap();
        by[t].push(i as u32);
    }
    println!("target groups {:?}", by.iter().map(Vec::len).collect::<Vec<_>>());
    let total = recipe.data.targets.iter().zip(&by).map(|(t, b)| b.len() as f64 / t.share).fold(0.0, f64::max);
    let mut base = vec![];
    for (t, b) in recipe.data.targets.iter().zip(&by) {
        let want = ((total * t.share) as usize).clamp(b.len(), b.len() * recipe.data.max_repeat);
        base.extend((0..want).map(|i| b[i % b.len()]));
    }
    let orders: Vec<Vec<u32>> = (0..rules.run.epochs)
        .map(|e| {
            let mut order = base.clone();
            let mut s = Stream::new(seed, &["order", &e.to_string()]);
            for i in (1..order.len()).rev() {
                let j = (s.unit() * (i + 1) as f64) as usize;
                order.swap(i, j);
            }
            if e == 0 && rules.run.order == recipe::OrderStrategy::Curriculum {
                order.sort_by(|a, b| (truth_train[*b as usize] - 5.0).abs().total_cmp(&(truth_train[*a as usize] - 5.0).abs()));
            }
            order
        })
        .collect();
    println!("epoch of {} rows", base.len());
    let t = Instant::now();
    let texts: Vec<&str> = train.iter().flat_map(|e| e.messages.iter().map(|m| m.content.as_str())).collect();
    let tokenizer = StudentTokenizer::train(texts, rules.vocab_size).unwrap();
    println!("tokenizer {} in {:.1}s", tokenizer.vocab_size(), t.elapsed().as_secs_f64());
    let config = StudentConfig::seedling(&rules, &tokenizer).unwrap();
    let codec = Codec { tokenizer, template: ChatTemplate::new(template::CHATML).unwrap() };
    let job =
        TrainJob { run_dir: out.clone().into(), rules, seed, config, codec, train, eval, orders, data_digest: Digest::of("lab") };
    let rows = job.encode(&job.train).unwrap();
    println!(
        "mean ids {:.0}, mean loss ids {:.0}",
        rows.iter().map(|r| r.encoded.ids.len()).sum::<usize>() as f64 / rows.len() as f64,
        rows.iter().map(|r| r.encoded.loss_tokens()).sum::<usize>() as f64 / rows.len() as f64
    );
    if !skip {
        let _ = std::fs::remove_dir_all(&out);
        let t = Instant::now();
        println!("{:?}", train_(&job));
        println!("trained in {:.0}s", t.elapsed().as_secs_f64());
    }
    let student = Student::load(&job.run_dir.join("best")).unwrap();
    let prompts: Vec<Prompt> = held.iter().map(|h| h.1.clone()).collect();
    let t = Instant::now();
    let answers = generate(&student, &prompts, &recipe.sampling, seed, &|_| ControlFlow::Continue(())).unwrap();
    let tokens: usize = answers.iter().map(|a| a.tokens).sum();
    println!("wrote {} answers, {tokens} tokens in {:.1}s", answers.len(), t.elapsed().as_secs_f64());
    let (mut mae, mut format, mut pairs, mut ordered) = (0.0, 0, 0.0, 0.0);
    let mut by_article: BTreeMap<usize, Vec<(f64, Option<f64>)>> = BTreeMap::new();
    let mut stops: BTreeMap<String, usize> = BTreeMap::new();
    let mut bands: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for ((a, _, prism), answer) in held.iter().zip(&answers) {
        let got = Answer::parse_strict(&answer.text, true, (0.0, 10.0));
        format += usize::from(got.is_ok());
        if let Err(e) = &got {
            println!(
                "DEFECT {e} stop {:?}: …{}",
                answer.stop,
                answer.text.chars().rev().take(200).collect::<String>().chars().rev().collect::<String>()
            );
        }
        *stops.entry(format!("{:?}", answer.stop)).or_default() += 1;
        let p = got.ok().map(|g| g.score);
        let err = p.map_or(prism.score.max(10.0 - prism.score), |p| (p - prism.score).abs());
        mae += err;
        let b = bands.entry(recipe.bands.name_of(prism.score).to_owned()).or_default();
        b.0 += 1;
        b.1 += err;
        by_article.entry(*a).or_default().push((prism.score, p));
    }
    for rows in by_article.values() {
        for x in rows {
            for y in rows {
                if x.0 - y.0 >= 3.0 {
                    pairs += 1.0;
                    ordered += match (x.1, y.1) {
                        (Some(p), Some(q)) => {
                            if p > q {
                                1.0
                            } else if p == q {
                                0.5
                            } else {
                                0.0
                            }
                        }
                        _ => 0.0,
                    };
                }
            }
        }
    }
    let n = held.len() as f64;
    mae /= n;
    let mut sorted = truth_train.clone();
    sorted.sort_by(f64::total_cmp);
    let constant = sorted[sorted.len() / 2];
    let cmae = held.iter().map(|h| (h.2.score - constant).abs()).sum::<f64>() / n;
    for (a, rows) in &by_article {
        println!(
            "{a:3} {}",
            rows.iter()
                .map(|(g, p)| format!("{g:.1}/{}", p.map_or("-".into(), |p| format!("{p:.1}"))))
                .collect::<Vec<_>>()
                .join("  ")
        );
    }
    println!("{bands:?} stops {stops:?}");
    println!(
        "RESULT mae {mae:.3} constant({constant}) {cmae:.3} skill {:.3} contrast {:.3} of {pairs} format {:.3}",
        1.0 - mae / cmae,
        ordered / pairs,
        format as f64 / n
    );
    for i in [3, 14, 40, 77] {
        if let Some(a) = answers.get(i) {
            println!("--- {} truth {}\n{}\nTEACHER {}", a.id, held[i].2.score, a.text, held[i].2.answer());
        }
    }
}
fn train_(job: &TrainJob) -> Result<TrainOutcome, TrainError> {
    train(job, &mut Print(Instant::now(), 0))
}

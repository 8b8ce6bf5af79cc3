//! What learns: everything of a small student, or an adapter on a frozen base, on the CPU by hand or on another device by
//! candle. Owns how a step's rows become packed micro-batches; numbers, order and the loop are its neighbours'.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::objective::{Measured, Noise, Row, totals};
use crate::student::adapter::{self, Adapted, AdapterGradients, AdapterRules};
use crate::student::base::Base;
use crate::student::full::{Full, FullGradients};
use crate::student::ops::{Dropout, LossRows};
use crate::student::parameters::Parameters;
use crate::student::pass::{Drops, Gradients, Lesson, Pass, Trainable};
use crate::student::peft::{Adapter, BaseRecord};
use crate::student::portable::{self, Portable};
use crate::student::{self, Codec, PackedTexts, StudentConfig, StudentError, weights};

/// A beginning that several rows share is computed once from so many tokens on.
const WORTH_SHARING: usize = 16;

/// How heavy a micro-batch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Load {
    /// Tokens that are computed; a shared beginning counts once.
    pub tokens: usize,
    pub loss_rows: usize,
    /// Tokens that its texts see, shared beginnings counted for each.
    pub seen: usize,
    /// Of its longest text.
    pub longest: usize,
}

impl Load {
    fn of(batch: &PackedTexts, at: &LossRows) -> Self {
        let lengths = || batch.texts().iter().map(|t| t.own.len() + t.prefix.len());
        Self { tokens: batch.tokens(), loss_rows: at.rows.len(), seen: lengths().sum(), longest: lengths().max().unwrap_or(0) }
    }
}

/// The heaviest micro-batch of these steps of an adapter's training, packed as it will be.
pub fn heaviest<'r>(steps: impl Iterator<Item = Vec<&'r Row>>, micro_batch: usize) -> Load {
    let all = steps.flat_map(|rows| {
        let load = |rows: &Vec<(usize, &Row)>| {
            let (batch, at) = pack(rows, 1.0, None);
            Load::of(&batch, &at)
        };
        cut(&rows, micro_batch).iter().map(load).collect::<Vec<_>>()
    });
    all.max_by_key(|load| (load.tokens, load.loss_rows)).unwrap_or_default()
}

/// Which tokens a row's loss is asked for, as the pass is told: the token before, and the token.
pub fn predicted(row: &Row) -> Vec<(u32, u32)> {
    let (batch, at) = pack(&[(0, row)], 1.0, None);
    at.rows.iter().map(|r| batch.ids()[*r as usize]).zip(at.targets).collect()
}

/// What a run trains.
#[derive(Debug, Clone)]
pub enum Subject {
    /// All weights of a fresh student of the Qwen3 family.
    Full(Box<StudentConfig>),
    Adapter(Box<AdapterSubject>),
}

#[derive(Debug, Clone)]
pub struct AdapterSubject {
    pub base: Arc<Base>,
    pub path: PathBuf,
    /// How the base's matrices are kept.
    pub precision: String,
    pub rules: AdapterRules,
    /// Computes each layer again on the way back, in less memory.
    pub recompute: bool,
    pub device: Device,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    Cpu,
    Cuda,
    Metal,
}

impl Device {
    /// As candle opens it.
    pub fn open(self) -> Result<candle_core::Device, StudentError> {
        let missing = |feature: &str| StudentError::Config(format!("this binary was built without --features {feature}"));
        match self {
            Self::Cpu => Ok(candle_core::Device::Cpu),
            Self::Cuda if cfg!(feature = "cuda") => Ok(candle_core::Device::new_cuda(0)?),
            Self::Metal if cfg!(feature = "metal") => Ok(candle_core::Device::new_metal(0)?),
            Self::Cuda => Err(missing("cuda")),
            Self::Metal => Err(missing("metal")),
        }
    }
}

impl Subject {
    pub fn config(&self) -> &StudentConfig {
        match self {
            Self::Full(config) => config,
            Self::Adapter(a) => &a.base.config,
        }
    }

    /// What learns, before the first step.
    pub fn fresh(&self, seed: u64) -> Parameters {
        match self {
            Self::Full(config) => weights::fresh(config, seed),
            Self::Adapter(a) => adapter::fresh(&a.rules, &a.base.weights, seed),
        }
    }

    /// Share of what adapters read that is dropped in training.
    pub fn adapter_dropout(&self) -> f64 {
        match self {
            Self::Full(_) => 0.0,
            Self::Adapter(a) => a.rules.dropout,
        }
    }

    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        match self {
            Self::Full(config) => weights::shapes(config),
            Self::Adapter(a) => a.rules.shapes(&a.base.weights),
        }
    }

    /// What a checkpoint must agree with, beside the data.
    pub fn identity(&self) -> String {
        match self {
            Self::Full(config) => config.to_json(),
            Self::Adapter(a) => format!("{} {} {:?} {:?}", a.base.digest, a.precision, a.rules, a.device),
        }
    }

    /// The folder of a student with these numbers.
    pub fn files(&self, codec: &Codec, numbers: &Parameters) -> Result<Vec<(&'static str, Vec<u8>)>, StudentError> {
        match self {
            Self::Full(config) => student::files(config, codec, numbers),
            Self::Adapter(a) => {
                let base = BaseRecord {
                    path: a.path.clone(),
                    digest: a.base.digest.clone(),
                    precision: a.precision.clone(),
                    thinking: codec.template.thinking(),
                };
                Adapter { rules: a.rules.clone(), numbers: numbers.clone(), base: Some(base) }.files()
            }
        }
    }
}

/// A subject with its buffers.
pub struct Learner<'a> {
    subject: &'a Subject,
    pass: Pass,
    portable: Option<Portable>,
}

impl<'a> Learner<'a> {
    pub fn new(subject: &'a Subject) -> Result<Self, StudentError> {
        let portable = match subject {
            Subject::Adapter(a) if a.device != Device::Cpu => {
                Some(Portable::new(&a.base.config, &a.base.weights, &a.device.open()?)?)
            }
            _ => None,
        };
        Ok(Self { subject, pass: Pass::new(subject.config()), portable })
    }

    /// Loss and gradients of one optimizer step. Rows without weight give 0, not NaN.
    pub fn learn(
        &self,
        numbers: &Parameters,
        rows: &[&Row],
        micro_batch: usize,
        noise: Noise,
    ) -> Result<(Measured, Parameters), StudentError> {
        let (weight_sum, mut measured) = totals(rows);
        let mut gradients = numbers.like();
        if weight_sum <= 0.0 {
            return Ok((measured, gradients));
        }
        match self.subject {
            Subject::Full(config) => {
                let full = Full::new(config, numbers, true);
                // Small students: whole micro-batches side by side, sums in their order.
                let part = |(i, rows): (usize, &Vec<(usize, &Row)>)| {
                    let (batch, at) = pack(rows, weight_sum, Some(noise));
                    let mut part = numbers.like();
                    let lesson = FullGradients { config, into: &mut part };
                    (self.lesson(&full, &batch, &at, lesson, noise.drops(i), false), part)
                };
                let parts: Vec<(f64, Parameters)> = deal(rows, micro_batch).par_iter().enumerate().map(part).collect();
                for (loss, part) in parts {
                    measured.loss += loss;
                    gradients.add(&part);
                }
            }
            Subject::Adapter(a) if self.portable.is_none() => {
                let adapted = Adapted::new(&a.base.weights, Some((&a.rules, numbers)));
                for (i, rows) in cut(rows, micro_batch).iter().enumerate() {
                    let (batch, at) = pack(rows, weight_sum, Some(noise));
                    let lesson = AdapterGradients { adapted: &adapted, into: &mut gradients };
                    measured.loss += self.lesson(&adapted, &batch, &at, lesson, noise.drops(i), a.recompute);
                }
            }
            Subject::Adapter(a) => {
                for (i, rows) in cut(rows, micro_batch).iter().enumerate() {
                    let (loss, part) = self.elsewhere(&a.rules, numbers, rows, weight_sum, noise.drops(i).adapter)?;
                    measured.loss += loss;
                    gradients.add(&part);
                }
            }
        }
        Ok((measured, gradients))
    }

    fn lesson(
        &self,
        weights: &dyn Trainable,
        batch: &PackedTexts,
        at: &LossRows,
        mut gradients: impl Gradients,
        drops: Drops,
        recompute: bool,
    ) -> f64 {
        self.pass.loss(weights, batch, at, Some(Lesson { gradients: &mut gradients, drops, recompute }))
    }

    /// One micro-batch on candle's device.
    fn elsewhere(
        &self,
        rules: &AdapterRules,
        numbers: &Parameters,
        rows: &[(usize, &Row)],
        weight_sum: f64,
        drop: Dropout,
    ) -> Result<(f64, Parameters), StudentError> {
        let lessons: Vec<portable::Lesson> = rows.iter().map(|(_, row)| lesson_of(row, weight_sum)).collect();
        match &self.portable {
            Some(portable) => portable.learn(rules, numbers, &lessons, drop),
            None => Err(StudentError::Config("no device was opened".into())),
        }
    }

    /// Mean loss over rows, without gradients or noise.
    pub fn evaluate(&self, numbers: &Parameters, rows: &[&Row], micro_batch: usize) -> Measured {
        let (weight_sum, mut measured) = totals(rows);
        if weight_sum <= 0.0 {
            return measured;
        }
        let loss = |weights: &dyn Trainable, rows: &[(usize, &Row)]| {
            let (batch, at) = pack(rows, weight_sum, None);
            self.pass.loss(weights, &batch, &at, None)
        };
        measured.loss = match self.subject {
            Subject::Full(config) => {
                let full = Full::new(config, numbers, false);
                deal(rows, micro_batch).par_iter().map(|rows| loss(&full, rows)).collect::<Vec<_>>().iter().sum()
            }
            Subject::Adapter(a) => {
                let adapted = Adapted::new(&a.base.weights, Some((&a.rules, numbers)));
                cut(rows, micro_batch).iter().map(|rows| loss(&adapted, rows)).sum()
            }
        };
        measured
    }
}

impl Learner<'_> {
    /// Mean cross-entropy of some rows by another path than training's: all logits at once, the softmax in f64; for a small
    /// base candle's decoder, which shares no arithmetic with ours. For guard T6.
    pub fn independent_loss(&self, numbers: &Parameters, rows: &[&Row]) -> Result<f64, StudentError> {
        const SMALL: usize = 20_000_000;
        let tokens: usize = rows.iter().map(|r| r.encoded.loss_tokens()).sum();
        if let Subject::Adapter(a) = self.subject {
            let numbers_of_base = a.base.weights.layers.iter().flat_map(|l| &l.projections).chain([&a.base.weights.embed]);
            if numbers_of_base.map(|m| m.out() * m.inner()).sum::<usize>() <= SMALL {
                let other = Portable::new(&a.base.config, &a.base.weights, &candle_core::Device::Cpu)?;
                let lessons: Vec<portable::Lesson> = rows
                    .iter()
                    .map(|r| portable::Lesson { ids: &r.encoded.ids, loss_from: r.encoded.loss_from, weight: 1.0 })
                    .collect();
                return Ok(other.learn(&a.rules, numbers, &lessons, Dropout::default())?.0 / tokens.max(1) as f64);
            }
        }
        let sum = |weights: &dyn Trainable| rows.iter().map(|row| self.plain_loss(weights, row)).sum::<f64>();
        let sum = match self.subject {
            Subject::Full(config) => sum(&Full::new(config, numbers, false)),
            Subject::Adapter(a) => sum(&Adapted::new(&a.base.weights, Some((&a.rules, numbers)))),
        };
        Ok(sum / tokens.max(1) as f64)
    }

    /// Σ −log softmax over a row's loss tokens.
    fn plain_loss(&self, weights: &dyn Trainable, row: &Row) -> f64 {
        let ids = &row.encoded.ids;
        let at: Vec<u32> = (row.encoded.loss_from..ids.len()).map(|n| n as u32 - 1).collect();
        let logits = self.pass.logits(weights, &PackedTexts::new([(&ids[..], 0)]), &at);
        let vocab = self.subject.config().vocab_size;
        let nll = |(logits, n): (&[f32], &u32)| {
            let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
            sum.ln() - f64::from(logits[ids[*n as usize + 1] as usize])
        };
        logits.chunks_exact(vocab).zip(&at).map(nll).sum()
    }
}

fn lesson_of(row: &Row, weight_sum: f64) -> portable::Lesson<'_> {
    let weight = (f64::from(row.weight) / weight_sum) as f32;
    portable::Lesson { ids: &row.encoded.ids, loss_from: row.encoded.loss_from, weight }
}

/// Sorts a step's rows by length and deals them like cards, so that every micro-batch gets short and long ones.
fn deal<'r>(rows: &[&'r Row], size: usize) -> Vec<Vec<(usize, &'r Row)>> {
    let mut sorted: Vec<(usize, &Row)> = rows.iter().copied().enumerate().collect();
    sorted.sort_by_key(|(place, row)| (row.encoded.ids.len(), *place));
    let count = sorted.len().div_ceil(size.max(1)).max(1);
    let mut dealt = vec![Vec::new(); count];
    for (i, row) in sorted.into_iter().enumerate() {
        let lap = i / count;
        let seat = if lap.is_multiple_of(2) { i % count } else { count - 1 - i % count };
        dealt[seat].push(row);
    }
    dealt
}

/// Cuts a step's rows into micro-batches in which those of one reader stand together.
fn cut<'r>(rows: &[&'r Row], size: usize) -> Vec<Vec<(usize, &'r Row)>> {
    let mut sorted: Vec<(usize, &Row)> = rows.iter().copied().enumerate().collect();
    sorted.sort_by(|(a, x), (b, y)| x.encoded.ids.cmp(&y.encoded.ids).then(a.cmp(b)));
    sorted.chunks(size.max(1)).map(<[_]>::to_vec).collect()
}

/// One packed micro-batch and its loss positions. Rows that begin alike share that beginning where nothing random touches
/// it; gradients are those of the rows one by one.
fn pack(rows: &[(usize, &Row)], weight_sum: f64, noise: Option<Noise>) -> (PackedTexts, LossRows) {
    let noise = noise.filter(Noise::parts_rows);
    let (mut batch, mut at) = (PackedTexts::default(), LossRows::default());
    let mut from = 0;
    while from < rows.len() {
        let (count, shared) = if noise.is_some() { (1, 0) } else { alike(&rows[from..]) };
        let first = &rows[from].1.encoded.ids[..shared];
        let prefix = if shared > 0 { batch.add(first) } else { 0..0 };
        for (place, row) in &rows[from..from + count] {
            let ids = noise.map_or_else(|| row.encoded.ids.clone(), |n| n.ids(row, *place));
            // The last token predicts nothing, so it is not computed.
            let own = batch.add_after(prefix.clone(), &ids[shared..ids.len() - 1]);
            for predicted in row.encoded.loss_from..row.encoded.ids.len() {
                at.rows.push((own.start + predicted - 1 - shared) as u32);
                at.targets.push(row.encoded.ids[predicted]);
                at.weights.push((f64::from(row.weight) / weight_sum) as f32);
            }
        }
        from += count;
    }
    (batch, at)
}

/// How many of the first rows begin alike, and for how many tokens. Every row keeps the position of its first loss.
fn alike(rows: &[(usize, &Row)]) -> (usize, usize) {
    let own = |row: &Row| row.encoded.loss_from.saturating_sub(1);
    let Some(((_, first), rest)) = rows.split_first() else { return (0, 0) };
    let (mut best, mut shared) = ((1, 0), own(first));
    for (i, (_, row)) in rest.iter().enumerate() {
        let same = first.encoded.ids.iter().zip(&row.encoded.ids).take_while(|(a, b)| a == b).count();
        shared = shared.min(same).min(own(row));
        if shared < WORTH_SHARING {
            break;
        }
        // As long as another row saves more than the shorter beginning costs.
        if shared * (i + 1) >= best.1 * (best.0 - 1) {
            best = (i + 2, shared);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::tests::{toy_rows, toy_subject};
    use super::*;
    use crate::student::Encoded;

    const QUIET: Noise = Noise { prompt: 0.0, blank: 0, hidden: 0.0, adapter: 0.0, seed: 0, step: 0 };

    #[test]
    fn micro_batches_add_up_to_the_whole_step() {
        let (subject, numbers) = toy_subject();
        let (learner, mut rows) = (Learner::new(&subject).unwrap(), toy_rows());
        rows[0].weight = 3.0;
        let rows: Vec<&Row> = rows.iter().collect();
        let (whole, all) = learner.learn(&numbers, &rows, rows.len(), QUIET).unwrap();
        let (parts, sum) = learner.learn(&numbers, &rows, 2, QUIET).unwrap();
        assert!((whole.loss - parts.loss).abs() < 1e-4);
        assert!(all.numbers().iter().zip(sum.numbers()).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!((learner.evaluate(&numbers, &rows, 3).loss - whole.loss).abs() < 1e-4);
    }

    #[test]
    fn rows_that_share_a_beginning_have_the_gradients_of_rows_one_by_one() {
        let (subject, numbers) = toy_subject();
        let learner = Learner::new(&subject).unwrap();
        let mut rows = toy_rows();
        for row in &mut rows {
            // A beginning that all of them have, longer than what is worth sharing.
            let common: Vec<u32> = (0..30).map(|i| i % 7 + 3).collect();
            row.encoded.ids.splice(0..0, common);
            row.encoded.loss_from += 30;
        }
        let rows: Vec<&Row> = rows.iter().collect();
        let (batch, _) = pack(&cut(&rows, rows.len())[0], 1.0, None);
        assert!(batch.tokens() + 4 * 30 <= rows.iter().map(|r| r.encoded.ids.len()).sum::<usize>(), "nothing was shared");
        let (together, shared) = learner.learn(&numbers, &rows, rows.len(), QUIET).unwrap();
        let (apart, single) = learner.learn(&numbers, &rows, 1, QUIET).unwrap();
        assert!((together.loss - apart.loss).abs() < 1e-5);
        let most = single.numbers().iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(shared.numbers().iter().zip(single.numbers()).all(|(a, b)| (a - b).abs() < 1e-5 * most));
    }

    #[test]
    fn the_loss_is_the_weighted_mean_over_loss_tokens() {
        let (subject, numbers) = toy_subject();
        let (learner, mut rows) = (Learner::new(&subject).unwrap(), toy_rows());
        let mean = |rows: &[&Row]| learner.evaluate(&numbers, rows, 8);
        let (a, b) = (mean(&[&rows[0]]), mean(&[&rows[1]]));
        rows[1].weight = 1.0;
        rows[0].weight = 3.0;
        let together = learner.learn(&numbers, &[&rows[0], &rows[1]], 8, QUIET).unwrap().0;
        let (wa, wb) = (3.0 * a.loss_tokens as f64, b.loss_tokens as f64);
        assert!((together.loss - (a.loss * wa + b.loss * wb) / (wa + wb)).abs() < 1e-4);
    }

    #[test]
    fn a_step_without_weight_gives_nought() {
        let (subject, numbers) = toy_subject();
        let (learner, mut rows) = (Learner::new(&subject).unwrap(), toy_rows());
        for row in &mut rows {
            row.weight = 0.0;
        }
        let (measured, gradients) = learner.learn(&numbers, &rows.iter().collect::<Vec<_>>(), 2, QUIET).unwrap();
        assert!(measured.loss == 0.0 && gradients.numbers().iter().all(|g| *g == 0.0));
    }

    #[test]
    fn a_shared_beginning_is_packed_once_and_the_loss_stays_at_its_tokens() {
        let rows = toy_rows();
        let encode = |tail: &[u32]| Row {
            encoded: Encoded { ids: [&(3..40).collect::<Vec<u32>>()[..], tail].concat(), loss_from: 38 },
            ..rows[0].clone()
        };
        let (a, b, c) = (encode(&[1, 2, 3]), encode(&[1, 4]), encode(&[9, 9, 9]));
        let (batch, at) = pack(&[(0, &a), (1, &b), (2, &c)], 1.0, None);
        assert_eq!(batch.tokens(), 37 + 2 + 1 + 2);
        let seen: Vec<(u32, u32)> = at.rows.iter().map(|r| batch.ids()[*r as usize]).zip(at.targets.iter().copied()).collect();
        assert_eq!(seen, [(1, 2), (2, 3), (1, 4), (9, 9), (9, 9)]);
        assert_eq!(batch.positions()[37..], [37, 38, 37, 37, 38]);
    }
}

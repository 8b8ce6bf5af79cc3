//! Proofs that compute: on a few rows cut short, so that they cost next to nothing.

use std::collections::BTreeMap;

use crate::domain::Finding;
use crate::student::adapter::AdapterRules;
use crate::student::base::Projection;
use crate::student::parameters::Parameters;
use crate::student::{Encoded, StudentConfig, StudentError};
use crate::train::forecast::adapter_numbers;
use crate::train::learner::{Learner, Subject};
use crate::train::objective::{Noise, Row};

/// Tokens of a short row's prompt and answer.
const SHORT: (usize, usize) = (48, 16);
/// Nats a token: a base that loses less has the skill already.
const KNOWN: f64 = 0.3;
const QUIET: Noise = Noise { prompt: 0.0, blank: 0, hidden: 0.0, adapter: 0.0, seed: 0, step: 0 };
const DEFECT: &str = "This is a defect of StratOS: please report it with the recipe and the base.";

/// The end of a row's prompt and the beginning of its answer, counted fully.
pub fn short(row: &Row) -> Row {
    let from = row.encoded.loss_from.saturating_sub(SHORT.0);
    let to = row.encoded.ids.len().min(row.encoded.loss_from + SHORT.1);
    let encoded = Encoded { ids: row.encoded.ids[from..to].to_vec(), loss_from: row.encoded.loss_from - from };
    Row { encoded, weight: 1.0, ..row.clone() }
}

/// Guard T6: the loss that is shown is the mean cross-entropy per token, computed by another path.
pub fn t6(learner: &Learner, numbers: &Parameters, rows: &[&Row]) -> Result<Finding, StudentError> {
    let shown = learner.learn(numbers, rows, 1, QUIET)?.0.loss;
    Ok(same_loss(shown, learner.independent_loss(numbers, rows)?))
}

pub(super) fn same_loss(shown: f64, independent: f64) -> Finding {
    let saw = format!("the loss of two short rows is shown as {shown:.4}; their mean cross-entropy is {independent:.4}");
    // Another decoder rounds otherwise; 8 times or a thirty-fifth is never rounding.
    let apart = (shown - independent).abs() / independent.abs().max(1e-3);
    if apart <= 5e-3 { Finding::pass("T6", saw) } else { Finding::fail("T6", saw, DEFECT) }
}

/// Guard T7: a row of twice the weight moves the gradient as the formula says, at micro-batch 1.
pub fn t7(learner: &Learner, numbers: &Parameters, rows: [&Row; 2]) -> Result<Finding, StudentError> {
    let gradient = |weights: [f32; 2]| {
        let weighted = [0, 1].map(|i| Row { weight: weights[i], ..rows[i].clone() });
        let gradients = learner.learn(numbers, &[&weighted[0], &weighted[1]], 1, QUIET)?.1;
        Ok(gradients.numbers().to_vec())
    };
    weight_counts(rows.map(|r| r.encoded.loss_tokens()), gradient)
}

/// `gradient` of two rows with these weights and loss tokens.
pub(super) fn weight_counts(
    tokens: [usize; 2],
    gradient: impl Fn([f32; 2]) -> Result<Vec<f32>, StudentError>,
) -> Result<Finding, StudentError> {
    let (a, b, both) = (gradient([1.0, 0.0])?, gradient([0.0, 1.0])?, gradient([2.0, 1.0])?);
    let [ta, tb] = tokens.map(|t| t as f64);
    let (share_a, share_b) = (2.0 * ta / (2.0 * ta + tb), tb / (2.0 * ta + tb));
    let (mut off, mut size) = (0.0, 0.0);
    for ((a, b), both) in a.iter().zip(&b).zip(&both) {
        let expected = share_a * f64::from(*a) + share_b * f64::from(*b);
        off += (f64::from(*both) - expected).powi(2);
        size += expected.powi(2);
    }
    let apart = (off / size.max(f64::MIN_POSITIVE)).sqrt();
    let saw = format!("with twice the weight on one of two rows the gradient is {apart:.1e} from what the formula gives");
    Ok(if size > 0.0 && apart < 1e-2 { Finding::pass("T7", saw) } else { Finding::fail("T7", saw, DEFECT) })
}

/// Guard T12: what learns covers every layer and target, and counts what the rules count. A checkpoint with other tensors is
/// refused when the run goes on, so this holds after a resume too.
pub fn t12(config: &StudentConfig, rules: Option<&AdapterRules>, learns: &BTreeMap<String, Vec<usize>>) -> Finding {
    let targets: Vec<Projection> = Projection::ALL.into_iter().filter(|p| rules.is_none_or(|r| r.adapts(*p))).collect();
    let parts: &[&str] = match rules {
        Some(rules) if rules.dora => &[".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"],
        Some(_) => &[".lora_A.weight", ".lora_B.weight"],
        None => &[".weight"],
    };
    let whole = |layer: usize, target: &Projection| {
        let prefix = if rules.is_some() { "base_model.model." } else { "" };
        let name = |part: &str| format!("{prefix}model.layers.{layer}.{}{part}", target.module());
        parts.iter().all(|part| learns.contains_key(&name(part)))
    };
    let bare: Vec<usize> = (0..config.num_hidden_layers).filter(|n| !targets.iter().all(|t| whole(*n, t))).collect();
    let counted: u64 = learns.values().map(|s| s.iter().product::<usize>() as u64).sum();
    let expected = match rules {
        Some(rules) => adapter_numbers(config, rules),
        None => crate::student::weights::shapes(config).values().map(|s| s.iter().product::<usize>() as u64).sum(),
    };
    let layers = config.num_hidden_layers;
    if targets.is_empty() || !bare.is_empty() {
        let saw = format!("{} of {layers} layers have no trainable tensors for every target: {bare:?}", bare.len());
        return Finding::fail("T12", saw, "Name targets that the base has in train.targets of the recipe.");
    }
    let saw = format!("{counted} numbers learn in {layers} layers × {} matrices; expected are {expected}", targets.len());
    if counted == expected { Finding::pass("T12", saw) } else { Finding::fail("T12", saw, DEFECT) }
}

/// Guard T16: what the untuned student loses on rows it will be measured on, beside what guessing among all tokens loses.
pub fn t16(subject: &Subject, loss: f64, rows: usize) -> Finding {
    let guessing = (subject.config().vocab_size as f64).ln();
    let who = if matches!(subject, Subject::Adapter(_)) { "the untuned base" } else { "the untrained student" };
    let saw = format!("{who} loses {loss:.3} nats a token on {rows} held-out rows; blind guessing loses {guessing:.2}");
    if loss > KNOWN {
        Finding::pass("T16", saw)
    } else {
        Finding::fail(
            "T16",
            saw,
            "It writes these answers already: check that the rows are not its own, or that training is needed.",
        )
    }
}

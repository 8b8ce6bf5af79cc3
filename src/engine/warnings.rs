//! What is wrong with a run, read from its curves.
//!
//! Owns the rules and their thresholds, as pure functions. When a warning is said, and to whom, is its callers'.

use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::train_view::TrainView;

/// The kinds of warnings; each is said once in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    NotFinite,
    Divergence,
    Plateau,
    Exploding,
    Vanishing,
    Overfitting,
    SlowPace,
}

/// Steps before a loss can be said to leave its path: the first ones of a warm-up jump.
const SETTLING: usize = 30;
/// How quickly the smoothed loss follows: about the last ten steps.
const FOLLOW: f64 = 0.18;
/// A smoothed loss above its own least by this factor, by so many nats, and by this share of what it had fallen has diverged:
/// a curriculum that goes on to harder rows raises it too, but not half the way back.
const DIVERGED: (f64, f64, f64) = (1.5, 0.3, 0.5);
/// Steps in which a loss that moves less than this share stands still.
const STILL: (usize, f64) = (400, 0.005);
/// Below this loss, in nats, there is nothing left to fall.
const LEARNT: f64 = 0.05;
/// Share of the highest rate under which a schedule runs out, and standing still is what it is for.
const SPENT_RATE: f64 = 0.1;
/// A norm so many times the usual, in so many of the last steps.
const EXPLODED: (f64, usize) = (10.0, 3);
/// A norm that is so small a share of the usual.
const VANISHED: f64 = 1e-3;
/// Evaluations in a row that are worse than the best by this share.
const WORSE: (usize, f64) = (3, 0.02);
/// Share of the run's own median of tokens per second.
const SLOW: f64 = 0.5;
/// Steps that "lately" means.
const LATELY: usize = 20;

/// Everything that holds now, in words.
pub fn seen(view: &TrainView) -> Vec<(WarningKind, String)> {
    let rules: [(WarningKind, Option<String>); 7] = [
        (WarningKind::NotFinite, not_finite(view)),
        (WarningKind::Divergence, divergence(&view.loss)),
        (WarningKind::Plateau, plateau(&view.loss, &view.lr)),
        (WarningKind::Exploding, exploding(&view.grad_norm)),
        (WarningKind::Vanishing, vanishing(&view.grad_norm)),
        (WarningKind::Overfitting, overfitting(&view.loss, &view.eval_loss)),
        (WarningKind::SlowPace, slow_pace(&view.tokens_per_second)),
    ];
    rules.into_iter().filter_map(|(kind, text)| Some((kind, text?))).collect()
}

fn not_finite(view: &TrainView) -> Option<String> {
    let curves = [("loss", &view.loss), ("evaluation loss", &view.eval_loss), ("gradient norm", &view.grad_norm)];
    let (name, _) = curves.into_iter().find(|(_, curve)| curve.holes() > 0)?;
    Some(format!("the {name} is no finite number; go on from the last checkpoint with a lower learning rate"))
}

/// The newest finite values, oldest first.
fn recent(curve: &Curve) -> Vec<f64> {
    curve.recent().filter_map(|p| p.value).map(f64::from).collect()
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// What is usual over the whole run.
fn usual(curve: &Curve) -> Option<f64> {
    median(&curve.whole().iter().filter(|b| b.n > 0).map(|b| f64::from(b.mean)).collect::<Vec<_>>())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The smoothed loss stands far above its own least.
pub fn divergence(loss: &Curve) -> Option<String> {
    let values = recent(loss);
    if loss.count() < SETTLING as u64 || values.len() < SETTLING {
        return None;
    }
    let mut smooth = mean(&values[..10]);
    let mut least = smooth;
    for value in &values[10..] {
        smooth += FOLLOW * (value - smooth);
        least = least.min(smooth);
    }
    // Before the newest points, stretches of the whole run stand for the smoothed curve; short ones are noise.
    let stretch = |b: &&super::curve::Bucket| b.n >= 8;
    least = loss.whole().iter().filter(stretch).map(|b| f64::from(b.mean)).fold(least, f64::min);
    let (factor, nats, share) = DIVERGED;
    let first = loss.whole().iter().find(|b| b.n > 0).map_or(least, |b| f64::from(b.mean));
    (smooth > factor * least && smooth > least + nats && smooth > least + share * (first - least))
        .then(|| format!("the loss diverges: {smooth:.3} lately, {least:.3} at its best; lower learning_rate or clip_norm"))
}

/// The loss has stopped falling while the rate is still high.
pub fn plateau(loss: &Curve, lr: &Curve) -> Option<String> {
    let values = recent(loss);
    let (steps, share) = STILL;
    let values = values.get(values.len().checked_sub(steps)?..)?;
    let (before, after) = values.split_at(steps / 2);
    let (before, after) = (mean(before), mean(after));
    let highest = lr.whole().iter().map(|b| f64::from(b.high)).fold(0.0, f64::max);
    let spent = lr.value().is_some_and(|rate| rate < SPENT_RATE * highest);
    let still = before - after < share * before.abs() && after - before < share * before.abs();
    (still && after > LEARNT && !spent)
        .then(|| format!("the loss stands still: {before:.3} and {after:.3} in the halves of the last {steps} steps"))
}

/// Some of the last gradients were far above the usual.
pub fn exploding(norm: &Curve) -> Option<String> {
    let values = recent(norm);
    let usual = usual(norm).filter(|usual| *usual > 0.0 && values.len() >= SETTLING)?;
    let last = &values[values.len() - LATELY..];
    let (factor, times) = EXPLODED;
    let high = last.iter().filter(|v| **v > factor * usual).count();
    let most = last.iter().copied().fold(0.0, f64::max);
    (high >= times)
        .then(|| format!("gradients explode: a norm of {most:.2} where {usual:.2} is usual, {high} times in {LATELY} steps"))
}

/// The last gradients are next to nothing.
pub fn vanishing(norm: &Curve) -> Option<String> {
    let values = recent(norm);
    let usual = usual(norm).filter(|_| values.len() >= SETTLING)?;
    let now = median(&values[values.len() - LATELY..])?;
    (now < VANISHED * usual || now < 1e-9).then(|| format!("gradients vanish: a norm of {now:.1e} where {usual:.1e} is usual"))
}

/// Held-out rows get worse while those that are trained on get better.
pub fn overfitting(loss: &Curve, eval: &Curve) -> Option<String> {
    let values: Vec<(u64, f64)> = eval.recent().filter_map(|p| Some((p.step, f64::from(p.value?)))).collect();
    let (times, share) = WORSE;
    let (at, best) = values.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let after = values.iter().rev().take_while(|(step, v)| *step > at && *v > best * (1.0 + share)).count();
    let last = values.last()?.1;
    let trained = loss.at(at)?.value?;
    let now = mean(&recent(loss).into_iter().rev().take(LATELY).collect::<Vec<_>>());
    // The loss of one step is noise; its neighbourhood is compared.
    let near: Vec<f64> =
        loss.recent().filter(|p| p.step.abs_diff(at) <= LATELY as u64).filter_map(|p| p.value).map(f64::from).collect();
    let before = if near.is_empty() { trained } else { mean(&near) };
    (after >= times && now < before).then(|| {
        format!("it learns by heart: eval loss {last:.3} after {best:.3} at step {at}, while the training loss falls; stop, the best student is kept")
    })
}

/// The run goes at half its own pace.
pub fn slow_pace(tokens: &Curve) -> Option<String> {
    let values = recent(tokens);
    if values.len() < 3 * LATELY {
        return None;
    }
    let (usual, now) = (usual(tokens)?, median(&values[values.len() - LATELY..])?);
    (now < SLOW * usual)
        .then(|| format!("the pace fell to {now:.0} tokens/s where {usual:.0} are usual; does something else use this machine?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: impl IntoIterator<Item = f64>) -> Curve {
        (1..).zip(values).collect()
    }

    /// A deterministic wobble around nought.
    fn wobble(i: usize) -> f64 {
        ((i * 7919) % 101) as f64 / 101.0 - 0.5
    }

    fn falling(n: usize) -> impl Iterator<Item = f64> {
        (0..n).map(|i| 4.0 / (1.0 + i as f64 / 20.0) + 0.5 + 0.2 * wobble(i))
    }

    #[test]
    fn a_loss_diverges_when_it_leaves_its_own_least_and_not_by_one_spike() {
        let risen = falling(200).chain((0..30).map(|i| 0.9 + 0.1 * f64::from(i)));
        let spiked = falling(200).chain([9.0]).chain(falling(400).skip(200));
        let rising: Curve = curve((0..40).map(|i| 1.0 + 0.1 * f64::from(i)));
        for (name, loss, expected) in [
            ("falling", curve(falling(300)), false),
            ("risen", curve(risen), true),
            ("one spike", curve(spiked), false),
            ("from the start", rising, true),
            ("too short to tell", curve((0..20).map(f64::from)), false),
            ("a low loss that wobbles", curve((0..300).map(|i| 0.1 + 0.1 * wobble(i))), false),
            ("long ago", curve(falling(5000).chain((0..600).map(|_| 3.0))), true),
        ] {
            assert_eq!(divergence(&loss).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn a_loss_stands_still_only_while_there_is_something_to_learn_and_a_rate_to_learn_at() {
        let flat = |level: f64| curve((0..500).map(|i| level + 0.2 * level * wobble(i)));
        let constant = curve([1e-3; 500]);
        let spent = curve((0..500).map(|i| 1e-3 * (1.0 - f64::from(i) / 499.0)));
        for (name, loss, lr, expected) in [
            ("flat", flat(2.0), &constant, true),
            ("flat at the end of the schedule", flat(2.0), &spent, false),
            ("nothing left to learn", flat(0.01), &constant, false),
            ("falling", curve((0..500).map(|i| 3.0 - f64::from(i) / 250.0)), &constant, false),
            ("too short", curve([2.0; 300]), &constant, false),
        ] {
            assert_eq!(plateau(&loss, lr).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn gradients_explode_and_vanish_beside_their_own_usual() {
        let norms = |tail: &[f64]| curve((0..200).map(|i| 1.0 + 0.3 * wobble(i)).chain(tail.iter().copied()));
        for (name, tail, explodes, vanishes) in [
            ("quiet", &[1.0; 20][..], false, false),
            ("one spike is clipped", &[50.0, 1.0, 1.0], false, false),
            ("three", &[50.0, 1.0, 80.0, 90.0], true, false),
            ("nothing arrives", &[1e-7; 20], false, true),
        ] {
            let norm = norms(tail);
            assert_eq!((exploding(&norm).is_some(), vanishing(&norm).is_some()), (explodes, vanishes), "{name}");
        }
        assert!(exploding(&curve([1.0, 99.0, 99.0, 99.0])).is_none() && vanishing(&Curve::default()).is_none());
    }

    #[test]
    fn it_learns_by_heart_when_held_out_rows_get_worse_and_trained_ones_better() {
        let loss = curve(falling(500));
        let rising_too = curve((0..500).map(|i| 1.0 + f64::from(i) / 100.0));
        let evals = |values: &[f64]| -> Curve { (1..).map(|i| i * 50).zip(values.iter().copied()).collect() };
        for (name, loss, eval, expected) in [
            ("best is last", &loss, evals(&[3.0, 2.0, 1.0]), false),
            ("two worse", &loss, evals(&[2.0, 1.0, 1.1, 1.2]), false),
            ("three worse", &loss, evals(&[2.0, 1.0, 1.1, 1.2, 1.3]), true),
            ("hardly worse", &loss, evals(&[2.0, 1.0, 1.01, 1.01, 1.01]), false),
            ("training rises too", &rising_too, evals(&[2.0, 1.0, 1.1, 1.2, 1.3]), false),
            ("none", &loss, evals(&[]), false),
        ] {
            assert_eq!(overfitting(loss, &eval).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn a_pace_is_slow_beside_the_runs_own_median() {
        let pace = |now: f64| curve(std::iter::repeat_n(1000.0, 200).chain(std::iter::repeat_n(now, 25)));
        assert!(slow_pace(&pace(400.0)).is_some());
        assert!(slow_pace(&pace(600.0)).is_none() && slow_pace(&curve([1000.0, 1.0])).is_none());
    }

    #[test]
    fn a_sound_run_has_no_warning() {
        let view = TrainView {
            loss: curve(falling(500)),
            eval_loss: (1..=5).map(|i| (i * 100, 2.0 / i as f64)).collect(),
            lr: curve([1e-3; 500]),
            grad_norm: curve((0..500).map(|i| 1.0 + wobble(i))),
            tokens_per_second: curve((0..500).map(|i| 900.0 + 100.0 * wobble(i))),
            ..TrainView::default()
        };
        assert_eq!(seen(&view), []);
    }
}

//! Training's pass through the decoder, written by hand: forward with what backward needs kept in reused buffers, then the
//! gradient of every tensor. The arithmetic is `ops`'; candle's autograd over [`super::Decoder`] is the oracle that the
//! tests hold it against. By hand because autograd spends three quarters of its time on fresh memory and on adding
//! gradients to zeros.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::StudentConfig;
use super::decoder::PackedTexts;
use super::ops::linear::add_weight_gradient;
use super::ops::loss::{self, Learn};
use super::ops::matmul::{Left, Packed, Product};
use super::ops::{Dropout, LossRows, RopeTable, attention, rms_norm, silu_gate};
use super::parameters::Parameters;
use super::weights::{EMBED, HEAD, NORM};

/// The decoder's arithmetic for training; keeps buffers between passes.
#[derive(Debug)]
pub struct Backprop {
    config: StudentConfig,
    names: Vec<Names>,
    rope: RopeTable,
    spare: Mutex<Vec<Workspace>>,
}

#[derive(Debug)]
struct Names {
    input_norm: String,
    post_norm: String,
    q_norm: String,
    k_norm: String,
    q: String,
    k: String,
    v: String,
    o: String,
    gate: String,
    up: String,
    down: String,
}

/// Weights prepared once for all micro-batches of an optimizer step.
#[derive(Debug)]
pub struct Prepared<'a> {
    weights: &'a Parameters,
    forward: BTreeMap<&'a str, Packed>,
    /// Absent where nothing is to be learnt.
    backward: BTreeMap<&'a str, Packed>,
}

impl<'a> Prepared<'a> {
    pub fn new(weights: &'a Parameters, learn: bool) -> Self {
        let (mut forward, mut backward) = (BTreeMap::new(), BTreeMap::new());
        for (name, vector, numbers) in weights.iter() {
            if let ([out, inner], false) = (weights.shape(name), vector) {
                forward.insert(name, Packed::transposed(numbers, *out, *inner, *inner));
                if learn {
                    backward.insert(name, Packed::rows(numbers, *out, *inner, *inner));
                }
            }
        }
        Self { weights, forward, backward }
    }
}

/// A pass that learns.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// Added to.
    pub gradients: &'a mut Parameters,
    /// Of what attention and the gate write.
    pub dropout: Dropout,
}

/// What one layer keeps for its backward pass.
#[derive(Debug, Default)]
struct Kept {
    x: Vec<f32>,
    h1: Vec<f32>,
    q_raw: Vec<f32>,
    k_raw: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    mixed: Vec<f32>,
    middle: Vec<f32>,
    h2: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    inner: Vec<f32>,
}

#[derive(Debug, Default)]
struct Workspace {
    layers: Vec<Kept>,
    x: Vec<f32>,
    hidden: Vec<f32>,
    d_hidden: Vec<f32>,
    dx: Vec<f32>,
    dh: Vec<f32>,
    wide: [Vec<f32>; 3],
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
    d_mixed: Vec<f32>,
    dq_raw: Vec<f32>,
    dk_raw: Vec<f32>,
}

/// A buffer of this length whose content will be replaced.
fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

fn zeros(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    let buffer = room(buffer, len);
    buffer.fill(0.0);
    buffer
}

fn copy<'a>(buffer: &'a mut Vec<f32>, from: &[f32]) -> &'a mut [f32] {
    let buffer = room(buffer, from.len());
    buffer.copy_from_slice(from);
    buffer
}

/// `out (+)= x · right`
fn times(x: &[f32], rows: usize, right: &Packed, out: &mut [f32], add: bool) {
    let (inner, cols) = (right.inner(), right.cols());
    Product { left: Left { data: x, row: inner, col: 1 }, right, rows, inner, cols, out, stride: cols, add }.run();
}

impl Backprop {
    pub fn new(config: &StudentConfig) -> Self {
        let names = |layer: usize| {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            Names {
                input_norm: name("input_layernorm"),
                post_norm: name("post_attention_layernorm"),
                q_norm: name("self_attn.q_norm"),
                k_norm: name("self_attn.k_norm"),
                q: name("self_attn.q_proj"),
                k: name("self_attn.k_proj"),
                v: name("self_attn.v_proj"),
                o: name("self_attn.o_proj"),
                gate: name("mlp.gate_proj"),
                up: name("mlp.up_proj"),
                down: name("mlp.down_proj"),
            }
        };
        Self {
            names: (0..config.num_hidden_layers).map(names).collect(),
            rope: RopeTable::new(config.head_dim, config.max_position_embeddings, config.rope.theta),
            spare: Mutex::default(),
            config: config.clone(),
        }
    }

    /// The weighted loss of one packed micro-batch, and its gradients where it is a lesson. Ids must lie inside the
    /// vocabulary and texts inside the positions.
    pub fn pass(&self, weights: &Prepared, batch: &PackedTexts, at: &LossRows, learn: Option<Lesson>) -> f64 {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workspace = spare().pop().unwrap_or_default();
        workspace.layers.resize_with(self.names.len(), Kept::default);
        let dropout = learn.as_ref().map_or(Dropout { share: 0.0, key: 0 }, |l| l.dropout);
        self.forward(weights, batch, dropout, &mut workspace);
        let head = if self.config.tie_word_embeddings { EMBED } else { HEAD };
        let size = batch.tokens() * self.config.hidden_size;
        let hidden = &workspace.hidden[..size];
        let loss = if let Some(Lesson { gradients, .. }) = learn {
            let d_hidden = zeros(&mut workspace.d_hidden, size);
            let learn = Learn { backward: &weights.backward[head], hidden: d_hidden, embed: gradients.get_mut(head) };
            let loss = loss::forward_backward(hidden, &weights.forward[head], at, Some(learn));
            self.backward(weights, batch, dropout, &mut workspace, gradients);
            loss
        } else {
            loss::forward_backward(hidden, &weights.forward[head], at, None)
        };
        spare().push(workspace);
        loss
    }

    fn forward(&self, weights: &Prepared, batch: &PackedTexts, dropout: Dropout, space: &mut Workspace) {
        let (shape, t, heads) = (&self.config, batch.tokens(), self.config.heads());
        let (width, inner, eps) = (shape.hidden_size, shape.intermediate_size, shape.rms_norm_eps as f32);
        let (qw, kw) = (heads.query * heads.width, heads.key * heads.width);
        let embed = weights.weights.get(EMBED);
        let x = room(&mut space.x, t * width);
        for (row, id) in x.chunks_exact_mut(width).zip(batch.ids()) {
            row.copy_from_slice(&embed[*id as usize * width..][..width]);
        }
        for (layer, (names, kept)) in self.names.iter().zip(&mut space.layers).enumerate() {
            let (w, packed) = (|name: &str| weights.weights.get(name), |name: &str| &weights.forward[name]);
            let x = copy(&mut kept.x, &space.x[..t * width]);
            let h1 = room(&mut kept.h1, t * width);
            rms_norm::forward(x, w(&names.input_norm), eps, h1);
            for (projection, norm, raw, turned, size) in [
                (&names.q, &names.q_norm, &mut kept.q_raw, &mut kept.q, qw),
                (&names.k, &names.k_norm, &mut kept.k_raw, &mut kept.k, kw),
            ] {
                let (raw, turned) = (room(raw, t * size), room(turned, t * size));
                times(h1, t, packed(projection), raw, false);
                rms_norm::forward(raw, w(norm), eps, turned);
                self.rope.rotate(turned, batch.positions(), 1.0);
            }
            let v = room(&mut kept.v, t * kw);
            times(h1, t, packed(&names.v), v, false);
            let mixed = room(&mut kept.mixed, t * qw);
            attention::forward([&kept.q[..t * qw], &kept.k[..t * kw], v], heads, batch.texts(), mixed);
            dropout.at(2 * layer).apply(mixed);
            let middle = copy(&mut kept.middle, x);
            times(mixed, t, packed(&names.o), middle, true);
            let h2 = room(&mut kept.h2, t * width);
            rms_norm::forward(middle, w(&names.post_norm), eps, h2);
            let (gate, up) = (room(&mut kept.gate, t * inner), room(&mut kept.up, t * inner));
            times(h2, t, packed(&names.gate), gate, false);
            times(h2, t, packed(&names.up), up, false);
            let product = room(&mut kept.inner, t * inner);
            silu_gate::forward(gate, up, product);
            dropout.at(2 * layer + 1).apply(product);
            let x = copy(&mut space.x, middle);
            times(product, t, packed(&names.down), x, true);
        }
        let hidden = room(&mut space.hidden, t * width);
        rms_norm::forward(&space.x[..t * width], weights.weights.get(NORM), eps, hidden);
    }

    fn backward(
        &self,
        weights: &Prepared,
        batch: &PackedTexts,
        dropout: Dropout,
        space: &mut Workspace,
        gradients: &mut Parameters,
    ) {
        let (shape, t, heads) = (&self.config, batch.tokens(), self.config.heads());
        let (width, inner, eps) = (shape.hidden_size, shape.intermediate_size, shape.rms_norm_eps as f32);
        let (qw, kw) = (heads.query * heads.width, heads.key * heads.width);
        let (w, packed) = (|name: &str| weights.weights.get(name), |name: &str| &weights.backward[name]);
        let (d_hidden, dx) = (&space.d_hidden[..t * width], room(&mut space.dx, t * width));
        rms_norm::backward(&space.x[..t * width], w(NORM), eps, d_hidden, dx, gradients.get_mut(NORM), false);
        let dh = room(&mut space.dh, t * width);
        let [d_inner, d_gate, d_up] = &mut space.wide;
        for (layer, (names, kept)) in self.names.iter().zip(&space.layers).enumerate().rev() {
            let grad_w = |gradients: &mut Parameters, name: &str, dy: &[f32], x: &[f32], out: usize, inner: usize| {
                add_weight_gradient(gradients.get_mut(name), dy, x, t, out, inner);
            };
            // The gate.
            let (d_inner, d_gate, d_up) = (room(d_inner, t * inner), room(d_gate, t * inner), room(d_up, t * inner));
            times(dx, t, packed(&names.down), d_inner, false);
            dropout.at(2 * layer + 1).apply(d_inner);
            grad_w(gradients, &names.down, dx, &kept.inner[..t * inner], width, inner);
            silu_gate::backward(&kept.gate[..t * inner], &kept.up[..t * inner], d_inner, d_gate, d_up);
            let h2 = &kept.h2[..t * width];
            grad_w(gradients, &names.gate, d_gate, h2, inner, width);
            grad_w(gradients, &names.up, d_up, h2, inner, width);
            times(d_gate, t, packed(&names.gate), dh, false);
            times(d_up, t, packed(&names.up), dh, true);
            let middle = &kept.middle[..t * width];
            rms_norm::backward(middle, w(&names.post_norm), eps, dh, dx, gradients.get_mut(&names.post_norm), true);
            // Attention.
            let d_mixed = room(&mut space.d_mixed, t * qw);
            times(dx, t, packed(&names.o), d_mixed, false);
            dropout.at(2 * layer).apply(d_mixed);
            grad_w(gradients, &names.o, dx, &kept.mixed[..t * qw], width, qw);
            let (dq, dk) = (room(&mut space.dq, t * qw), zeros(&mut space.dk, t * kw));
            let dv = zeros(&mut space.dv, t * kw);
            let qkv = [&kept.q[..t * qw], &kept.k[..t * kw], &kept.v[..t * kw]];
            attention::backward(qkv, d_mixed, heads, batch.texts(), [&mut *dq, &mut *dk, &mut *dv]);
            let h1 = &kept.h1[..t * width];
            grad_w(gradients, &names.v, dv, h1, kw, width);
            times(dv, t, packed(&names.v), dh, false);
            for (projection, norm, raw, turned, d_raw, size) in [
                (&names.q, &names.q_norm, &kept.q_raw, dq, &mut space.dq_raw, qw),
                (&names.k, &names.k_norm, &kept.k_raw, dk, &mut space.dk_raw, kw),
            ] {
                let d_raw = room(d_raw, t * size);
                self.rope.rotate(turned, batch.positions(), -1.0);
                rms_norm::backward(&raw[..t * size], w(norm), eps, turned, d_raw, gradients.get_mut(norm), false);
                grad_w(gradients, projection, d_raw, h1, size, width);
                times(d_raw, t, packed(projection), dh, true);
            }
            let x = &kept.x[..t * width];
            rms_norm::backward(x, w(&names.input_norm), eps, dh, dx, gradients.get_mut(&names.input_norm), true);
        }
        let embed = gradients.get_mut(EMBED);
        for (row, id) in dx.chunks_exact(width).zip(batch.ids()) {
            embed[*id as usize * width..][..width].iter_mut().zip(row).for_each(|(a, b)| *a += b);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::super::config::tests::toy;
    use super::super::{Decoder, weights};
    use super::*;

    const NONE: Dropout = Dropout { share: 0.0, key: 0 };

    #[test]
    fn with_dropout_its_gradient_is_the_numeric_one() {
        let config = toy(60);
        let mut parameters = Parameters::of(&config, &weights::fresh(&config, 11).unwrap()).unwrap();
        let (backprop, batch) = (Backprop::new(&config), PackedTexts::new([(&[1, 2, 3, 4, 5, 6][..], 0)]));
        let at = LossRows { rows: vec![3, 4, 5], targets: vec![1, 2, 3], weights: vec![1.0; 3] };
        let dropout = Dropout { share: 0.3, key: 9 };
        let pass = |parameters: &Parameters| {
            let mut gradients = parameters.like();
            let lesson = Lesson { gradients: &mut gradients, dropout };
            (backprop.pass(&Prepared::new(parameters, true), &batch, &at, Some(lesson)), gradients)
        };
        let gradients = pass(&parameters).1;
        for name in [
            "model.layers.0.mlp.gate_proj.weight",
            "model.layers.0.self_attn.v_proj.weight",
            "model.layers.1.mlp.down_proj.weight",
        ] {
            for i in [0, 7, 50] {
                let mut at_step = |delta: f32| {
                    parameters.get_mut(name)[i] += delta;
                    let loss = pass(&parameters).0;
                    parameters.get_mut(name)[i] -= delta;
                    loss
                };
                let numeric = (at_step(0.01) - at_step(-0.01)) / 0.02;
                assert!((numeric - f64::from(gradients.get(name)[i])).abs() < 2e-3 * (1.0 + numeric.abs()), "{name}[{i}]");
            }
        }
    }

    #[test]
    fn its_gradients_are_those_of_candles_autograd() {
        let config = toy(60);
        let fresh = weights::fresh(&config, 11).unwrap();
        let vars: weights::Weights = fresh.iter().map(|(n, t)| (n.clone(), Var::from_tensor(t).unwrap().into_inner())).collect();
        let text: Vec<u32> = (0..120).map(|i| (i * 17 + 5) % 60).collect();
        let batch = PackedTexts::new([(&text[..70], 0), (&text[70..71], 0), (&text[71..], 0)]);
        let at =
            LossRows { rows: vec![3, 69, 70, 100, 119], targets: vec![1, 2, 3, 4, 59], weights: vec![0.5, 1.0, 0.1, 2.0, 1.0] };
        let decoder = Decoder::new(&config, &vars).unwrap();
        let oracle = decoder.loss(&decoder.hidden(&batch).unwrap(), at.clone(), true).unwrap();
        let store = oracle.backward().unwrap();

        let parameters = Parameters::of(&config, &fresh).unwrap();
        let backprop = Backprop::new(&config);
        let mut gradients = parameters.like();
        let loss = backprop.pass(
            &Prepared::new(&parameters, true),
            &batch,
            &at,
            Some(Lesson { gradients: &mut gradients, dropout: NONE }),
        );
        assert!((loss - f64::from(oracle.to_scalar::<f32>().unwrap())).abs() < 1e-4);
        for (name, var) in &vars {
            let expected: Vec<f32> = store.get(var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let scale = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            for (ours, theirs) in gradients.get(name).iter().zip(&expected) {
                assert!((ours - theirs).abs() < 1e-4 * scale, "{name}: {ours} against {theirs}");
            }
        }
        let again = backprop.pass(&Prepared::new(&parameters, false), &batch, &at, None);
        assert_eq!(again.to_bits(), loss.to_bits(), "used buffers change nothing");
    }
}

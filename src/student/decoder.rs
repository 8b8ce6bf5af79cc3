//! The decoder, in Qwen3's form: normalised queries and keys, grouped heads, rotary positions, `SwiGLU`, tied or separate
//! output. One forward pass for training (packed texts, differentiable) and for generation (the same, with a cache);
//! it yields hidden states, and logits only where they are asked for. Owns no tokens, files or sampling.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use super::cache::RowCache;
use super::ops::{self, LossRows, Packed, RopeTable, causal_attention, linear, rms_norm, rope, silu_gate};
use super::weights::{EMBED, HEAD, NORM, Weights};
use super::{StudentConfig, StudentError};

/// Texts of any lengths, one after another, without padding.
#[derive(Debug, Clone)]
pub struct PackedTexts {
    ids: Vec<u32>,
    positions: Arc<[u32]>,
    texts: Arc<[Range<usize>]>,
}

impl PackedTexts {
    /// Texts that begin at the given positions (0 for whole texts; later for the tail of a cached one).
    pub fn new<'a>(texts: impl IntoIterator<Item = (&'a [u32], usize)>) -> Self {
        let (mut ids, mut positions, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        for (text, first) in texts {
            ranges.push(ids.len()..ids.len() + text.len());
            ids.extend_from_slice(text);
            positions.extend((first..first + text.len()).map(|p| p as u32));
        }
        Self { ids, positions: positions.into(), texts: ranges.into() }
    }

    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    pub fn texts(&self) -> &[Range<usize>] {
        &self.texts
    }
}

#[derive(Debug, Clone)]
struct Projection {
    weight: Tensor,
    packed: Option<Arc<Packed>>,
}

impl Projection {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        linear(x, &self.weight, self.packed.as_ref())
    }

    fn prepare(&mut self) -> Result<()> {
        let (out, inner) = self.weight.dims2()?;
        let packed = ops::with_numbers([&self.weight], "prepare", |[w]| Packed::transposed(w, out, inner, inner))?;
        self.packed = Some(Arc::new(packed));
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Layer {
    input_norm: Tensor,
    q: Projection,
    k: Projection,
    v: Projection,
    o: Projection,
    q_norm: Tensor,
    k_norm: Tensor,
    post_norm: Tensor,
    gate: Projection,
    up: Projection,
    down: Projection,
}

#[derive(Debug, Clone)]
pub struct Decoder {
    config: StudentConfig,
    embed: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Projection,
    rope: Arc<RopeTable>,
}

/// How one layer's queries meet keys and values: (layer, q, k, v) → mixed values.
type Attend<'a> = dyn FnMut(usize, &Tensor, &Tensor, &Tensor) -> Result<Tensor> + 'a;

impl Decoder {
    /// Over `weights`, which it shares: if they are candle variables, gradients reach them and updates are seen.
    pub fn new(config: &StudentConfig, weights: &Weights) -> std::result::Result<Self, StudentError> {
        let get = |name: String| {
            let missing = || StudentError::Weight { name: name.clone(), why: "missing".into() };
            weights.get(&name).cloned().ok_or_else(missing)
        };
        let projection = |name: String| Ok::<_, StudentError>(Projection { weight: get(name)?, packed: None });
        let layer = |n: usize| {
            let name = |part: &str| format!("model.layers.{n}.{part}.weight");
            Ok::<_, StudentError>(Layer {
                input_norm: get(name("input_layernorm"))?,
                q: projection(name("self_attn.q_proj"))?,
                k: projection(name("self_attn.k_proj"))?,
                v: projection(name("self_attn.v_proj"))?,
                o: projection(name("self_attn.o_proj"))?,
                q_norm: get(name("self_attn.q_norm"))?,
                k_norm: get(name("self_attn.k_norm"))?,
                post_norm: get(name("post_attention_layernorm"))?,
                gate: projection(name("mlp.gate_proj"))?,
                up: projection(name("mlp.up_proj"))?,
                down: projection(name("mlp.down_proj"))?,
            })
        };
        Ok(Self {
            embed: get(EMBED.into())?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<std::result::Result<_, _>>()?,
            norm: get(NORM.into())?,
            head: projection(if config.tie_word_embeddings { EMBED } else { HEAD }.into())?,
            rope: Arc::new(RopeTable::new(config.head_dim, config.max_position_embeddings, config.rope.theta)),
            config: config.clone(),
        })
    }

    pub fn config(&self) -> &StudentConfig {
        &self.config
    }

    /// Prepares weights that stand still for many small products. Not for training: later updates are not seen.
    pub fn prepared(mut self) -> Result<Self> {
        for l in &mut self.layers {
            for projection in [&mut l.q, &mut l.k, &mut l.v, &mut l.o, &mut l.gate, &mut l.up, &mut l.down] {
                projection.prepare()?;
            }
        }
        self.head.prepare()?;
        Ok(self)
    }

    fn forward(&self, batch: &PackedTexts, attend: &mut Attend) -> Result<Tensor> {
        let eps = self.config.rms_norm_eps;
        let ids = Tensor::from_slice(&batch.ids, batch.ids.len(), &Device::Cpu)?;
        let mut x = self.embed.index_select(&ids, 0)?;
        for (n, layer) in self.layers.iter().enumerate() {
            let h = rms_norm(&x, &layer.input_norm, eps)?;
            let q = rope(&rms_norm(&layer.q.apply(&h)?, &layer.q_norm, eps)?, &self.rope, &batch.positions)?;
            let k = rope(&rms_norm(&layer.k.apply(&h)?, &layer.k_norm, eps)?, &self.rope, &batch.positions)?;
            let mixed = attend(n, &q, &k, &layer.v.apply(&h)?)?;
            x = (x + layer.o.apply(&mixed)?)?;
            let h = rms_norm(&x, &layer.post_norm, eps)?;
            let inner = silu_gate(&layer.gate.apply(&h)?, &layer.up.apply(&h)?)?;
            x = (x + layer.down.apply(&inner)?)?;
        }
        rms_norm(&x, &self.norm, eps)
    }

    /// Hidden states (tokens × width) of whole texts, differentiable.
    pub fn hidden(&self, batch: &PackedTexts) -> Result<Tensor> {
        let heads = self.config.heads();
        self.forward(batch, &mut |_, q, k, v| causal_attention(q, k, v, heads, &batch.texts))
    }

    /// Hidden states of the next tokens of texts whose past is in `caches` (one per text, which it extends).
    pub fn hidden_cached(&self, batch: &PackedTexts, caches: &mut [RowCache]) -> Result<Tensor> {
        let heads = self.config.heads();
        let (qw, kw) = (heads.query * heads.width, heads.key * heads.width);
        self.forward(batch, &mut |layer, q, k, v| {
            let mut out = vec![0.0; batch.tokens() * qw];
            ops::with_numbers([q, k, v], "attend_cached", |[q, k, v]| {
                for (text, cache) in batch.texts.iter().zip(caches.iter_mut()) {
                    let (new_k, new_v) = (&k[text.start * kw..text.end * kw], &v[text.start * kw..text.end * kw]);
                    cache.append(layer, new_k, new_v);
                    let rows = text.start * qw..text.end * qw;
                    ops::attend_cached(&q[rows.clone()], &cache.spans(layer), heads, &mut out[rows]);
                }
            })?;
            Tensor::from_vec(out, q.dims(), q.device())
        })
    }

    /// Logits (rows × vocabulary) of some rows of hidden states.
    pub fn logits(&self, hidden: &Tensor, rows: &[u32]) -> Result<Tensor> {
        let rows = Tensor::from_slice(rows, rows.len(), hidden.device())?;
        self.head.apply(&hidden.index_select(&rows, 0)?)
    }

    /// Σ weight · negative log-likelihood at `at`; with `learn` it can be differentiated.
    pub fn loss(&self, hidden: &Tensor, at: LossRows, learn: bool) -> Result<Tensor> {
        ops::linear_cross_entropy(hidden, &self.head.weight, Arc::new(at), learn)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Var};
    use candle_transformers::models::qwen3;

    use super::super::config::tests::toy;
    use super::super::ops::check::assert_close;
    use super::super::weights;
    use super::*;

    fn noisy(config: &StudentConfig) -> Weights {
        // Norm weights other than 1, so that a forgotten one shows.
        let bend = |t: &Tensor| (t + &(Tensor::ones_like(t)? * 0.3)?)?.mul(&ops::check::noise_tensor(t.dims(), 5));
        let fresh = weights::fresh(config, 11).unwrap();
        fresh.into_iter().map(|(n, t)| if t.rank() == 1 { (n, bend(&t).unwrap()) } else { (n, t) }).collect()
    }

    #[test]
    fn its_logits_are_those_of_candles_qwen3() {
        let config = toy(60);
        let weights = noisy(&config);
        let text: Vec<u32> = (0..37).map(|i| (i * 17 + 5) % 60).collect();
        let decoder = Decoder::new(&config, &weights).unwrap();
        let hidden = decoder.hidden(&PackedTexts::new([(&text[..9], 0), (&text[..], 0)])).unwrap();
        let ours = decoder.logits(&hidden, &[8, 9 + 36]).unwrap();
        let their_config: qwen3::Config = serde_json::from_value(serde_json::json!({
            "vocab_size": 60, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
            "head_dim": 8, "attention_bias": false, "num_key_value_heads": 2, "max_position_embeddings": 256,
            "sliding_window": null, "max_window_layers": 2, "tie_word_embeddings": true, "rope_theta": 10000.0,
            "rms_norm_eps": 1e-6, "use_sliding_window": false, "hidden_act": "silu"
        }))
        .unwrap();
        let tensors: HashMap<String, Tensor> = weights.into_iter().collect();
        let builder = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        for (row, len) in [9, 37].into_iter().enumerate() {
            let mut theirs = qwen3::ModelForCausalLM::new(&their_config, builder.clone()).unwrap();
            let input = Tensor::from_slice(&text[..len], (1, len), &Device::Cpu).unwrap();
            let logits = theirs.forward(&input, 0).unwrap().flatten_all().unwrap();
            assert_close(&ours.get(row).unwrap(), &logits, 1e-4);
        }
    }

    #[test]
    fn every_tensor_gets_a_finite_gradient_that_is_not_nought() {
        let config = toy(60);
        let vars: Weights = noisy(&config).into_iter().map(|(n, t)| (n, Var::from_tensor(&t).unwrap().into_inner())).collect();
        let decoder = Decoder::new(&config, &vars).unwrap();
        let hidden = decoder.hidden(&PackedTexts::new([(&[1, 2, 3, 4, 5][..], 0), (&[6, 7, 8][..], 0)])).unwrap();
        let at = LossRows { rows: vec![2, 3, 6], targets: vec![4, 5, 8], weights: vec![1.0; 3] };
        let grads = decoder.loss(&hidden, at, true).unwrap().backward().unwrap();
        for (name, var) in &vars {
            let grad = grads.get(var).unwrap_or_else(|| panic!("{name} gets no gradient"));
            let size: f32 = grad.abs().unwrap().sum_all().unwrap().to_scalar().unwrap();
            assert!(size.is_finite() && size > 0.0, "{name}: {size}");
        }
    }
}

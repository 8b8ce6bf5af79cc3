//! The decoder in candle's own operations: the oracle of the hand-written pass on the CPU, and the pass itself on devices
//! that candle brings (`--features cuda`, `--features metal`). Layers are run detached and once more on the way back, so
//! memory is the hidden states and one layer. Only plain operations: candle's fused ones have no backward and lose
//! gradients silently.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Result, Tensor, Var};

use super::adapter::AdapterRules;
use super::base::{BaseLayer, BaseWeights, Projection};
use super::config::{Activation, Rope};
use super::matrix::Matrix;
use super::ops::Dropout;
use super::parameters::Parameters;
use super::{StudentConfig, StudentError};

/// A text, where its loss begins, and the weight of every loss token.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    pub ids: &'a [u32],
    pub loss_from: usize,
    pub weight: f32,
}

/// A base on a device.
#[derive(Debug)]
pub struct Portable {
    config: StudentConfig,
    device: Device,
    embed: Tensor,
    head: Tensor,
    norm: Tensor,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    norms: BTreeMap<&'static str, Tensor>,
    biases: Option<[Tensor; 3]>,
    projections: [Tensor; 7],
}

/// The tensors of an adapter that learn, by name, and what it does not read.
type Adapter<'a> = Option<(&'a AdapterRules, &'a BTreeMap<String, Var>, Dropout)>;

fn tensor(numbers: &[f32], shape: &[usize], device: &Device) -> Result<Tensor> {
    Tensor::from_slice(numbers, shape, device)
}

fn matrix(m: &Matrix, device: &Device) -> Result<Tensor> {
    let mut numbers = vec![0.0; m.out() * m.inner()];
    m.widen(0..m.out(), &mut numbers);
    Tensor::from_vec(numbers, (m.out(), m.inner()), device)
}

impl Portable {
    pub fn new(config: &StudentConfig, base: &BaseWeights, device: &Device) -> std::result::Result<Self, StudentError> {
        let vector = |v: &[f32]| tensor(v, &[v.len()], device);
        let layer = |l: &BaseLayer| {
            let v = &l.vectors;
            let mut norms = BTreeMap::from([("attention", vector(&v.attention_norm)?), ("mlp", vector(&v.mlp_norm)?)]);
            let more =
                [("attention_out", &v.attention_out_norm), ("mlp_out", &v.mlp_out_norm), ("q", &v.q_norm), ("k", &v.k_norm)];
            for (name, norm) in more {
                if let Some(norm) = norm {
                    norms.insert(name, vector(norm)?);
                }
            }
            let biases = match &v.biases {
                Some([q, k, v]) => Some([vector(q)?, vector(k)?, vector(v)?]),
                None => None,
            };
            let projections = l.projections.iter().map(|m| matrix(m, device)).collect::<Result<Vec<_>>>()?;
            let wrong = |_| candle_core::Error::Msg("a layer has seven projections".into());
            Ok(Layer { norms, biases, projections: projections.try_into().map_err(wrong)? })
        };
        let embed = matrix(&base.embed, device)?;
        Ok(Self {
            head: base.head.as_ref().map_or_else(|| Ok(embed.clone()), |m| matrix(m, device))?,
            embed,
            norm: vector(&base.norm)?,
            layers: base.layers.iter().map(layer).collect::<Result<_>>()?,
            config: config.clone(),
            device: device.clone(),
        })
    }

    /// Σ weight · negative log-likelihood over the loss tokens of all lessons, and the gradients of the adapter.
    pub fn learn(
        &self,
        rules: &AdapterRules,
        adapter: &Parameters,
        lessons: &[Lesson],
        drop: Dropout,
    ) -> std::result::Result<(f64, Parameters), StudentError> {
        let var = |name: &str| {
            let shape = adapter.shape(name).to_vec();
            Var::from_slice(adapter.get(name), shape, &self.device).map(|v| (name.to_owned(), v))
        };
        let vars: BTreeMap<String, Var> = adapter.iter().map(|(name, ..)| var(name)).collect::<Result<_>>()?;
        let learning = Some((rules, &vars, drop));
        let mut gradients = adapter.like();
        let mut inputs = vec![self.embedded(lessons)?];
        for n in 0..self.layers.len() {
            let y = self.layer(n, &inputs[n], learning)?.detach();
            inputs.push(y);
        }
        let last = Var::from_tensor(&inputs.pop().ok_or_else(|| candle_core::Error::Msg("no hidden states".into()))?)?;
        let loss = self.loss(last.as_tensor(), lessons)?;
        let total = f64::from(loss.to_scalar::<f32>()?);
        let missing = || candle_core::Error::Msg("a gradient is missing".into());
        let mut dy = loss.backward()?.get(last.as_tensor()).ok_or_else(missing)?.detach();
        for (n, x) in inputs.iter().enumerate().rev() {
            let x = Var::from_tensor(x)?;
            let store = (self.layer(n, x.as_tensor(), learning)? * &dy)?.sum_all()?.backward()?;
            let prefix = format!(".layers.{n}.");
            for (name, var) in vars.iter().filter(|(name, _)| name.contains(&prefix)) {
                let gradient = store.get(var.as_tensor()).ok_or_else(missing)?.flatten_all()?.to_vec1::<f32>()?;
                gradients.get_mut(name).iter_mut().zip(gradient).for_each(|(g, v)| *g += v);
            }
            dy = store.get(x.as_tensor()).ok_or_else(missing)?.detach();
        }
        Ok((total, gradients))
    }

    /// Logits (texts × longest × vocabulary).
    pub fn logits(&self, texts: &[&[u32]]) -> std::result::Result<Tensor, StudentError> {
        let lessons: Vec<Lesson> = texts.iter().map(|ids| Lesson { ids, loss_from: 0, weight: 0.0 }).collect();
        let mut x = self.embedded(&lessons)?;
        for n in 0..self.layers.len() {
            x = self.layer(n, &x, None)?.detach();
        }
        let hidden = self.rms_norm(&x, &self.norm)?;
        let (b, t, h) = hidden.dims3()?;
        Ok(hidden.reshape((b * t, h))?.matmul(&self.head.t()?)?.reshape((b, t, ()))?)
    }

    /// Texts × longest × width; short texts are padded on the right, where nothing looks.
    fn embedded(&self, lessons: &[Lesson]) -> Result<Tensor> {
        let longest = lessons.iter().map(|l| l.ids.len()).max().unwrap_or(0);
        let pad = |l: &Lesson| l.ids.iter().copied().chain(std::iter::repeat(0)).take(longest).collect::<Vec<u32>>();
        let ids: Vec<u32> = lessons.iter().flat_map(pad).collect();
        let x = self.embed.index_select(&Tensor::from_vec(ids, lessons.len() * longest, &self.device)?, 0)?;
        (x.reshape((lessons.len(), longest, ()))? * f64::from(self.config.embed_scale()))?.contiguous()
    }

    fn loss(&self, x: &Tensor, lessons: &[Lesson]) -> Result<Tensor> {
        let longest = x.dim(1)?;
        let (mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (i, l) in lessons.iter().enumerate() {
            for at in l.loss_from.max(1)..l.ids.len() {
                rows.push((i * longest + at - 1) as u32);
                targets.push(l.ids[at]);
                weights.push(l.weight);
            }
        }
        if rows.is_empty() {
            return (x.sum_all()? * 0.0)?.to_dtype(DType::F32);
        }
        let count = rows.len();
        let rows = Tensor::from_vec(rows, count, &self.device)?;
        let hidden = self.rms_norm(&x.flatten(0, 1)?.index_select(&rows, 0)?, &self.norm)?;
        let logits = hidden.matmul(&self.head.t()?)?;
        let most = logits.max_keepdim(1)?.detach();
        let norm = (logits.broadcast_sub(&most)?.exp()?.sum_keepdim(1)?.log()? + most)?;
        let wanted = logits.gather(&Tensor::from_vec(targets, (count, 1), &self.device)?, 1)?;
        ((norm - wanted)? * Tensor::from_vec(weights, (count, 1), &self.device)?)?.sum_all()
    }

    fn rms_norm(&self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + self.config.rms_norm_eps)?.sqrt()?;
        x.broadcast_div(&scale)?.broadcast_mul(w)
    }

    fn project(&self, n: usize, p: Projection, x: &Tensor, adapter: Adapter) -> Result<Tensor> {
        let w = &self.layers[n].projections[p.index()];
        let (b, t, inner) = x.dims3()?;
        let flat = x.reshape((b * t, inner))?;
        let mut y = flat.matmul(&w.t()?)?;
        if let Some((rules, vars, drop)) = adapter.filter(|(rules, ..)| rules.adapts(p)) {
            let var = |part: &str| {
                let name = super::adapter::name(n, p, part);
                vars.get(&name).map(Var::as_tensor).ok_or_else(|| candle_core::Error::Msg(format!("{name} is missing")))
            };
            let (a, bb, scale) = (var("lora_A.weight")?, var("lora_B.weight")?, f64::from(rules.scale()));
            // What the adapter does not read goes through the base alone.
            let drop = drop.at(n * Projection::ALL.len() + p.index());
            let read = if drop.share > 0.0 { (&flat * self.dropped(drop, b * t, inner)?)? } else { flat.clone() };
            let beside = (drop.share > 0.0).then(|| (&flat - &read)?.matmul(&w.t()?)).transpose()?;
            if beside.is_some() {
                y = read.matmul(&w.t()?)?;
            }
            y = (y + (read.matmul(&a.t()?)?.matmul(&bb.t()?)? * scale)?)?;
            if rules.dora {
                let changed = (w + (bb.matmul(a)? * scale)?)?.detach();
                let gain = (var("lora_magnitude_vector")? / changed.sqr()?.sum(1)?.sqrt()?)?;
                y = y.broadcast_mul(&gain)?;
            }
            if let Some(beside) = beside {
                y = (y + beside)?;
            }
        }
        y.reshape((b, t, ()))
    }

    /// The mask of some rows, drawn as the pass on the CPU draws it.
    fn dropped(&self, drop: Dropout, rows: usize, width: usize) -> Result<Tensor> {
        let mut mask = vec![1.0; rows * width];
        drop.apply(&mut mask);
        Tensor::from_vec(mask, (rows, width), &self.device)
    }

    fn layer(&self, n: usize, x: &Tensor, adapter: Adapter) -> Result<Tensor> {
        let norms = &self.layers[n].norms;
        let after = |y: Tensor, name: &str| norms.get(name).map_or(Ok(y.clone()), |w| self.rms_norm(&y, w));
        let h = self.rms_norm(x, &norms["attention"])?;
        let mixed = self.attention(n, &h, adapter)?;
        let x = (x + after(self.project(n, Projection::Output, &mixed, adapter)?, "attention_out")?)?;
        let h = self.rms_norm(&x, &norms["mlp"])?;
        let gate = self.project(n, Projection::Gate, &h, adapter)?;
        let up = self.project(n, Projection::Up, &h, adapter)?;
        let gate = match self.config.activation {
            Activation::Silu => gate.silu()?,
            Activation::Gelu => gate.gelu()?,
        };
        let written = self.project(n, Projection::Down, &(gate * up)?, adapter)?;
        x + after(written, "mlp_out")?
    }

    fn attention(&self, n: usize, h: &Tensor, adapter: Adapter) -> Result<Tensor> {
        let (heads, (b, t, _)) = (self.config.heads(), h.dims3()?);
        let layer = &self.layers[n];
        let head = |p: Projection, count: usize| {
            let mut y = self.project(n, p, h, adapter)?;
            if let Some(biases) = &layer.biases {
                y = y.broadcast_add(&biases[p.index()])?;
            }
            y.reshape((b, t, count, heads.width))
        };
        let turned = |p: Projection, count: usize, norm: &str| {
            let y = head(p, count)?;
            let y = layer.norms.get(norm).map_or(Ok(y.clone()), |w| self.rms_norm(&y, w))?;
            self.turn(&y.transpose(1, 2)?.contiguous()?, self.config.rope_of(n))
        };
        let (q, k) = (turned(Projection::Query, heads.query, "q")?, turned(Projection::Key, heads.key, "k")?);
        let v = head(Projection::Value, heads.key)?.transpose(1, 2)?.contiguous()?;
        let group = heads.query / heads.key;
        let repeat = |x: Tensor| {
            let shape = (b, heads.key, group, t, heads.width);
            x.unsqueeze(2)?.expand(shape)?.contiguous()?.reshape((b, heads.query, t, heads.width))
        };
        let (k, v) = (repeat(k)?, repeat(v)?);
        let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? * f64::from(heads.scale))?;
        let scores = scores.broadcast_add(&self.mask(t, self.config.window_of(n))?)?;
        let most = scores.max_keepdim(D::Minus1)?.detach();
        let weights = scores.broadcast_sub(&most)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        weights.matmul(&v)?.transpose(1, 2)?.contiguous()?.reshape((b, t, heads.query * heads.width))
    }

    fn mask(&self, t: usize, window: Option<usize>) -> Result<Tensor> {
        let hidden = |i: usize, j: usize| j > i || window.is_some_and(|w| i - j >= w);
        let numbers: Vec<f32> = (0..t * t).map(|at| if hidden(at / t, at % t) { -1e9 } else { 0.0 }).collect();
        Tensor::from_vec(numbers, (t, t), &self.device)
    }

    /// Rotary positions of `x` (texts × heads × tokens × width).
    fn turn(&self, x: &Tensor, rope: Rope) -> Result<Tensor> {
        let (t, width) = (x.dim(2)?, x.dim(3)?);
        let frequencies = rope.frequencies(width);
        let angles: Vec<f32> = (0..t).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f)).collect();
        let angles = Tensor::from_vec(angles, (t, width / 2), &self.device)?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let (first, second) = (x.narrow(3, 0, width / 2)?, x.narrow(3, width / 2, width / 2)?);
        let left = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
        let right = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
        Tensor::cat(&[left, right], 3)
    }
}

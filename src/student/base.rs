//! A base: the frozen numbers of a model by their place in the decoder, as files of any kind give them. Owns which tensors
//! there are; reading files is its neighbours'.

use super::matrix::Matrix;
use super::pass::Vectors;
use super::{Codec, StudentConfig};
use crate::domain::Digest;

/// The seven matrices of a layer that can be adapted, in the order in which they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

impl Projection {
    pub const ALL: [Self; 7] = [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    pub fn index(self) -> usize {
        self as usize
    }

    /// As PEFT's `target_modules` spells it.
    pub fn name(self) -> &'static str {
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"][self.index()]
    }

    /// The name of the module inside a layer.
    pub fn module(self) -> &'static str {
        match self {
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::Output => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// The frozen numbers of one layer.
#[derive(Debug, Clone)]
pub struct BaseLayer {
    pub vectors: BaseVectors,
    /// By [`Projection::index`].
    pub projections: [Matrix; 7],
}

/// The vectors of one layer. Norm weights are what hidden states are multiplied by (Gemma's stored ones + 1).
#[derive(Debug, Clone)]
pub struct BaseVectors {
    /// Before attention.
    pub attention_norm: Vec<f32>,
    /// Before the gate.
    pub mlp_norm: Vec<f32>,
    /// After attention, before the residual stream (Gemma).
    pub attention_out_norm: Option<Vec<f32>>,
    /// After the gate, before the residual stream (Gemma).
    pub mlp_out_norm: Option<Vec<f32>>,
    pub q_norm: Option<Vec<f32>>,
    pub k_norm: Option<Vec<f32>>,
    /// Of queries, keys and values (Qwen2).
    pub biases: Option<[Vec<f32>; 3]>,
}

impl BaseVectors {
    /// As a pass reads them.
    pub fn lent(&self) -> Vectors<'_> {
        Vectors {
            attention_norm: &self.attention_norm,
            mlp_norm: &self.mlp_norm,
            attention_out_norm: self.attention_out_norm.as_deref(),
            mlp_out_norm: self.mlp_out_norm.as_deref(),
            qk_norms: self.q_norm.as_deref().zip(self.k_norm.as_deref()).map(|(q, k)| [q, k]),
            biases: self.biases.as_ref().map(|b| b.each_ref().map(Vec::as_slice)),
        }
    }
}

#[derive(Debug, Clone)]
pub struct BaseWeights {
    /// vocabulary × width
    pub embed: Matrix,
    pub layers: Vec<BaseLayer>,
    pub norm: Vec<f32>,
    /// The output layer, where it is not `embed`.
    pub head: Option<Matrix>,
}

impl BaseWeights {
    pub fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embed)
    }
}

/// A model as it was given: shape, text side, numbers, and the digest that adapters are bound to.
#[derive(Debug, Clone)]
pub struct Base {
    pub config: StudentConfig,
    pub codec: Codec,
    pub weights: BaseWeights,
    /// Of the weight files' bytes.
    pub digest: Digest,
}

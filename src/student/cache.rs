//! What generation remembers: keys and values of a prefix, computed once and shared, and of each row's own tokens.

use std::sync::Arc;

use super::StudentConfig;
use super::ops::Span;

/// Keys and values of one text, layer by layer.
#[derive(Debug, Clone)]
pub struct TextCache {
    layers: Vec<Span>,
}

impl TextCache {
    pub fn new(config: &StudentConfig, capacity: usize) -> Self {
        Self { layers: vec![Span::new(config.heads(), capacity); config.num_hidden_layers] }
    }

    pub fn len(&self) -> usize {
        self.layers.last().map_or(0, Span::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One row of a batch: a prefix that others may share, then its own tokens. Rows have any lengths; nothing is padded.
#[derive(Debug, Clone)]
pub struct RowCache {
    prefix: Option<Arc<TextCache>>,
    own: TextCache,
}

impl RowCache {
    pub fn new(prefix: Option<Arc<TextCache>>, own: TextCache) -> Self {
        Self { prefix, own }
    }

    /// Tokens already seen, which is the position of the next one.
    pub fn len(&self) -> usize {
        self.prefix.as_ref().map_or(0, |p| p.len()) + self.own.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        self.own.layers[layer].append(k, v);
    }

    pub(super) fn spans(&self, layer: usize) -> Vec<&Span> {
        self.prefix.iter().map(|p| &p.layers[layer]).chain([&self.own.layers[layer]]).collect()
    }

    /// Takes it out, leaving an empty one without room.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self { prefix: None, own: TextCache { layers: Vec::new() } })
    }

    /// Gives up its own tokens, to be shared as a prefix.
    pub fn into_prefix(self) -> Arc<TextCache> {
        Arc::new(self.own)
    }
}

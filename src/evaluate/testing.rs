//! What tests of this module share: the usual scale and bands.

use crate::domain::{Bands, recipe::Scale};

pub fn scale() -> Scale {
    Scale { min: 0.0, max: 10.0, relevant_from: 5.0, forbidden: Vec::new() }
}

pub fn bands() -> Bands {
    Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending")
}

//! Score bands: total and disjoint over every real score, because they are given by lower edges only.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Position of a band in its table, 0 = lowest.
pub type BandIndex = usize;

#[derive(Debug, Clone, PartialEq, Error)]
pub enum BandsError {
    #[error("a band table needs at least one band")]
    Empty,
    #[error("band edges must be finite and strictly ascending; {0} is followed by {1}")]
    NotAscending(f64, f64),
    #[error("band edge {0} is not a finite number")]
    NotFinite(f64),
    #[error("band '{0}' is named twice")]
    DuplicateName(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    from: f64,
}

/// A band table. The lowest band also takes everything below its edge, the highest everything above, so that
/// [`Bands::index`] answers for any number and no row can fall through (guard D14).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Row>", into = "Vec<Row>")]
pub struct Bands {
    rows: Vec<Row>,
}

impl Bands {
    pub fn new(rows: impl IntoIterator<Item = (String, f64)>) -> Result<Self, BandsError> {
        let rows: Vec<Row> = rows.into_iter().map(|(name, from)| Row { name, from }).collect();
        Self::try_from(rows)
    }

    /// Unnamed bands from `0,2,5.5,7,9`; they are called by their edge.
    pub fn from_edges(edges: &[f64]) -> Result<Self, BandsError> {
        Self::new(edges.iter().map(|&from| (format!("from {from}"), from)))
    }

    /// The band of a score; NaN counts as the lowest.
    pub fn index(&self, score: f64) -> BandIndex {
        self.rows.iter().rposition(|row| score >= row.from).unwrap_or(0)
    }

    pub fn name(&self, index: BandIndex) -> &str {
        self.rows.get(index).map_or("?", |row| row.name.as_str())
    }

    pub fn name_of(&self, score: f64) -> &str {
        self.name(self.index(score))
    }

    pub fn index_of_name(&self, name: &str) -> Option<BandIndex> {
        self.rows.iter().position(|row| row.name == name)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never true: an empty table cannot be made.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.name.as_str())
    }

    pub fn edges(&self) -> impl Iterator<Item = f64> + '_ {
        self.rows.iter().map(|row| row.from)
    }
}

impl TryFrom<Vec<Row>> for Bands {
    type Error = BandsError;

    fn try_from(rows: Vec<Row>) -> Result<Self, BandsError> {
        if rows.is_empty() {
            return Err(BandsError::Empty);
        }
        if let Some(row) = rows.iter().find(|row| !row.from.is_finite()) {
            return Err(BandsError::NotFinite(row.from));
        }
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].from >= pair[1].from) {
            return Err(BandsError::NotAscending(pair[0].from, pair[1].from));
        }
        let twice = rows.iter().enumerate().find(|(i, row)| rows[..*i].iter().any(|r| r.name == row.name));
        if let Some((_, row)) = twice {
            return Err(BandsError::DuplicateName(row.name.clone()));
        }
        Ok(Self { rows })
    }
}

impl From<Bands> for Vec<Row> {
    fn from(bands: Bands) -> Self {
        bands.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v19() -> Bands {
        Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending")
    }

    #[test]
    fn each_edge_belongs_to_the_band_it_opens() {
        let cases = [(-3.0, 0), (0.0, 0), (1.99, 0), (2.0, 1), (5.49, 1), (5.5, 2), (7.0, 3), (8.99, 3), (9.0, 4), (11.0, 4)];
        for (score, band) in cases {
            assert_eq!(v19().index(score), band, "score {score}");
        }
    }

    #[test]
    fn a_table_with_edges_out_of_order_is_refused() {
        assert_eq!(Bands::from_edges(&[0.0, 2.0, 2.0]), Err(BandsError::NotAscending(2.0, 2.0)));
        assert_eq!(Bands::from_edges(&[]), Err(BandsError::Empty));
    }

    proptest! {
        #[test]
        fn any_real_score_has_exactly_one_band(score in proptest::num::f64::ANY) {
            let bands = v19();
            prop_assert!(bands.index(score) < bands.len());
        }

        #[test]
        fn a_higher_score_is_never_in_a_lower_band(a in -20.0..20.0f64, b in -20.0..20.0f64) {
            let bands = v19();
            prop_assert!(a > b || bands.index(a) <= bands.index(b));
        }
    }
}

//! Horizontal bars in eighths of a cell.
//!
//! Owns the glyphs. The scale is the caller's: bars that are compared share one `most`.

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// `value` of `most` as a bar of at most `columns` cells. Something is never drawn as nothing: a positive value has at
/// least the thinnest glyph.
pub fn bar(value: f64, most: f64, columns: usize) -> String {
    if columns == 0 || !value.is_finite() || !most.is_finite() || value <= 0.0 || most <= 0.0 {
        return String::new();
    }
    let share = (value / most).min(1.0);
    let eighths = ((share * columns as f64 * 8.0).round() as usize).max(1);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(1.0, 2.0, 4), "██");
        assert_eq!(bar(9.0, 2.0, 4), "████");
        assert_eq!(bar(1.0, 16.0, 2), "▏");
        assert_eq!(bar(0.0, 2.0, 4), "");
    }

    #[test]
    fn something_is_never_drawn_as_nothing_and_nonsense_is() {
        assert_eq!(bar(0.001, 1000.0, 4), "▏");
        assert_eq!(bar(f64::NAN, 1.0, 4), "");
        assert_eq!(bar(1.0, 0.0, 4), "");
    }
}

//! Where charts and gauges choose between their signs and plain letters, and how the last minutes become a line of signs.

use std::collections::VecDeque;

use ratatui::symbols::border;
use ratatui::widgets::Block;

use crate::tui::theme::Theme;

const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const LETTERS: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];
const PLAIN: border::Set = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Whether only plain letters may be drawn.
pub fn ascii(theme: &Theme) -> bool {
    theme.ascii()
}

/// A frame in the signs that may be drawn.
pub fn block(theme: &Theme) -> Block<'static> {
    if ascii(theme) { Block::bordered().border_set(PLAIN) } else { Block::bordered() }
}

/// The newest `columns` readings of at most `most`, oldest first; where there are fewer, they stand on the right.
pub fn spark(values: &VecDeque<u8>, most: u8, columns: usize, ascii: bool) -> String {
    let signs = if ascii { LETTERS } else { STEPS };
    let sign = |v: &u8| signs[(usize::from(*v) * signs.len() / (usize::from(most.max(1)) + 1)).min(signs.len() - 1)];
    let shown = values.len().min(columns);
    " ".repeat(columns - shown) + &values.iter().skip(values.len() - shown).map(sign).collect::<String>()
}

/// `width` cells of which a share is filled; what is not a number fills nothing.
pub fn bar(share: f64, width: usize, ascii: bool) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let full = (share * width as f64).round() as usize;
    let (on, off) = if ascii { ("#", ".") } else { ("█", "░") };
    format!("{}{}", on.repeat(full), off.repeat(width - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_readings_stand_on_the_right() {
        let values: VecDeque<u8> = [0, 50, 100].into();
        assert_eq!(spark(&values, 100, 5, false), "  ▁▄█");
        assert_eq!(spark(&values, 100, 2, true), "-#");
        assert_eq!(spark(&values, 100, 0, true), "");
        assert_eq!(spark(&[255].into(), 100, 1, false), "█");
    }

    #[test]
    fn a_bar_keeps_its_width() {
        for share in [f64::NAN, -1.0, 0.0, 0.31, 1.0, 7.0] {
            assert_eq!(bar(share, 12, false).chars().count(), 12);
        }
        assert_eq!((bar(0.5, 4, false).as_str(), bar(0.5, 4, true).as_str()), ("██░░", "##.."));
    }
}

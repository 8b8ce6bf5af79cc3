//! Screens for terminals and fonts that know ASCII alone.
//!
//! Owns what stands for each glyph of the console's own. Views draw as ever; the finished screen is rewritten once, so no
//! view can forget it. Text in other scripts becomes `?`, as many as it was wide.

use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr as _;

/// Rewrites a finished screen.
pub fn rewrite(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let mut letters = cell.symbol().chars();
            let plain = letters.next().map_or(' ', plain);
            let width = cell.symbol().width().max(1);
            // A wide glyph stands for its own cell and the next, which the terminal was never sent.
            let text: String = std::iter::repeat_n(plain, width).collect();
            cell.set_symbol(&text);
        }
    }
}

/// The letter for a glyph.
fn plain(glyph: char) -> char {
    match glyph {
        '─' | '━' | '—' | '–' | '‐' | '═' | '⎯' | '╌' => '-',
        '│' | '┃' | '║' | '▏' | '▎' | '▍' | '▕' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╯' | '╰' | '┏' | '┓' | '┗' | '┛' | '╔' | '╗' | '╚'
        | '╝' => '+',
        '›' | '▸' | '▶' | '→' | '»' => '>',
        '‹' | '◂' | '◀' | '←' | '«' => '<',
        '↑' | '▲' | '▴' => '^',
        '↓' | '▼' | '▾' => 'v',
        '●' | '•' | '◆' | '■' => '*',
        '○' | '◇' | '□' | '◦' => 'o',
        '✓' | '✔' => '+',
        '✗' | '✘' | '×' => 'x',
        '·' | '…' | '⋯' | '∙' => '.',
        '█' | '▓' | '▉' | '▊' | '▋' | '▌' | '▐' | '▆' | '▇' => '#',
        '▒' | '▅' | '▄' => '=',
        '░' | '▃' | '▂' | '▁' => ':',
        '≤' => '<',
        '≥' => '>',
        '≈' | '∼' => '~',
        '−' => '-',
        '±' => '+',
        '⟦' => '[',
        '⟧' => ']',
        '“' | '”' => '"',
        '‘' | '’' => '\'',
        '\u{2800}' | '\u{a0}' => ' ',
        // Braille: few dots are a dot, many a star.
        braille @ '\u{2801}'..='\u{28ff}' => {
            if (braille as u32 - 0x2800).count_ones() > 3 {
                '*'
            } else {
                '.'
            }
        }
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn every_cell_is_ascii_and_keeps_its_width() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "┌›日本é⣿…│", Style::default());
        rewrite(&mut buffer);
        let text: String = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(text.is_ascii(), "{text}");
        assert!(text.starts_with("+>??"), "{text}");
    }
}

//! A grid of dots to draw curves on: eight dots a cell in braille, one in plain letters.
//!
//! Owns which mark a cell shows where several things cross, and the letters that stand for dots where braille cannot be
//! shown. Curves differ by their marks too, so that they are told apart without colour. Knows nothing of numbers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::theme::{Role, Theme};

/// What is drawn, the later above the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// An earlier run, dashed.
    Past,
    /// Between the lowest and the highest of a stretch, or what was smoothed.
    Raw,
    Line,
    /// Single values, each a mark.
    Points,
    /// A value that is no number.
    Hole,
}

impl Ink {
    pub fn role(self) -> Role {
        match self {
            Self::Past => Role::Accent,
            Self::Raw => Role::Dim,
            Self::Line => Role::CurveA,
            Self::Points => Role::CurveB,
            Self::Hole => Role::Bad,
        }
    }

    /// Its mark in a legend, and in a cell of letters.
    pub fn sign(self, ascii: bool) -> char {
        match (self, ascii) {
            (Self::Past, false) => '┄',
            (Self::Past, true) => '-',
            (Self::Raw, false) => '░',
            (Self::Raw, true) => '.',
            (Self::Line, false) => '─',
            (Self::Line, true) => '*',
            (Self::Points, false) => '•',
            (Self::Points, true) => 'o',
            (Self::Hole, false) => '×',
            (Self::Hole, true) => 'x',
        }
    }

    /// Its values are joined by a line. What was smoothed stays dots, so that its mean is seen.
    pub fn is_joined(self) -> bool {
        matches!(self, Self::Past | Self::Line)
    }

    /// Its mark takes the whole cell.
    fn is_mark(self) -> bool {
        matches!(self, Self::Points | Self::Hole)
    }
}

/// Bits of a braille character by column and row of its dots.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
const BRAILLE: u32 = 0x2800;

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    dots: u8,
    ink: Option<Ink>,
}

pub struct Canvas {
    columns: usize,
    rows: usize,
    ascii: bool,
    cells: Vec<Cell>,
}

impl Canvas {
    pub fn new(columns: u16, rows: u16, ascii: bool) -> Self {
        let (columns, rows) = (usize::from(columns), usize::from(rows));
        Self { columns, rows, ascii, cells: vec![Cell::default(); columns * rows] }
    }

    /// Dots from left to right.
    pub fn width(&self) -> usize {
        self.columns * if self.ascii { 1 } else { 2 }
    }

    /// Dots from top to bottom.
    pub fn height(&self) -> usize {
        self.rows * if self.ascii { 1 } else { 4 }
    }

    /// The column of cells that a dot lies in.
    pub fn column(&self, x: usize) -> usize {
        if self.ascii { x } else { x / 2 }
    }

    pub fn dot(&mut self, x: usize, y: usize, ink: Ink) {
        let (wide, high) = if self.ascii { (1, 1) } else { (2, 4) };
        let (column, row) = (x / wide, y / high);
        if column >= self.columns || row >= self.rows {
            return;
        }
        let cell = &mut self.cells[row * self.columns + column];
        // What lies above hides what lies below: dots of two kinds in one cell would be one smear.
        if cell.ink < Some(ink) {
            *cell = Cell { dots: 0, ink: Some(ink) };
        }
        if cell.ink == Some(ink) {
            cell.dots |= DOTS[x % wide][y % high];
        }
    }

    /// A line of dots; the dashed one leaves out every third.
    pub fn line(&mut self, from: (usize, usize), to: (usize, usize), ink: Ink) {
        let (dx, dy) = (to.0.abs_diff(from.0), to.1.abs_diff(from.1));
        let steps = dx.max(dy);
        for i in 0..=steps {
            // To the nearest dot.
            let part = |length: usize| (length * i * 2 + steps) / (2 * steps).max(1);
            let along = |a: usize, b: usize| if b >= a { a + part(b - a) } else { a - part(a - b) };
            let (x, y) = (along(from.0, to.0), along(from.1, to.1));
            if ink != Ink::Past || (x + y) % 3 != 0 || steps == 0 {
                self.dot(x, y, ink);
            }
        }
    }

    fn glyph(&self, cell: Cell) -> Option<(char, Ink)> {
        let ink = cell.ink?;
        if self.ascii || ink.is_mark() {
            return Some((ink.sign(self.ascii), ink));
        }
        Some((char::from_u32(BRAILLE + u32::from(cell.dots)).unwrap_or('⣿'), ink))
    }

    /// Puts the marks into a buffer, and a crosshair over one of its columns.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, theme: &Theme, cross: Option<usize>) {
        for row in 0..self.rows.min(area.height.into()) {
            for column in 0..self.columns.min(area.width.into()) {
                let Some(place) = buffer.cell_mut((area.x + column as u16, area.y + row as u16)) else { continue };
                let here = cross == Some(column);
                match self.glyph(self.cells[row * self.columns + column]) {
                    Some((glyph, ink)) => {
                        place.set_char(glyph).set_style(theme.style(if here { Role::Selected } else { ink.role() }));
                    }
                    None if here => {
                        place.set_char(if self.ascii { '|' } else { '│' }).set_style(theme.style(Role::Key));
                    }
                    None => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(canvas: &Canvas) -> String {
        let area = Rect::new(0, 0, canvas.columns as u16, canvas.rows as u16);
        let mut buffer = Buffer::empty(area);
        canvas.draw(area, &mut buffer, &Theme::default(), None);
        buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect()
    }

    #[test]
    fn eight_dots_make_a_cell_and_a_mark_stands_above_them() {
        let mut canvas = Canvas::new(2, 1, false);
        canvas.line((0, 0), (1, 3), Ink::Line);
        assert_eq!(text(&canvas), "⢣ ");
        canvas.dot(1, 1, Ink::Points);
        canvas.dot(0, 1, Ink::Raw);
        assert_eq!(text(&canvas), "• ");
    }

    #[test]
    fn letters_stand_for_dots_where_braille_cannot_be_shown() {
        let mut canvas = Canvas::new(3, 2, true);
        canvas.line((0, 1), (2, 1), Ink::Line);
        canvas.dot(0, 0, Ink::Hole);
        canvas.dot(1, 1, Ink::Raw);
        assert_eq!(text(&canvas), "x  ***");
    }

    #[test]
    fn what_lies_outside_is_not_drawn() {
        let mut canvas = Canvas::new(0, 0, false);
        canvas.line((0, 0), (90, 90), Ink::Line);
        let mut canvas = Canvas::new(1, 1, false);
        canvas.dot(2, 0, Ink::Line);
        canvas.dot(0, 4, Ink::Line);
        assert_eq!(text(&canvas), " ");
    }
}

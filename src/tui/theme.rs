//! Themes: roles → styles, read from TOML. The only file that names a colour.
//!
//! Owns the roles and their fallbacks; which role a text has is its view's.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use thiserror::Error;

/// What a piece of the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Text,
    /// Less important text.
    Dim,
    /// Headings, values that matter.
    Strong,
    /// Names of keys in the footer and the help.
    Key,
    Accent,
    /// The selected row; must be visible without colour.
    Selected,
    Border,
    /// Border of the pane that has the focus.
    Focus,
    Good,
    Warn,
    Bad,
    /// Tokens that the loss sees.
    Trained,
    /// First and second curve of a chart.
    CurveA,
    CurveB,
    Gauge,
}

#[derive(Debug, Error)]
pub enum ThemeError {
    #[error("theme '{name}': {why}")]
    Toml { name: String, why: String },
    #[error("theme '{name}' is neither in themes/ nor shipped; shipped are: {known}")]
    Unknown { name: String, known: String },
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    fg: Option<String>,
    bg: Option<String>,
    #[serde(default)]
    add: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Theme {
    styles: BTreeMap<Role, Style>,
    ascii: bool,
}

const SHIPPED: [(&str, &str); 5] = [
    ("dark", include_str!("../../themes/dark.toml")),
    ("light", include_str!("../../themes/light.toml")),
    ("high-contrast", include_str!("../../themes/high-contrast.toml")),
    ("colour-blind", include_str!("../../themes/colour-blind.toml")),
    ("ansi16", include_str!("../../themes/ansi16.toml")),
];

impl Theme {
    /// A theme by name: `file` is the workspace's own text of it, if there is one. Under `NO_COLOR` every role keeps its
    /// modifiers and loses its colours.
    pub fn load(name: &str, file: Option<&str>, no_color: bool) -> Result<Self, ThemeError> {
        let shipped = SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        let Some(text) = file.or(shipped) else {
            let known: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            return Err(ThemeError::Unknown { name: name.into(), known: known.join(", ") });
        };
        let wrong = |why: String| ThemeError::Toml { name: name.into(), why };
        let rows: BTreeMap<Role, Row> = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let mut styles = BTreeMap::new();
        for (role, row) in rows {
            styles.insert(role, style(&row, no_color).map_err(wrong)?);
        }
        Ok(Self { styles, ascii: false })
    }

    /// With letters of ASCII alone.
    #[must_use]
    pub fn in_ascii(mut self, ascii: bool) -> Self {
        self.ascii = ascii;
        self
    }

    pub fn ascii(&self) -> bool {
        self.ascii
    }

    pub fn style(&self, role: Role) -> Style {
        // A role that a theme leaves out looks like plain text.
        self.styles.get(&role).copied().unwrap_or_default()
    }
}

impl Default for Theme {
    fn default() -> Self {
        Self::load("dark", None, false).unwrap_or(Self { styles: BTreeMap::new(), ascii: false })
    }
}

fn style(row: &Row, no_color: bool) -> Result<Style, String> {
    let mut style = Style::default();
    let color = |name: &String| -> Result<Color, String> {
        let parsed = name.parse::<Color>().map_err(|_| format!("'{name}' is not a colour"))?;
        // crossterm resets everything under NO_COLOR when it is asked for a colour; Reset keeps bold and reverse.
        Ok(if no_color { Color::Reset } else { parsed })
    };
    if let Some(fg) = &row.fg {
        style = style.fg(color(fg)?);
    }
    if let Some(bg) = &row.bg {
        style = style.bg(color(bg)?);
    }
    for word in &row.add {
        style = style.add_modifier(match word.as_str() {
            "bold" => Modifier::BOLD,
            "dim" => Modifier::DIM,
            "italic" => Modifier::ITALIC,
            "underlined" => Modifier::UNDERLINED,
            "reversed" => Modifier::REVERSED,
            other => return Err(format!("'{other}' is not a modifier; use bold, dim, italic, underlined or reversed")),
        });
    }
    Ok(style)
}

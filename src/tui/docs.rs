//! `docs/keys.md`, made from the action table, so that it cannot say what the console does not do.

use std::fmt::Write as _;

use super::actions::{self, Action, Where};
use super::keymap::Keymap;
use crate::domain::Phase;

/// The whole page.
pub fn keys_page() -> String {
    let mut page = String::from(
        "# Keys\n\nMade from the action table by `cargo test --test docs` (`UPDATE_DOCS=1` writes it). Every act is also in the \
         palette (`:`), which says why one cannot be done now. `[keys]` in `stratos.toml` gives an action other keys by its \
         name, e.g. `run-all = [\"ctrl-g\"]`; an empty list takes its keys away, and a key that would mean two things on one \
         tab is refused when the console opens.\n",
    );
    section(&mut page, "Everywhere", |action| action.on == Where::Anywhere);
    for phase in Phase::ALL {
        section(&mut page, &format!("{} {}", phase.index() + 1, phase.title()), |action| action.on == Where::Tab(phase));
    }
    page.push_str(
        "\n## In dialogs\n\nEnter answers, Esc leaves without doing anything, Tab goes to the next field, arrows and page keys \
         choose or scroll. In a text line: ctrl-a, ctrl-e, ctrl-u, ctrl-w as in a shell. In the editor of a reader: ctrl-s \
         saves, ctrl-o opens `$EDITOR`, ctrl-t turns between preview and changes. Ctrl-C asks to quit everywhere; Ctrl-Z stops \
         the console as it stops any program, and `fg` brings it back.\n\n## With the mouse\n\nA click chooses a tab, a page, a row, \
         a pane or an act of the footer; the wheel scrolls what is under it; the line between list and details is pulled. No act \
         needs it, and `mouse = false` leaves it to the terminal.\n",
    );
    page
}

fn section(page: &mut String, title: &str, belongs: impl Fn(&Action) -> bool) {
    let mut rows = actions::all().filter(|action| belongs(action)).peekable();
    if rows.peek().is_none() {
        return;
    }
    let keymap = Keymap::default();
    let _ = write!(page, "\n## {title}\n\n| keys | name | what it does |\n| --- | --- | --- |\n");
    for action in rows {
        let keys: Vec<String> =
            keymap.of(action).iter().map(|key| format!("`{}`", key.to_string().replace('|', "\\|"))).collect();
        let _ = writeln!(page, "| {} | {} | {} |", keys.join(" "), action.id, action.help);
    }
}

//! What can be done on the Dataset tab alone.
//!
//! Owns the way to the loss mask of an example, and the forms for importing labels, sealing and exporting.

use std::path::PathBuf;

use super::{EXAMPLES, MASK, examples};
use crate::domain::{Phase, Trust};
use crate::engine::{Command, Errand, Format, SealWish};
use crate::tui::actions::{Action, free};
use crate::tui::acts::{Effects, Ready, can_run, need, step};
use crate::tui::app::App;
use crate::tui::keys::Chord;
use crate::tui::overlays::Overlay;
use crate::tui::overlays::form::{Field, Form};
use crate::tui::widgets::scroll::Scroll;

pub const ACTIONS: &[Action] = &[
    free("mask", &[Chord::char('m')], "mask", "Show which tokens of the selected example are trained.", show_mask)
        .shown()
        .when(can_mask)
        .on(Phase::Dataset),
    free("import-labels", &[Chord::char('I')], "import labels", "Import a file of labels: scores of others, or of people.", import)
        .shown()
        .when(can_run)
        .on(Phase::Dataset),
    free("seal", &[Chord::char('S')], "seal", "Seal clusters and readers that no run may train on.", seal)
        .shown()
        .when(can_seal)
        .on(Phase::Dataset),
    free("export-dataset", &[Chord::char('e')], "export", "Write the dataset for other programs, with a card.", export)
        .when(can_export)
        .on(Phase::Dataset),
    free("dataset-next", &[Chord::char('n')], "next", "Next row, also while its details are read.", |app| turn(app, false))
        .when(can_turn)
        .on(Phase::Dataset),
    free("dataset-previous", &[Chord::char('N')], "previous", "The row before, also while details are read.", |app| turn(app, true))
        .when(can_turn)
        .on(Phase::Dataset),
];

fn can_mask(app: &App) -> Ready {
    need(app.tab().page == EXAMPLES, "select an example on page 'examples' first")?;
    need(examples::selected(&app.look()).is_some(), "no example is selected")
}

fn show_mask(app: &mut App) -> Effects {
    let Some(id) = examples::selected(&app.look()).map(|row| row.id.clone()) else { return Vec::new() };
    app.own_mut().dataset.masked = Some(id);
    app.show_page(MASK);
    Vec::new()
}

fn can_turn(app: &App) -> Ready {
    let masked = app.tab().page == MASK && app.own().dataset.masked.is_some();
    need(masked || app.rows() > 0, "this page has no rows")
}

/// On page mask, the mask of the next example.
fn turn(app: &mut App, back: bool) -> Effects {
    if app.tab().page != MASK {
        return step(app, back);
    }
    let look = app.look();
    let next = look.own.dataset.masked.as_ref().and_then(|id| examples::neighbour(&look, id, back));
    if next.is_some() {
        app.own_mut().dataset.masked = next;
        app.tab_mut().scroll = Scroll::default();
    }
    Vec::new()
}

fn import(app: &mut App) -> Effects {
    let hint = "JSON lines of scores or chats, or an earlier training file; it is told by its content. Each row is judged by \
                the guards; what cannot be used stands on page 'quarantine' after the next build.";
    let trusts = [Trust::Medium, Trust::High, Trust::Low].map(Trust::id);
    let fields = vec![Field::text("file", ""), Field::text("annotator", ""), Field::choice("trust", trusts)];
    app.open(Overlay::Form(Form::new("Import labels", hint, fields, |values| {
        let [file, annotator, trust] = values else { return Err("three values are needed".into()) };
        if file.is_empty() {
            return Err("name a file".into());
        }
        let trust = Trust::ALL.into_iter().find(|t| t.id() == trust).unwrap_or_default();
        let annotator = (!annotator.is_empty()).then(|| annotator.clone());
        Ok(Command::Errand { errand: Errand::ImportLabels { files: vec![PathBuf::from(file)], annotator, trust } })
    })))
}

fn can_seal(app: &App) -> Ready {
    need(app.snapshot().dataset.seal.is_none(), "there is a seal already; 'stratos dataset seal --add' makes it grow")?;
    can_run(app)
}

fn seal(app: &mut App) -> Effects {
    let hint = "Keeps a share of the article clusters, and some readers whole, from every run: what a release is proved on. It \
                is made once and only grows. A reason is needed where a student was trained already; it is kept.";
    let fields = vec![Field::text("share", "0.2"), Field::text("readers", "0"), Field::text("reason", "")];
    app.open(Overlay::Form(Form::new("Seal a hold-out", hint, fields, |values| {
        let [share, readers, reason] = values else { return Err("three values are needed".into()) };
        let share: f64 = share.parse().map_err(|_| "the share is a number such as 0.2".to_owned())?;
        if !(share > 0.0 && share < 1.0) {
            return Err("the share lies between 0 and 1".into());
        }
        let readers: usize = readers.parse().map_err(|_| "readers is a whole number; 0 for none".to_owned())?;
        let wish = SealWish::New { share, readers, named: Vec::new(), seed: None, reason: reason.clone() };
        Ok(Command::Errand { errand: Errand::Seal { wish } })
    })))
}

fn can_export(app: &App) -> Ready {
    need(app.snapshot().dataset.digest.is_some(), "there is no dataset yet; press r to build it")?;
    can_run(app)
}

fn export(app: &mut App) -> Effects {
    let hint = "Writes train and held-out rows and a dataset card into a folder. Files there that this did not write are \
                never replaced; sealed rows are on no side.";
    let fields = vec![Field::choice("format", Format::ALL.map(Format::id)), Field::text("folder", "export")];
    app.open(Overlay::Form(Form::new("Export the dataset", hint, fields, |values| {
        let [format, folder] = values else { return Err("two values are needed".into()) };
        let format = Format::ALL.into_iter().find(|f| f.id() == format).ok_or("choose a format")?;
        if folder.is_empty() {
            return Err("name a folder".into());
        }
        Ok(Command::Errand { errand: Errand::ExportDataset { format, folder: PathBuf::from(folder) } })
    })))
}

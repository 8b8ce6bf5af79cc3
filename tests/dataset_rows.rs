//! What the console reads of a built dataset: every row, one whole, its mask, what was left out, what the sampler reads; and
//! the export as the errand that the console sends.

mod common;

use std::sync::Arc;

use common::{Workspace, text};
use stratos::domain::SystemClock;
use stratos::engine::{Answer, Command, DatasetIndex, Engine, Errand, ExampleRow, Format, Library, Query, Snapshot};

fn built() -> Workspace {
    let workspace = Workspace::of("stratos-v2");
    let run = workspace.stratos(&["run", "--yes", "--to", "dataset"]);
    assert!(run.status.success(), "{}", text(&run));
    workspace
}

fn library(workspace: &Workspace) -> Library {
    Library::open(stratos::workspace::Workspace::open(workspace.path()).expect("opens")).expect("reads")
}

fn index(library: &mut Library) -> Arc<DatasetIndex> {
    match library.answer(&Query::Dataset).expect("an index") {
        Answer::Dataset(index) => index,
        other => panic!("{other:?}"),
    }
}

fn lines(workspace: &Workspace, file: &str) -> usize {
    std::fs::read_to_string(workspace.path().join("data").join(file)).expect("a file").lines().count()
}

#[test]
fn the_library_holds_every_row_and_finds_them_by_side_band_and_reader() {
    let workspace = built();
    let mut library = library(&workspace);
    let index = index(&mut library);
    let held = index.rows.iter().filter(|row| row.held_out).count();
    assert_eq!((index.rows.len() - held, held), (lines(&workspace, "training_v2.jsonl"), lines(&workspace, "eval_v2.jsonl")));
    assert!((index.read.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", index.read);
    assert!(!index.order.is_empty() && index.order.iter().all(|row| !index.rows[*row as usize].held_out), "held out is not read");

    let mut found = |filter: &str| match library.answer(&Query::FindExamples(filter.into())).expect("found") {
        Answer::Found(found) => found.rows.iter().map(|row| &index.rows[*row as usize]).collect::<Vec<&ExampleRow>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(found("side:held").len(), held);
    assert_eq!(found("").len(), index.rows.len());
    let first = &index.rows[0];
    let alike = found(&format!("band:{} profile:{} side:train", first.band, first.reader));
    let by_hand = index.rows.iter().filter(|r| r.band == first.band && r.reader == first.reader && !r.held_out).count();
    assert!(by_hand > 0 && alike.len() == by_hand, "{} of {by_hand}", alike.len());
}

#[test]
fn an_example_its_mask_and_the_sampler_are_read_and_what_is_not_there_is_named() {
    let workspace = built();
    let mut library = library(&workspace);
    let id = index(&mut library).rows[0].id.clone();
    let Answer::Example(view) = library.answer(&Query::Example(id.clone())).expect("an example") else { panic!("no example") };
    assert_eq!((view.example.id.as_str(), view.example.messages.len()), (id.as_str(), 3));

    let Answer::Mask(mask) = library.answer(&Query::Mask(id.clone())).expect("a mask") else { panic!("no mask") };
    assert_eq!(mask.tokens.len(), view.tokens, "every token of the row");
    let said = |trained| mask.tokens.iter().filter(|(_, t)| *t == trained).map(|(text, _)| text.as_str()).collect::<String>();
    let answer = &view.example.messages[2].content;
    assert!(said(true).contains("SCORE: ") && said(true).contains(answer.trim()), "{}", said(true));
    let prompt = &view.example.messages[1].content;
    assert!(said(false).contains(prompt.trim()) && !said(false).contains(answer.trim()), "{}", said(false));

    let Answer::Sampler(report) = library.answer(&Query::Sampler).expect("a report") else { panic!("no report") };
    assert_eq!(report.bands.iter().map(|band| band.rows).sum::<usize>(), lines(&workspace, "training_v2.jsonl"));
    let Answer::Quarantine(view) = library.answer(&Query::Quarantine("zz".into())).expect("a list") else { panic!("no list") };
    assert!(view.rows.is_empty() && view.total == view.reasons.iter().map(|(_, n)| n).sum::<usize>());
    for query in [Query::Example("nobody".into()), Query::Mask("nobody".into())] {
        assert!(library.answer(&query).expect_err("unknown").contains("there is no example 'nobody'"));
    }

    let shell = workspace.stratos(&["dataset", "mask", &id]);
    assert!(shell.status.success() && text(&shell).contains('['), "{}", text(&shell));
    let unknown = workspace.stratos(&["dataset", "mask", "nobody"]);
    assert!(!unknown.status.success() && text(&unknown).contains("there is no example"), "{}", text(&unknown));
}

#[test]
fn the_console_exports_as_the_shell_does() {
    let workspace = built();
    let opened = stratos::workspace::Workspace::open(workspace.path()).expect("opens");
    let (engine, handle) = Engine::start(opened, Arc::new(SystemClock)).expect("starts");
    let folder = workspace.path().join("out");
    let errand = Errand::ExportDataset { format: Format::Sharegpt, folder: folder.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
    let snapshot: Arc<Snapshot> = runtime.block_on(async {
        handle.ask(Command::Errand { errand }).await.expect("taken");
        let mut snapshot = handle.snapshot();
        snapshot.wait_for(|s| !s.jobs.is_empty()).await.expect("an engine").clone()
    });
    drop(handle);
    engine.join();
    let said = snapshot.jobs.last().map(|job| (job.state.label(), job.message.clone()));
    assert_eq!(
        std::fs::read_to_string(folder.join("train.jsonl")).expect("a file").lines().count(),
        lines(&workspace, "training_v2.jsonl"),
        "{said:?}"
    );
}

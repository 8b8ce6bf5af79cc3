//! Tests of the Audit tab: its three sizes, the flow of a review, blind repeats, marks, hostile texts, a long queue.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::*;
use crate::domain::{Motivation, Profile, Remedy, Round, Seniority, SourceType, Verdict};
use crate::engine::{
    Anatomy, AuditHead, AuditResults, AuditRow, AuditStanding, AuditText, AuditView, Command, Consistency, Judgement, Part,
    PartKind, Results, Snapshot,
};
use crate::tui::app::App;
use crate::tui::msg::{Effect, Msg};
use crate::tui::run::pointing;
use crate::tui::tabs::TabState;
use crate::tui::testing::{SIZES, Stage};
use crate::tui::theme::Theme;

const HERE: Phase = Phase::Audit;

const THINK: &str = "PROFILE: nurse in Houston, mid level\nRECOGNISE: HCA opens a ward and hires for night shifts\n\
                     SIGNALS: ENTITY STRONG (HCA); PLACE WEAK (Texas); TIMING NONE\nSTRONGEST: ENTITY\nMATCH: a vacancy of her own trade";

fn pair(article: &str) -> PairKey {
    PairKey { article: article.parse().expect("id"), profile: "texas_nurse".parse().expect("id") }
}

fn part(text: &str, word: &str, kind: PartKind) -> Part {
    let start = text.find(word).expect("is there");
    Part { start, end: start + word.len(), kind }
}

fn row(article: &str, title: &str, band: &str, teacher: f64, student: Option<f64>) -> AuditRow {
    let head = AuditHead {
        pair: pair(article),
        title: title.into(),
        role: "registered nurse".into(),
        band: band.into(),
        teacher,
        student,
        student_failed: false,
    };
    AuditRow { head: Arc::new(head), teacher_verdict: None, student_verdict: None, remedy: None, repeat: false }
}

fn rows() -> Vec<AuditRow> {
    let mut rows = vec![
        row("a1", "Hospital opens a ward in Houston", "Critical", 9.1, Some(2.0)),
        row("a2", "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}Chip plant 日本語", "Noise", 0.5, Some(0.7)),
        row("a3", "Nurse fair", "High", 7.5, None),
        row("a4", "Bank holiday", "Noise", 1.0, None),
    ];
    rows[1].teacher_verdict = Some(Verdict::Faithful);
    (rows[3].teacher_verdict, rows[3].remedy) = (Some(Verdict::WrongOverlap), Some("retry"));
    rows
}

fn index(rows: Vec<AuditRow>) -> AuditIndex {
    let read = rows.iter().filter(|r| r.teacher_verdict.is_some()).count();
    AuditIndex {
        total: rows.len(),
        read,
        rows,
        basis: "widest |teacher − student| first".into(),
        repeat: None,
        filter_error: None,
        undo: Some((pair("a2"), Author::Teacher)),
    }
}

fn block(author: Author, think: &str, score: Option<f64>) -> AuditBlock {
    let mut parts: Vec<Part> = ["PROFILE:", "RECOGNISE:", "SIGNALS:", "STRONGEST:", "MATCH:"]
        .into_iter()
        .filter(|s| think.contains(s))
        .map(|s| part(think, s, PartKind::Step))
        .collect();
    for (word, kind) in [("HCA", PartKind::Tracked), ("STRONG ", PartKind::Strong), ("NONE", PartKind::Absent)] {
        parts.extend(think.contains(word).then(|| part(think, word, kind)));
    }
    parts.sort_by_key(|p| p.start);
    AuditBlock {
        author,
        source: if author == Author::Teacher { "rehearsal/prism-1".into() } else { "student 0a1b2c3d".into() },
        trace: Digest::of(format!("{author}{think}")),
        think: think.into(),
        anatomy: Anatomy { parts, ..Anatomy::default() },
        score,
        band: "Critical".into(),
        reason: "A ward in her own city hires nurses.".into(),
        defect: None,
        standing: None,
        repeat: false,
    }
}

fn article(id: &str) -> AuditReading {
    let mut student = block(Author::Student, "PROFILE: \u{1b}[31mnobody\nMATCH: none", Some(2.0));
    student.anatomy.breach = Some("names no signal above NONE, and scores above the lowest band".into());
    let summary = "HCA Houston opens a ward of forty beds.\nNight shifts are paid a third more.";
    AuditReading {
        pair: pair(id),
        title: AuditText { text: "Hospital opens a ward in Houston".into(), parts: Vec::new() },
        summary: AuditText { text: summary.into(), parts: vec![part(summary, "HCA", PartKind::Tracked)] },
        source: "Gazette".into(),
        source_type: SourceType::Official,
        published: Some("2026-03-01".into()),
        profile: Profile {
            id: "texas_nurse".parse().expect("id"),
            description: "Looks for a better ward.".into(),
            role: "registered nurse".into(),
            seniority: Seniority::Mid,
            location: "Houston, Texas, United States".into(),
            context: "Night shifts suit her.".into(),
            motivation: Motivation::Career,
            tracked: vec!["HCA".into(), "Memorial Hermann".into()],
            interests: vec!["vacancies".into(), "pay".into()],
            system_prompt: None,
        },
        teacher: Some(block(Author::Teacher, &format!("{THINK} ({id})"), Some(9.1))),
        student: (id == "a1").then_some(student),
    }
}

fn snapshot() -> Snapshot {
    let audit = Arc::new(AuditView { traces: 4, target: 50, read: [2, 0], ..AuditView::default() });
    Snapshot { audit, ..Snapshot::default() }
}

fn queue(author: Author) -> Query {
    Query::AuditQueue(AuditQueue { author, ..AuditQueue::default() })
}

fn answers() -> Vec<(Query, Answer)> {
    let mut answers = vec![(queue(Author::Teacher), Answer::AuditQueue(Arc::new(index(rows()))))];
    answers.push((queue(Author::Student), Answer::AuditQueue(Arc::new(index(vec![rows().remove(0)])))));
    answers
        .extend(["a1", "a2", "a3", "a4"].map(|id| (Query::AuditReading(pair(id)), Answer::AuditReading(Arc::new(article(id))))));
    answers
}

fn stage(tab: &TabState) -> Stage {
    answers().into_iter().fold(Stage::of(&snapshot(), tab), |stage, (query, answer)| stage.answered(&query, answer))
}

fn reading_tab() -> TabState {
    TabState { detail: true, ..TabState::default() }
}

#[test]
fn the_queue_at_three_sizes() {
    let stage = stage(&TabState::default());
    for size in SIZES {
        insta::assert_snapshot!(format!("audit_queue_{}x{}", size.0, size.1), stage.styled(HERE, size));
    }
}

#[test]
fn reading_a_block_at_three_sizes() {
    let mut stage = stage(&reading_tab());
    let trace = article("a1").teacher.expect("has one").trace;
    let start = THINK.find("a ward").expect("is there");
    let marks = vec![MarkedSpan { start, end: start + 6, kind: Verdict::WrongArticle }];
    stage.own.audit.draft = Draft { trace: Some(trace), note: "it is last year's ward".into(), marks };
    for size in SIZES {
        insta::assert_snapshot!(format!("audit_reading_{}x{}", size.0, size.1), stage.styled(HERE, size));
    }
}

#[test]
fn results_at_three_sizes() {
    let share = |hits, n| crate::engine::Share::of(hits, n);
    let row = |name: &str, counts: [usize; 6]| {
        let n = counts.iter().sum();
        crate::engine::ResultRow { name: name.into(), kinds: counts.map(|c| share(c, n)).to_vec() }
    };
    let author = |author, all: [usize; 6]| crate::engine::AuthorResults {
        author,
        all: row("all", all),
        bands: vec![row("Noise", [20, 1, 0, 0, 2, 0]), row("Critical", [5, 0, 1, 2, 0, 1])],
        readers: vec![row("texas_nurse", [25, 1, 1, 2, 2, 1])],
        seconds: Some((41.0, 30)),
        random: share(0, all.iter().sum()),
        carried: 0,
        elsewhere: 0,
        remarks: vec!["32 of 32 were not drawn at random, and bands take turns".into()],
    };
    let reviewer = Consistency {
        repeats: 12,
        equal: 10,
        equal_interval: (0.55, 0.95),
        kappa: Some(0.61),
        kappa_interval: Some((0.2, 0.9)),
        kappa_faithful: Some(0.7),
    };
    let found = AuditResults {
        results: Results { authors: vec![author(Author::Teacher, [25, 1, 1, 2, 2, 1]), author(Author::Student, [0; 6])] },
        reviewer: reviewer.clone(),
        reviewer_of: [reviewer.clone(), reviewer],
    };
    let tab = TabState { page: RESULTS, ..TabState::default() };
    let stage = stage(&tab).answered(&Query::AuditResults, Answer::AuditResults(Arc::new(found)));
    for size in SIZES {
        insta::assert_snapshot!(format!("audit_results_{}x{}", size.0, size.1), stage.styled(HERE, size));
    }
}

#[test]
fn nothing_is_drawn_that_could_move_the_cursor_and_no_size_panics() {
    for detail in [false, true] {
        let mut stage = stage(&TabState { detail, ..TabState::default() });
        for author in Author::ALL {
            stage.own.audit.author = author;
            for pane in Pane::ALL {
                stage.own.audit.pane = pane;
                for size in SIZES {
                    let text = stage.text(HERE, size);
                    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text}");
                }
                for size in
                    [(1, 1), (2, 2), (3, 3), (5, 1), (1, 9), (13, 7), (40, 4), (59, 5), (60, 6), (99, 12), (149, 3), (150, 9)]
                {
                    stage.text(HERE, size);
                }
            }
        }
    }
}

#[test]
fn while_the_library_reads_a_sentence_stands_there() {
    let tab = TabState::default();
    assert!(Stage::of(&snapshot(), &tab).text(HERE, (80, 24)).contains("Laying the think blocks out"));
    let only_queue = Stage::of(&snapshot(), &tab).answered(&queue(Author::Teacher), Answer::AuditQueue(Arc::new(index(rows()))));
    assert!(only_queue.text(HERE, (80, 24)).contains("Reading the block"));
    let empty =
        Stage::of(&snapshot(), &tab).answered(&queue(Author::Teacher), Answer::AuditQueue(Arc::new(AuditIndex::default())));
    assert!(empty.text(HERE, (80, 24)).contains("There is no think block to read yet"));
}

#[test]
fn a_queue_of_20_000_is_drawn_as_fast_as_one_of_ten() {
    let many: Vec<AuditRow> = (0..20_000).map(|i| row(&format!("b{i}"), "A title", "Noise", 1.0, Some(2.0))).collect();
    let tab = TabState { selected: 19_999, ..TabState::default() };
    let stage = Stage::of(&snapshot(), &tab).answered(&queue(Author::Teacher), Answer::AuditQueue(Arc::new(index(many))));
    assert_eq!(stage.rows(HERE), 20_000);
    assert!(stage.text(HERE, (80, 24)).contains("Queue 20000/20000"));
}

// The flow of a review.

fn app() -> App {
    let mut app = App::new(Arc::new(snapshot()), Theme::default());
    press(&mut app, "7");
    app.update(Msg::Tick(UnixMillis(1_000)));
    for _ in 0..3 {
        for (query, answer) in answers() {
            app.update(Msg::Answered((query, Some(Ok(answer)))));
        }
        app.update(Msg::Resize);
    }
    app
}

/// Answers what the console asks, and gives the commands it sends.
fn press(app: &mut App, keys: &str) -> Vec<Command> {
    let mut sent = Vec::new();
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        let mut effects = app.update(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Send(command) => sent.push(command),
                Effect::Ask(query) => {
                    let answer = answers().into_iter().find(|(q, _)| *q == query).map(|(_, a)| Ok(a));
                    effects.extend(app.update(Msg::Answered((query, answer.or(Some(Err("unknown".into())))))));
                }
                Effect::Copy(_) | Effect::Edit(_) | Effect::Reconnect | Effect::Quit => {}
            }
        }
    }
    sent
}

fn shown(app: &App) -> String {
    current(&app.look()).map(|p| p.article.to_string()).unwrap_or_default()
}

fn judged(commands: &[Command]) -> Vec<Judgement> {
    let one = |c: &Command| if let Command::Judge { judgement } = c { Some(judgement.clone()) } else { None };
    commands.iter().filter_map(one).collect()
}

#[test]
fn one_key_judges_what_is_on_the_screen_and_brings_the_next_unread() {
    let mut app = app();
    let sent = press(&mut app, "\nO");
    let [given] = &judged(&sent)[..] else { panic!("{sent:?}") };
    assert_eq!((given.pair.clone(), given.verdict, given.round), (pair("a1"), Verdict::WrongOverlap, Round::First));
    assert_eq!(given.trace, article("a1").teacher.map(|b| b.trace), "bound to the text that was read");
    assert_eq!((given.drawn.as_str(), given.seconds), ("disagreement", None), "nobody knows since when it was read");
    assert_eq!(shown(&app), "a3", "a2 is read already");
    app.update(Msg::Tick(UnixMillis(43_000)));
    let sent = press(&mut app, "y");
    assert_eq!(judged(&sent)[0].seconds, Some(42.0));
    assert_eq!(judged(&sent)[0].pair, pair("a3"));
    assert_eq!(shown(&app), "a3", "nothing is left: it stays");
}

#[test]
fn every_verdict_has_a_key_of_its_own() {
    for (key, verdict) in ["y", "P", "A", "O", "C", "x"].into_iter().zip(Verdict::ALL) {
        assert_eq!(judged(&press(&mut app(), key))[0].verdict, verdict, "{key}");
    }
}

#[test]
fn undo_takes_the_verdict_back_and_goes_back_to_it_with_what_was_written() {
    let mut app = app();
    press(&mut app, "\nnnot so\n");
    let sent = press(&mut app, "P");
    assert_eq!(judged(&sent)[0].note, "not so");
    assert_eq!(shown(&app), "a3");
    let sent = press(&mut app, "u");
    assert_eq!(sent, [Command::UndoVerdict { pair: Some(pair("a1")), author: Some(Author::Teacher) }]);
    assert_eq!((shown(&app).as_str(), noted(&app.look()).map(|d| d.note)), ("a1", Some("not so".into())));
    let sent = press(&mut app, "u");
    assert_eq!(
        sent,
        [Command::UndoVerdict { pair: Some(pair("a2")), author: Some(Author::Teacher) }],
        "before this console was opened, the queue says what came last"
    );
    assert_eq!(shown(&app), "a2");
}

#[test]
fn a_block_that_comes_back_blind_hides_its_verdict_and_goes_first() {
    let mut app = app();
    let mut again = rows();
    (again[1].teacher_verdict, again[1].repeat) = (None, true);
    let answer = Answer::AuditQueue(Arc::new(AuditIndex { repeat: Some(pair("a2")), ..index(again) }));
    app.update(Msg::Answered((queue(Author::Teacher), Some(Ok(answer)))));
    let mut hidden = article("a2");
    hidden.teacher.as_mut().expect("has one").repeat = true;
    app.update(Msg::Answered((Query::AuditReading(pair("a2")), Some(Ok(Answer::AuditReading(Arc::new(hidden)))))));
    press(&mut app, "N");
    assert_eq!(shown(&app), "a2");
    let sent = press(&mut app, "x");
    let [given] = &judged(&sent)[..] else { panic!("{sent:?}") };
    assert_eq!((given.round, given.pair.clone()), (Round::Blind, pair("a2")));
}

#[test]
fn marks_and_a_note_of_an_unread_block_wait_for_its_verdict() {
    let mut app = app();
    assert!(press(&mut app, "\nmlvlP\n").is_empty());
    assert!(press(&mut app, "nwrong reader\n").is_empty());
    let sent = press(&mut app, "P");
    let given = &judged(&sent)[0];
    let text = format!("{THINK} (a1)");
    assert_eq!(given.spans.iter().map(|s| &text[s.range()]).collect::<Vec<_>>(), ["nurse in"]);
    assert_eq!(given.note, "wrong reader");
    let sent = press(&mut app, "y");
    assert_eq!((judged(&sent)[0].note.as_str(), judged(&sent)[0].spans.len()), ("", 0), "they belonged to the other block");
}

#[test]
fn a_note_on_a_judged_block_is_kept_with_its_verdict_at_once() {
    let mut app = app();
    let mut read = article("a1");
    read.teacher.as_mut().expect("has one").standing = Some(AuditStanding {
        verdict: Verdict::WrongArticle,
        note: "old".into(),
        spans: Vec::new(),
        remedy: Some(Remedy::Drop),
        seconds: Some(9.0),
        at: UnixMillis(1),
    });
    app.update(Msg::Answered((Query::AuditReading(pair("a1")), Some(Ok(Answer::AuditReading(Arc::new(read)))))));
    let sent = press(&mut app, "n and new\n");
    let given = &judged(&sent)[0];
    assert_eq!((given.verdict, given.note.as_str(), given.seconds), (Verdict::WrongArticle, "old and new", Some(9.0)));
    assert_eq!(shown(&app), "a1");
    let sent = press(&mut app, "=3.5\nNot her field.\n");
    let fix = Remedy::Fix { score: 3.5, reason: "Not her field.".into(), keeps_think: false };
    assert_eq!(sent, [Command::Remedy { pair: pair("a1"), choice: fix }]);
}

#[test]
fn the_students_block_is_judged_where_it_is_shown() {
    let mut app = app();
    let sent = press(&mut app, "tC");
    let given = &judged(&sent)[0];
    assert_eq!((given.author, given.pair.clone(), given.verdict), (Author::Student, pair("a1"), Verdict::WrongCalibration));
    assert_eq!(given.trace, article("a1").student.map(|b| b.trace));
    press(&mut app, "d");
    assert!(app.overlays().is_empty(), "a student's verdict changes no dataset");
}

#[test]
fn a_pane_keeps_where_it_was_scrolled_to() {
    let mut app = app();
    press(&mut app, "\njjj");
    assert_eq!(app.tab().scroll.lines(), 3);
    press(&mut app, "l");
    assert_eq!((app.own().audit.pane, app.tab().scroll.lines()), (Pane::Other, 0));
    press(&mut app, "jh");
    assert_eq!((app.own().audit.pane, app.tab().scroll.lines()), (Pane::Block, 3));
    press(&mut app, "l");
    assert_eq!(app.tab().scroll.lines(), 1);
}

/// The console as it stands at 160 × 40, and where a word is on it.
fn place_of(app: &App, word: &str) -> (u16, u16) {
    let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(160, 40)).expect("terminal");
    terminal.draw(|frame| crate::tui::chrome::draw(frame, app)).expect("draws");
    let buffer = terminal.backend().buffer();
    let line = |y: u16| (0..160).map(|x| buffer[(x, y)].symbol()).collect::<Vec<_>>();
    let found = |y: u16| (0..160).find(|x| line(y)[usize::from(*x)..].concat().starts_with(word)).map(|x| (x, y));
    (0..40).find_map(found).unwrap_or_else(|| panic!("'{word}' is not on the screen"))
}

/// The mouse does this where a word is.
fn mouse(app: &mut App, kind: MouseEventKind, word: &str) {
    let (column, row) = place_of(app, word);
    let meant = pointing(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    app.update(Msg::Mouse(meant.expect("it means something")));
}

#[test]
fn the_wheel_scrolls_what_is_under_it_and_a_click_gives_it_the_focus() {
    let mut app = app();
    press(&mut app, "\n");
    mouse(&mut app, MouseEventKind::Down(MouseButton::Left), "article a1");
    assert_eq!((app.own().audit.pane, app.tab().detail), (Pane::Article, true));
    mouse(&mut app, MouseEventKind::ScrollDown, "reader texas");
    assert_eq!((app.own().audit.pane, app.own().audit.scrolls[Pane::Reader as usize].lines()), (Pane::Article, 3));
    mouse(&mut app, MouseEventKind::ScrollDown, "Nurse fair");
    assert_eq!(app.tab().selected, 3, "over the queue, the wheel moves in the queue");
    mouse(&mut app, MouseEventKind::Down(MouseButton::Left), "Nurse fair");
    assert_eq!((app.tab().selected, app.tab().detail), (2, false));
}

#[test]
fn a_text_never_stays_scrolled_beyond_its_end() {
    let mut app = app();
    press(&mut app, &format!("\n{}", "j".repeat(300)));
    place_of(&app, "PROFILE");
    assert!(app.tab().scroll.lines() < 40, "drawing brought it back: {}", app.tab().scroll.lines());
}

#[test]
fn the_next_block_is_read_ahead() {
    let stage = stage(&reading_tab());
    let wanted = (TAB.wants)(&stage.look());
    assert_eq!(wanted[1..], [Query::AuditReading(pair("a1")), Query::AuditReading(pair("a3"))]);
}

#[test]
fn a_filter_that_cannot_be_read_says_so_and_shows_everything() {
    let tab = TabState { filter: "bnad:x".into(), ..TabState::default() };
    let query = Query::AuditQueue(AuditQueue { filter: "bnad:x".into(), ..AuditQueue::default() });
    let error = Some("'bnad:' is no field; use band".to_owned());
    let stage = stage(&tab).answered(&query, Answer::AuditQueue(Arc::new(AuditIndex { filter_error: error, ..index(rows()) })));
    let text = stage.text(HERE, (80, 24));
    assert!(text.contains("is no field") && text.contains("Queue 1/4"), "{text}");
}

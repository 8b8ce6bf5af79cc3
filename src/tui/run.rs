//! The loop: keys, the engine's news and time become messages; effects become commands.
//!
//! Owns waiting and pacing: a key is drawn at once, background news at most 30 times a second, nothing when nothing
//! changed. What a message means is `app`'s.

use std::io;
use std::time::Duration;

use crossterm::event::{Event as TermEvent, EventStream, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use futures_util::StreamExt as _;
use thiserror::Error;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::TuiOptions;
use super::app::App;
use super::external;
use super::hits;
use super::keys::is_suspend;
use super::msg::{Effect, Msg, Pointing};
use super::reconnect::{found, gone};
use super::session::Keeper;
use super::terminal::Screen;
use super::toasts::Toast;
use crate::domain::{Clock as _, SystemClock};
use crate::engine::{EngineHandle, Reading};

/// 30 frames a second: smooth enough for curves, cheap beside a training run on the same cores.
const FRAME: Duration = Duration::from_millis(33);

/// How long a console that quits waits until the engine has heard its last command.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[derive(Debug, Error)]
pub enum TuiError {
    #[error("terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Runs the console until the operator quits or the process is asked to end. The engine works on: it saves and ends by itself
/// once it has nothing to do.
#[expect(clippy::too_many_lines, reason = "one loop: all that is waited for stands in one `select!`")]
pub async fn run(mut handle: EngineHandle, mut reading: Reading, options: TuiOptions) -> Result<(), TuiError> {
    let mut ends = Ends::new()?;
    let mut snapshot = handle.snapshot();
    let mut events = handle.events();
    let mut engine_lives = true;
    let mut looking = None;
    let mut screen = Screen::enter(options.mouse)?;
    let mut keys = EventStream::new();
    let mut keeper = Keeper::new(options.session);
    let first = snapshot.borrow_and_update().clone();
    let mut app = App::new(first, options.theme).with_keys(options.keymap).with_session(keeper.session());
    if handle.link().is_some_and(|link| link.outdated) {
        app.say(Toast::error("this engine began before stratos.toml or the recipe was changed; the next one reads them"));
    }
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    asks(&reading, app.update(Msg::Tick(SystemClock.now())));
    screen.draw(&app)?;
    let mut drawn = Instant::now();
    let mut dirty = false;
    // What was asked of the engine last, until it has heard it.
    let mut ordered = None;
    loop {
        let mut urgent = false;
        let msg = select! {
            biased;
            // Key presses first: the console answers also under a flood of news.
            key = keys.next() => match key {
                None => break,
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(event)) => {
                    urgent = true;
                    match read(event) {
                        Some(Msg::Key(key)) if is_suspend(&key) => {
                            // The stream would eat what is typed into the shell.
                            drop(keys);
                            screen.suspend()?;
                            keys = EventStream::new();
                            Some(Msg::Resize)
                        }
                        other => other,
                    }
                }
            },
            () = ends.asked() => break,
            () = sleep_until(drawn + FRAME), if dirty => {
                urgent = true;
                Some(Msg::Tick(SystemClock.now()))
            }
            changed = snapshot.changed(), if engine_lives => if changed.is_ok() {
                Some(Msg::Snapshot(snapshot.borrow_and_update().clone()))
            } else {
                engine_lives = false;
                Some(gone(&handle))
            },
            next = found(&mut looking) => match next {
                Ok((next, library)) => {
                    reading = library;
                    (snapshot, events, engine_lives) = (next.snapshot(), next.events(), true);
                    let process = next.link().map_or_else(std::process::id, |link| link.greeting.pid);
                    handle = next;
                    Some(Msg::Attached { process, snapshot: snapshot.borrow_and_update().clone() })
                }
                Err(why) => Some(Msg::EngineGone { why, again: false }),
            },
            event = events.recv(), if engine_lives => match event {
                Ok(event) => Some(Msg::Event(event)),
                // Facts are in the snapshot; what was dropped was progress.
                Err(RecvError::Lagged(dropped)) => {
                    tracing::debug!(dropped, "the console fell behind the engine's events");
                    None
                }
                Err(RecvError::Closed) => {
                    engine_lives = false;
                    Some(gone(&handle))
                }
            },
            Some(answered) = reading.answered() => {
                // What was asked by a key is part of the key's answer.
                urgent = true;
                Some(Msg::Answered(answered))
            }
            _ = tick.tick(), if app.wants_tick() => Some(Msg::Tick(SystemClock.now())),
        };
        let Some(msg) = msg else { continue };
        let mut effects = Vec::new();
        if matches!(msg, Msg::Resize) {
            // Also when it ends at the size it began with: what the terminal did in between is not known.
            screen.fresh()?;
        }
        if matches!(msg, Msg::Key(_) | Msg::Event(_) | Msg::Attached { .. } | Msg::EngineGone { .. }) {
            // Messages that this one makes count their time from now.
            effects.extend(app.update(Msg::Tick(SystemClock.now())));
        }
        effects.extend(app.update(msg));
        for effect in effects {
            match effect {
                Effect::Quit => {
                    if let Some(taken) = ordered.take() {
                        // Whether it was heard in time or not, the console ends: the operator said so.
                        let _ = tokio::time::timeout(LAST_WORDS, taken).await;
                    }
                    return Ok(());
                }
                Effect::Copy(text) => Screen::copy(&text)?,
                Effect::Ask(query) => reading.ask(query),
                Effect::Edit(text) => {
                    // The stream would eat what is typed into the editor.
                    drop(keys);
                    let edited = screen.outside(|| external::edit(&text))?;
                    keys = EventStream::new();
                    let asked = app.update(Msg::Edited(edited));
                    asks(&reading, asked);
                }
                Effect::Send(command) => {
                    ordered = handle.order(command);
                    if ordered.is_none() {
                        app.say(Toast::error(format!(
                            "not done: there is no engine; press {} to find or start one",
                            app.engine_key()
                        )));
                    }
                }
                Effect::Reconnect => {
                    if let Some(find) = options.reconnect.clone().filter(|_| looking.is_none()) {
                        looking = Some(find.look());
                    }
                }
            }
        }
        keeper.keep(&app);
        dirty = true;
        if urgent {
            screen.draw(&app)?;
            drawn = Instant::now();
            dirty = false;
        }
    }
    Ok(())
}

/// Of effects that can only be questions to the library.
fn asks(reading: &Reading, effects: Vec<Effect>) {
    for effect in effects {
        if let Effect::Ask(query) = effect {
            reading.ask(query);
        }
    }
}

/// What of the terminal's events concerns the console.
fn read(event: TermEvent) -> Option<Msg> {
    match event {
        TermEvent::Key(key) if key.kind == KeyEventKind::Press => Some(Msg::Key(key)),
        TermEvent::Mouse(mouse) => pointing(mouse).map(Msg::Mouse),
        TermEvent::Paste(text) => Some(Msg::Paste(text)),
        TermEvent::Resize(..) => Some(Msg::Resize),
        _ => None,
    }
}

/// Rows that one notch of the wheel moves by.
const NOTCH: i32 = 3;

fn wheel(mouse: MouseEvent, lines: i32) -> Pointing {
    Pointing::Wheel { lines, over: hits::under(mouse.column, mouse.row) }
}

/// What a mouse event means on the screen that was drawn last.
pub(super) fn pointing(mouse: MouseEvent) -> Option<Pointing> {
    match mouse.kind {
        MouseEventKind::ScrollDown => Some(wheel(mouse, NOTCH)),
        MouseEventKind::ScrollUp => Some(wheel(mouse, -NOTCH)),
        MouseEventKind::Down(MouseButton::Left) => hits::at(mouse.column, mouse.row).map(Pointing::Click),
        MouseEventKind::Drag(MouseButton::Left) => hits::divider().map(|(left, width)| {
            let column = u32::from(mouse.column.saturating_sub(left)) * 100;
            Pointing::Pull((column / u32::from(width.max(1))).min(100) as u16)
        }),
        _ => None,
    }
}

/// Signals that end the console: the terminal closed, or the machine goes down.
struct Ends {
    term: Signal,
    hang_up: Signal,
}

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, hang_up: signal(SignalKind::hangup())? })
    }

    async fn asked(&mut self) {
        select! {
            _ = self.term.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

//! The console's state and its only transition: `update(Msg) -> Vec<Effect>`.
//!
//! Owns what is shown and selected, the stack of dialogs, and messages to the operator. Pure: it reads no clock, waits
//! for nothing and touches nothing; the engine's state is a copy in [`Snapshot`].

use std::sync::Arc;

use crossterm::event::KeyEvent;

use super::hits::Hit;
use super::keymap::Keymap;
use super::keys::is_interrupt;
use super::msg::{Effect, Msg, Pointing};
use super::overlays::{Overlay, Step, approval::Approval, welcome::Welcome};
use super::session::Session;
use super::shelf::Shelf;
use super::tabs::{Look, Own, TABS, Tab, TabState, audit};
use super::theme::Theme;
use super::toasts::{Toast, Toasts, told};
use super::widgets::pane::Share;
use super::widgets::scroll::Scroll;
use super::{actions, acts};
use crate::domain::{Digest, Phase, UnixMillis, safe_text};
use crate::engine::{ArticleSort, Command, JobState, JobView, Snapshot};

#[derive(Debug)]
pub struct App {
    snapshot: Arc<Snapshot>,
    theme: Theme,
    keymap: Keymap,
    tabs: [TabState; 8],
    own: Own,
    shelf: Shelf,
    current: usize,
    overlays: Vec<Overlay>,
    toasts: Toasts,
    now: UnixMillis,
    /// The dataset whose report was on the screen.
    report_seen: Option<Digest>,
    /// Quits as soon as the job has saved.
    leaving: bool,
    /// Nobody does what is asked; an action finds or starts the next engine.
    engine_gone: bool,
    /// The welcome was on the screen, now or in an earlier session.
    welcomed: bool,
}

impl App {
    pub fn new(snapshot: Arc<Snapshot>, theme: Theme) -> Self {
        Self {
            snapshot,
            theme,
            keymap: Keymap::default(),
            tabs: Default::default(),
            own: Own::default(),
            shelf: Shelf::default(),
            current: 0,
            overlays: Vec::new(),
            toasts: Toasts::default(),
            now: UnixMillis(0),
            report_seen: None,
            leaving: false,
            engine_gone: false,
            welcomed: false,
        }
    }

    /// With the operator's own keys.
    #[must_use]
    pub fn with_keys(mut self, keymap: Keymap) -> Self {
        self.keymap = keymap;
        self
    }

    /// Where the operator was the last time.
    #[must_use]
    pub fn with_session(mut self, session: &Session) -> Self {
        self.show_tab(session.tab);
        for (tab, memory) in self.tabs.iter_mut().zip(&session.tabs) {
            (tab.page, tab.filter, tab.share) = (memory.page, memory.filter.clone(), memory.share);
        }
        self.own.articles.sort = ArticleSort::ALL.get(session.article_sort).copied().unwrap_or_default();
        self.welcomed = session.welcomed;
        // An engine that was there already has told everything by now, and need not tell more.
        self.greet();
        self
    }

    pub fn update(&mut self, msg: Msg) -> Vec<Effect> {
        let mut effects = match msg {
            Msg::Key(key) => self.key(&key),
            Msg::Paste(text) => match self.overlays.last_mut().map(|top| top.paste(&text)) {
                Some(Step::Filter(filter)) => self.set_filter(filter),
                _ => Vec::new(),
            },
            Msg::Mouse(pointing) => self.point(pointing),
            Msg::Resize => Vec::new(),
            Msg::Snapshot(snapshot) => self.take(snapshot),
            Msg::Event(event) => {
                if let Some(toast) = told(&event, self.now) {
                    self.toasts.add(toast);
                }
                Vec::new()
            }
            Msg::Answered((query, answer)) => {
                self.shelf.put(&query, answer);
                Vec::new()
            }
            Msg::Edited(edited) => self.edited(edited),
            Msg::Tick(now) => {
                self.now = now;
                self.toasts.expire(now);
                Vec::new()
            }
            Msg::EngineGone { why, again } => self.lose(&why, again),
            Msg::Attached { process, snapshot } => {
                self.engine_gone = false;
                self.dismiss();
                self.say(Toast::info(format!("attached to the engine of process {process}"), self.now));
                self.take(snapshot)
            }
        };
        self.clamp();
        if self.phase() == Phase::Dataset && self.tab().page == 0 && self.overlays.is_empty() {
            self.report_seen.clone_from(&self.snapshot.dataset.digest);
        }
        effects.extend(self.wanted());
        effects
    }

    /// What the tab on the screen has to ask the library now.
    fn wanted(&mut self) -> impl Iterator<Item = Effect> + use<> {
        let mut wanted = (self.spec().wants)(&self.look());
        wanted.extend(self.overlays.iter().flat_map(Overlay::wants));
        self.shelf.missing(wanted, &self.snapshot.revisions).into_iter().map(Effect::Ask)
    }

    fn key(&mut self, key: &KeyEvent) -> Vec<Effect> {
        // Who types before anything is there knows the way; nothing shall come between the keys and their answer.
        self.welcomed |= !self.snapshot.complete;
        if is_interrupt(key) {
            return acts::quit(self);
        }
        if let Some(mut top) = self.overlays.pop() {
            let step = top.key(key, self);
            return self.step(top, step);
        }
        match self.keymap.find(key, self.phase()) {
            Some(action) => self.perform(action),
            None => Vec::new(),
        }
    }

    /// Dialogs hear keys alone.
    fn point(&mut self, pointing: Pointing) -> Vec<Effect> {
        if !self.overlays.is_empty() {
            return Vec::new();
        }
        match pointing {
            Pointing::Wheel { lines, over: Some(Hit::Pane(pane)) } => audit::scroll(self, pane, lines),
            Pointing::Wheel { lines, over: Some(Hit::Detail) } => self.tab_mut().scroll.by(lines),
            Pointing::Wheel { lines, over: Some(Hit::Row(_)) } => self.select(lines),
            Pointing::Wheel { lines, .. } => self.shift(lines),
            Pointing::Pull(hundredths) => self.tab_mut().share = Share::new(hundredths),
            Pointing::Click(Hit::Tab(tab)) => self.show_tab(tab),
            Pointing::Click(Hit::Page(page)) => self.show_page(page),
            Pointing::Click(Hit::Row(row)) => {
                let tab = self.tab_mut();
                (tab.selected, tab.scroll, tab.detail) = (row, Scroll::default(), false);
            }
            Pointing::Click(Hit::Detail) => self.tab_mut().detail = true,
            Pointing::Click(Hit::Pane(pane)) => audit::focus(self, pane),
            Pointing::Click(Hit::Divider { .. }) => {}
            Pointing::Click(Hit::Act(id)) => return actions::by_id(id).map_or_else(Vec::new, |action| self.perform(action)),
        }
        Vec::new()
    }

    fn step(&mut self, top: Overlay, step: Step) -> Vec<Effect> {
        match step {
            Step::Stay => self.overlays.push(top),
            Step::Close => {}
            Step::Send(command) => return self.ask(command),
            Step::Act(action) => return self.perform(action),
            Step::Quit => return vec![Effect::Quit],
            Step::Leave => return self.leave(),
            Step::Outside(text) => {
                self.overlays.push(top);
                return vec![Effect::Edit(text)];
            }
            Step::Filter(filter) => {
                self.overlays.push(top);
                return self.set_filter(filter);
            }
            Step::Revert(filter) => return self.set_filter(filter),
            Step::Noted(note) => return audit::take_note(self, note),
            Step::Marked(marks) => return audit::take_marks(self, marks),
        }
        Vec::new()
    }

    /// Does an action, or says why not.
    pub fn perform(&mut self, action: &'static actions::Action) -> Vec<Effect> {
        match action.ready(self) {
            Ok(()) => (action.act)(self),
            Err(why) => {
                self.say(Toast::info(format!("{}: {why}", action.label), self.now));
                Vec::new()
            }
        }
    }

    /// What the operator's own editor made of the draft goes on in ours, beside what changed.
    fn edited(&mut self, edited: Result<String, String>) -> Vec<Effect> {
        match (edited, self.overlays.last_mut()) {
            (Ok(text), Some(Overlay::Editor(editor))) => *editor = editor.continued(&safe_text(&text)),
            (Ok(_), _) => {}
            (Err(why), _) => self.say(Toast::error(why)),
        }
        Vec::new()
    }

    fn ask(&mut self, command: Command) -> Vec<Effect> {
        self.say(Toast::info(format!("asked: {}", command.label()), self.now));
        vec![Effect::Send(command)]
    }

    /// Stops the job; the console closes when the job has saved.
    fn leave(&mut self) -> Vec<Effect> {
        if self.live_job().is_none() {
            return vec![Effect::Quit];
        }
        self.leaving = true;
        self.say(Toast::info("stopping; the console closes when the job has saved", UnixMillis(i64::MAX)));
        vec![Effect::Send(Command::Stop)]
    }

    /// The engine is gone. What is known stays on the screen; a job that was live did not end, it was cut off.
    fn lose(&mut self, why: &str, again: bool) -> Vec<Effect> {
        if self.leaving {
            return vec![Effect::Quit];
        }
        self.engine_gone = true;
        if again {
            self.say(Toast::info(format!("{why}; looking for the next one"), self.now));
            return vec![Effect::Reconnect];
        }
        let key = self.engine_key();
        let snapshot = Arc::make_mut(&mut self.snapshot);
        let cut = snapshot.job.as_mut().filter(|job| job.state.is_live());
        let then = match cut {
            Some(job) => {
                let then = format!("press {key}, then run {} again: it goes on from what it saved", job.phase.title());
                job.state = JobState::Failed { reason: why.to_owned(), next: then.clone() };
                then
            }
            None => format!("press {key} to start one"),
        };
        self.say(Toast::error(format!("{why} — {then}")));
        Vec::new()
    }

    fn take(&mut self, snapshot: Arc<Snapshot>) -> Vec<Effect> {
        self.snapshot = snapshot;
        self.greet();
        let wanted = self.snapshot.approval.as_ref();
        let old = |overlay: &Overlay| matches!(overlay, Overlay::Approval(Approval { request, .. }) if Some(request) != wanted);
        if self.overlays.iter().any(old) {
            self.overlays.retain(|overlay| !old(overlay));
            self.say(Toast::error("what waits for approval has changed; look at it again"));
        }
        if self.leaving && self.live_job().is_none() { vec![Effect::Quit] } else { Vec::new() }
    }

    /// A workspace in which nothing has run is explained once.
    fn greet(&mut self) {
        let fresh = self.snapshot.complete && self.snapshot.phases.iter().all(|phase| phase.headline.is_empty());
        if fresh && !self.welcomed && self.overlays.is_empty() {
            self.overlays.push(Overlay::Welcome(Welcome));
        }
        self.welcomed |= self.snapshot.complete;
    }

    fn set_filter(&mut self, filter: String) -> Vec<Effect> {
        let tab = self.tab_mut();
        tab.filter = filter;
        tab.selected = 0;
        tab.scroll = Scroll::default();
        Vec::new()
    }

    fn clamp(&mut self) {
        let pages = self.spec().pages.len();
        let tab = self.tab_mut();
        tab.page = tab.page.min(pages.saturating_sub(1));
        let rows = self.rows();
        let tab = self.tab_mut();
        tab.selected = tab.selected.min(rows.saturating_sub(1));
    }

    /// Moves the selection, or scrolls where there are no rows or the details have the focus.
    pub fn shift(&mut self, by: i32) {
        if self.tab().detail || self.rows() == 0 { self.tab_mut().scroll.by(by) } else { self.select(by) }
    }

    fn select(&mut self, by: i32) {
        let last = i64::try_from(self.rows().saturating_sub(1)).unwrap_or_default();
        let tab = self.tab_mut();
        let selected = i64::try_from(tab.selected).unwrap_or_default();
        let to = usize::try_from((selected + i64::from(by)).clamp(0, last)).unwrap_or_default();
        if to != tab.selected {
            (tab.selected, tab.scroll) = (to, Scroll::default());
        }
    }

    pub fn show_tab(&mut self, index: usize) {
        self.current = index.min(TABS.len() - 1);
    }

    pub fn show_page(&mut self, page: usize) {
        let tab = self.tab_mut();
        if tab.page != page {
            (tab.page, tab.selected, tab.scroll, tab.detail) = (page, 0, Scroll::default(), false);
        }
    }

    pub fn open(&mut self, overlay: Overlay) -> Vec<Effect> {
        self.overlays.push(overlay);
        Vec::new()
    }

    pub fn say(&mut self, toast: Toast) {
        self.toasts.add(toast);
    }

    pub fn dismiss(&mut self) -> bool {
        self.toasts.clear()
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub fn theme(&self) -> &Theme {
        &self.theme
    }

    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// What to press for the next engine, as the operator has it.
    pub fn engine_key(&self) -> String {
        let chord = actions::by_id("engine").and_then(|action| self.keymap.of(action).first().map(ToString::to_string));
        chord.unwrap_or_else(|| ":engine".into())
    }

    pub fn engine_gone(&self) -> bool {
        self.engine_gone
    }

    pub fn leaving(&self) -> bool {
        self.leaving
    }

    pub fn current(&self) -> usize {
        self.current
    }

    pub fn phase(&self) -> Phase {
        self.spec().phase
    }

    pub fn spec(&self) -> &'static Tab {
        &TABS[self.current]
    }

    pub fn tab(&self) -> &TabState {
        &self.tabs[self.current]
    }

    pub fn tab_at(&self, index: usize) -> &TabState {
        &self.tabs[index]
    }

    pub fn welcomed(&self) -> bool {
        self.welcomed
    }

    pub fn tab_mut(&mut self) -> &mut TabState {
        &mut self.tabs[self.current]
    }

    /// Rows that can be selected on this tab.
    pub fn rows(&self) -> usize {
        (self.spec().rows)(&self.look())
    }

    pub fn look(&self) -> Look<'_> {
        Look { snapshot: &self.snapshot, tab: self.tab(), own: &self.own, shelf: &self.shelf, theme: &self.theme, now: self.now }
    }

    pub fn own(&self) -> &Own {
        &self.own
    }

    pub fn own_mut(&mut self) -> &mut Own {
        &mut self.own
    }

    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub fn keymap(&self) -> &Keymap {
        &self.keymap
    }

    pub fn overlays(&self) -> &[Overlay] {
        &self.overlays
    }

    pub fn toasts(&self) -> &[Toast] {
        self.toasts.all()
    }

    pub fn live_job(&self) -> Option<&JobView> {
        self.snapshot.job.as_ref().filter(|job| job.state.is_live())
    }

    /// The report of the dataset that is there now was on the screen.
    pub fn report_was_shown(&self) -> bool {
        self.report_seen.is_some() && self.report_seen == self.snapshot.dataset.digest
    }

    /// Time must pass for what is on the screen: a job's age, a message's end.
    pub fn wants_tick(&self) -> bool {
        let waits = self.phase() == Phase::Distill && self.snapshot().distill.batches.iter().any(|b| b.ended.is_none());
        waits || self.live_job().is_some() || self.toasts.any_expires()
    }
}

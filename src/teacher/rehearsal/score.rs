//! From evidence to a score: which situation the pair is in, and where in that situation's range it stands.
//! The strongest signal chooses the situation; everything else moves the score by tenths inside it.

use super::evidence::{Evidence, LevelFit, PlaceFit};
use super::reading::Reading;
use super::vocabulary::{Closeness, Mark, Vocabulary};
use crate::domain::{Motivation, SignalKind, SourceType};

/// What the pair amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Situation {
    /// Nothing in it for this reader.
    Noise,
    Expired,
    WrongLevel,
    WrongPlace,
    Rumour,
    /// Something this reader can act on.
    Opening,
    /// News of what the reader follows, nothing to do.
    Followed,
    /// A tracked name without anything for the reader's trade.
    NameOnly,
    /// A passing mention, or a subject too wide to tell.
    Mention,
    Neighbour,
    /// The reader's trade, but nothing the reader follows.
    TradeOnly,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    pub situation: Situation,
    pub score: f64,
    pub strongest: SignalKind,
}

/// What follows from the evidence, read once.
#[expect(clippy::struct_excessive_bools, reason = "yes-or-no answers, read once and weighed only here")]
struct Links {
    career: bool,
    name: bool,
    name_strong: bool,
    interest: bool,
    interest_strong: bool,
    broad: bool,
    trade: bool,
    home: bool,
    /// Somebody can do something with it.
    open: bool,
    /// Taking part means being there.
    bound: bool,
    work: bool,
}

impl Links {
    fn of(v: &Vocabulary, motivation: Motivation, e: &Evidence, r: &Reading) -> Self {
        let sharp = e.interests.iter().filter(|h| !h.broad).count();
        let career = motivation == Motivation::Career;
        let kind = v.lexicon.kinds.get(r.kind);
        let work = kind.is_some_and(|k| k.work);
        let place_bound = kind.is_some_and(|k| k.bound);
        let bound = place_bound && (r.is(Mark::Restricted) || !r.is(Mark::Online));
        Self {
            career,
            name: !e.tracked.is_empty(),
            name_strong: e.tracked.iter().any(super::evidence::Hit::is_prominent),
            interest: sharp > 0 || e.interests.iter().any(|h| h.headline),
            interest_strong: sharp >= 2 || e.interests.iter().any(|h| h.headline || (h.is_prominent() && !h.broad)),
            broad: !e.interests.is_empty(),
            trade: e.trade.is_some(),
            home: e.place.is_home(),
            // A post is an opening by itself, except for who is past working.
            open: (r.action.is_some() || work) && (r.deadline.is_some() || place_bound || !career) && !(work && e.retired),
            bound,
            work,
        }
    }

    /// The article concerns what the reader follows.
    fn linked(&self) -> bool {
        self.name || self.interest || (self.trade && (self.home || self.broad))
    }

    fn strongly(&self) -> bool {
        self.name_strong || self.interest_strong || (self.name && (self.interest || self.trade)) || (self.interest && self.trade)
    }

    fn kind(&self) -> SignalKind {
        if self.name_strong || (self.name && !self.interest_strong) {
            SignalKind::Entity
        } else if self.interest || self.broad {
            SignalKind::Interest
        } else {
            SignalKind::Role
        }
    }
}

/// Weighs a pair.
pub fn weigh(v: &Vocabulary, motivation: Motivation, e: &Evidence, r: &Reading) -> Verdict {
    let links = Links::of(v, motivation, e, r);
    let (situation, tenths, strongest) = obstacle(&links, e, r).or_else(|| live(&links, e, r)).unwrap_or_else(|| noise(e, r));
    // 5.0 is never given; no range below holds it, and this keeps it so.
    let tenths = if tenths == 50 { 51 } else { tenths };
    Verdict { situation, score: f64::from(tenths.min(100)) / 10.0, strongest }
}

type Weighed = (Situation, u32, SignalKind);

/// Tenths above a range's lower end: how much evidence stands beside the strongest.
fn nuance(e: &Evidence, r: &Reading) -> u32 {
    let more = |n: usize| n.saturating_sub(1).min(2) as u32;
    more(e.tracked.len())
        + more(e.interests.len())
        + u32::from(r.deadline.is_some())
        + u32::from(e.place == PlaceFit::Own)
        + u32::from(e.trade.is_some())
}

/// What makes a good article useless: over, for others, elsewhere, unproven.
fn obstacle(l: &Links, e: &Evidence, r: &Reading) -> Option<Weighed> {
    let n = nuance(e, r);
    if !l.linked() {
        return None;
    }
    if r.is(Mark::Expired) {
        return Some((Situation::Expired, 28 + 2 * n.min(7) + if l.name_strong { 3 } else { 0 }, SignalKind::Timing));
    }
    if r.is(Mark::Rumour) {
        let from = if !l.strongly() {
            24
        } else if l.home {
            66
        } else {
            58
        };
        return Some((Situation::Rumour, from + n + if l.name_strong { 4 } else { 0 }, SignalKind::Source));
    }
    if l.work && (matches!(e.level, LevelFit::TooHigh) || (e.level == LevelFit::TooLow && l.career)) {
        return Some((Situation::WrongLevel, 29 + 2 * n.min(7) + if l.home { 2 } else { 0 }, SignalKind::Role));
    }
    let away = match &e.place {
        PlaceFit::Elsewhere(_) => Some((26, 30)),
        PlaceFit::Region(_) => Some((32, if l.strongly() { 56 } else { 34 })),
        PlaceFit::OtherCity(_) => Some((34, if l.strongly() { 57 } else { 36 })),
        _ => None,
    };
    let (work, other) = away.filter(|_| l.bound)?;
    let from = if r.is(Mark::Restricted) {
        25
    } else if l.work {
        work
    } else {
        other
    };
    Some((Situation::WrongPlace, from + n, SignalKind::Place))
}

/// Everything that is current, open to the reader and not a rumour.
fn live(l: &Links, e: &Evidence, r: &Reading) -> Option<Weighed> {
    let n = nuance(e, r);
    let blog = if r.source == SourceType::Blog { 4 } else { 0 };
    // A tracked name must come with something for the trade; without names, the trade itself must be addressed.
    // A post that names a beginner's level is something for any beginner.
    let beginner = l.work && e.beginner;
    let useful = !l.career || l.trade || l.interest || beginner;
    let placed = l.home || !l.bound;
    let for_reader = !l.career || (placed && (l.trade || l.interest || l.broad || beginner) && (l.name_strong || l.trade));
    if l.work && r.is(Mark::Listing) && !l.name_strong && l.linked() {
        return Some((Situation::Mention, if l.home { 56 } else { 36 } + n.min(9), l.kind()));
    }
    if l.strongly() && l.open && !r.is(Mark::Sport) && useful {
        let score = match (for_reader, r.source) {
            (true, SourceType::Official) => 91 + n,
            // A post at a tracked company in the reader's own place and trade carries a nine from any serious source.
            (true, SourceType::News | SourceType::Unknown) if l.work && l.name_strong && l.home && (l.trade || beginner) => {
                (90 + n).min(92)
            }
            (true, _) => (82 + n - blog).min(89),
            (false, _) if placed || matches!(e.place, PlaceFit::Unplaced) => (72 + n - blog).min(86),
            (false, _) => 58 + n.min(8),
        };
        return Some((Situation::Opening, score, if r.deadline.is_some() { SignalKind::Action } else { l.kind() }));
    }
    if l.strongly() && !r.is(Mark::Sport) && (useful || !l.name) {
        let from = if l.career && !l.name { 68 } else { 72 };
        let more = n + if l.name_strong && l.interest { 3 } else { 0 };
        return Some((Situation::Followed, from + more.min(14) - blog, l.kind()));
    }
    if l.name_strong {
        let score = if r.is(Mark::Sport) || l.work { 32 + n } else { 57 + n.min(8) };
        return Some((Situation::NameOnly, score, SignalKind::Entity));
    }
    if l.trade && l.home && l.open {
        let score = if r.source == SourceType::Official { 76 } else { 71 };
        return Some((Situation::TradeOnly, score + n - blog, SignalKind::Role));
    }
    if l.interest {
        return Some((Situation::Mention, 56 + n.min(9) - blog.min(1), SignalKind::Interest));
    }
    if l.name {
        return Some((Situation::Mention, 36 + n, SignalKind::Entity));
    }
    if let Some(near) = e
        .neighbour
        .as_ref()
        .filter(|x| x.closeness == Closeness::Near && x.prominent && !r.is(Mark::Expired) && !r.is(Mark::Rumour))
    {
        // A neighbouring topic is real but indirect, whoever says it.
        let open = u32::from(r.action.is_some());
        let from = if l.bound && !l.home && e.place != PlaceFit::Unplaced { 31 } else { 56 };
        return Some((Situation::Neighbour, from + open + u32::from(l.home) + u32::from(near.prominent), SignalKind::Interest));
    }
    if l.broad {
        return Some((Situation::Mention, 31 + n, SignalKind::Interest));
    }
    if l.trade && l.career && !matches!(e.place, PlaceFit::Elsewhere(_)) {
        return Some((Situation::TradeOnly, if l.home { 38 } else { 26 } + n, SignalKind::Role));
    }
    match e.neighbour.as_ref().map(|x| (x.closeness, x.prominent)) {
        Some((Closeness::Near, false)) => Some((Situation::Neighbour, 31 + n, SignalKind::Interest)),
        Some((Closeness::Near, true)) => Some((Situation::Neighbour, 22 + n, SignalKind::Interest)),
        Some((Closeness::Far, true)) => Some((Situation::Neighbour, 23 + n, SignalKind::Interest)),
        _ => None,
    }
}

fn noise(e: &Evidence, r: &Reading) -> Weighed {
    let place = match e.place {
        PlaceFit::Own => 8,
        PlaceFit::Nation => 6,
        PlaceFit::OtherCity(_) | PlaceFit::Region(_) => 3,
        PlaceFit::Elsewhere(_) | PlaceFit::Unplaced => 0,
    };
    let word = if e.everyday.is_some() { 5 } else { 0 };
    let beside = if e.neighbour.is_some() { 4 } else { 0 };
    let open = u32::from(r.action.is_some());
    let strongest = if e.everyday.is_some() || e.neighbour.is_some() { SignalKind::Interest } else { SignalKind::Place };
    (Situation::Noise, (2 + place + word + beside + open).min(19), strongest)
}

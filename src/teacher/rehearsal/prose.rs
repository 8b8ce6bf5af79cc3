//! The think block in words: short, in a fixed order, from a small vocabulary, as long as the depth tier asks.

use super::evidence::{Evidence, LevelFit, PlaceFit};
use super::reader::Reader;
use super::reading::{Place, Reading};
use super::score::{Situation, Verdict};
use super::vocabulary::{Closeness, Mark, Vocabulary};
use crate::domain::{Bands, DepthRules, Prism, Profile, Seniority, Signal, SignalKind, SourceType, Weight, one_line, word_count};

/// Below this many words a tier has no room for the list of signals.
const BRIEF: usize = 60;

pub struct Writer<'a> {
    pub vocabulary: &'a Vocabulary,
    pub profile: &'a Profile,
    pub reader: &'a Reader,
    pub reading: &'a Reading,
    pub evidence: &'a Evidence,
    pub verdict: Verdict,
    pub bands: &'a Bands,
    pub depth: &'a DepthRules,
}

impl Writer<'_> {
    pub fn write(&self) -> Prism {
        let tier = self.depth.tier_of(self.bands, self.verdict.score);
        let (least, most) = tier.map_or((self.depth.reject_below, self.depth.reject_above), |t| (t.min_words, t.max_words));
        let mut prism = if most < BRIEF { self.brief() } else { self.full() };
        let floor = least + (most.saturating_sub(least) / 12).max(2);
        for (field, sentence) in self.more() {
            let words = word_count(&prism.think());
            if words >= floor || words + word_count(&sentence) > most {
                break;
            }
            let into = match field {
                Field::Strongest => &mut prism.strongest,
                Field::Match => &mut prism.verdict,
            };
            into.push(' ');
            into.push_str(&sentence);
        }
        prism
    }

    /// For noise: the same profile and article lines as ever, three signals, no more.
    fn brief(&self) -> Prism {
        let signals = [SignalKind::Entity, SignalKind::Role, SignalKind::Interest].map(|kind| self.weighed(kind)).to_vec();
        let strongest = if signals.iter().all(|s| s.weight == Weight::None) { "nothing." } else { "too weak." };
        Prism {
            profile: self.profile_line(),
            recognise: self.recognise_line(),
            strongest: strongest.to_owned(),
            verdict: self.match_line(),
            signals,
            score: self.verdict.score,
            reason: self.reason(),
        }
    }

    fn full(&self) -> Prism {
        Prism {
            profile: self.profile_line(),
            recognise: self.recognise_line(),
            signals: SignalKind::ALL.into_iter().map(|kind| self.signal(kind)).collect(),
            strongest: self.strongest_line(),
            verdict: self.match_line(),
            score: self.verdict.score,
            reason: self.reason(),
        }
    }

    /// A signal in one word of evidence, for blocks that have no room.
    fn weighed(&self, kind: SignalKind) -> Signal {
        let full = self.signal(kind);
        let evidence = if full.weight == Weight::None { "none".to_owned() } else { full.evidence };
        match (&self.evidence.everyday, kind) {
            (Some(word), SignalKind::Interest) => signal(kind, Weight::Weak, format!("{word}, a common word")),
            _ => signal(kind, full.weight, evidence),
        }
    }

    // The first two lines say nothing of the verdict: who reads is known before the article is, and what the article
    // is before it is weighed. A student that learns from them has to recognise before it can judge.

    /// The same for every article of this reader.
    fn profile_line(&self) -> String {
        format!("{} in {}.", self.role(), self.home())
    }

    /// The same for every reader of this article.
    fn recognise_line(&self) -> String {
        let place = self.article_place().map_or_else(String::new, |place| format!(", {place}"));
        format!("{}, {}, {}{place}, {}.", self.kind(), self.voice(), self.subjects(), self.freshness())
    }

    // ------------------------------------------------------------ words for the reader and the article

    fn role(&self) -> String {
        let flat = one_line(&self.profile.role, 70);
        flat.split_whitespace().take(6).collect::<Vec<_>>().join(" ").trim_end_matches([',', '&']).to_owned()
    }

    fn home(&self) -> String {
        if self.reader.home.name.is_empty() { "an unknown place".to_owned() } else { self.reader.home.name.clone() }
    }

    fn kind_name(&self) -> &str {
        self.vocabulary.lexicon.kinds.get(self.reading.kind).map_or("article", |k| k.name.as_str())
    }

    fn kind(&self) -> String {
        with_article(self.kind_name())
    }

    fn voice(&self) -> &'static str {
        match self.reading.source {
            SourceType::Official => "official source",
            SourceType::News => "news source",
            SourceType::Blog => "blog source",
            SourceType::Unknown => "unknown source",
        }
    }

    /// The topics most spoken of, in the lexicon's closed list of names, at most `most`.
    fn topics(&self, most: usize) -> Vec<&str> {
        let mentions = &self.reading.mentions;
        let weight = |topic: usize| -> usize {
            mentions.iter().filter(|m| m.topic == topic && !m.hint).map(|m| if m.headline { 3 } else { 1 }).sum()
        };
        let mut seen: Vec<usize> = Vec::new();
        for topic in mentions.iter().map(|m| m.topic) {
            if !seen.contains(&topic) {
                seen.push(topic);
            }
        }
        // Stable: of equally heavy topics the first named one comes first.
        seen.sort_by_key(|topic| std::cmp::Reverse(weight(*topic)));
        seen.into_iter().take(most).filter_map(|t| self.vocabulary.lexicon.topics.get(t)).map(|t| t.name.as_str()).collect()
    }

    /// "about fintech": the topic most spoken of.
    fn subject(&self) -> String {
        self.about(1)
    }

    fn subjects(&self) -> String {
        self.about(2)
    }

    fn about(&self, most: usize) -> String {
        if !self.reading.english {
            return "not in English".to_owned();
        }
        let topics = self.topics(most);
        if topics.is_empty() { "about other matters".to_owned() } else { format!("about {}", topics.join(" and ")) }
    }

    /// The first place the article names.
    fn article_place(&self) -> Option<&str> {
        let lexicon = &self.vocabulary.lexicon;
        match self.reading.places.first()? {
            Place::Country(c) => lexicon.countries.get(*c).map(|c| c.name.as_str()),
            Place::Area(c, a) => lexicon.countries.get(*c)?.areas.get(*a).map(|a| a.name.as_str()),
            Place::Region(r) => lexicon.regions.get(*r).map(|r| r.name.as_str()),
        }
    }

    fn freshness(&self) -> &'static str {
        let r = self.reading;
        if r.is(Mark::Expired) {
            "already over"
        } else if r.is(Mark::Rumour) {
            "unconfirmed"
        } else if r.deadline.is_some() && r.action.is_some() {
            "open with a deadline"
        } else if r.action.is_some() {
            "open"
        } else {
            "current"
        }
    }

    fn action_name(&self) -> Option<&str> {
        self.reading.action.and_then(|a| self.vocabulary.lexicon.marks.actions.get(a)).map(|a| a.name.as_str())
    }

    /// Tracked names if any, else interests, else the trade: at most two.
    fn evidence_names(&self) -> String {
        let e = self.evidence;
        let from = if self.verdict.strongest == SignalKind::Interest && !e.interests.is_empty() || e.tracked.is_empty() {
            &e.interests
        } else {
            &e.tracked
        };
        let names: Vec<&str> = from.iter().take(2).map(|h| h.name.as_str()).collect();
        match (names.is_empty(), &e.trade, &e.neighbour) {
            (false, ..) => names.join(" and "),
            (true, Some(trade), _) => trade.clone(),
            (true, None, Some(near)) => near.topic.clone(),
            (true, None, None) => "the subject".to_owned(),
        }
    }

    fn place_name(&self) -> Option<&str> {
        match &self.evidence.place {
            PlaceFit::OtherCity(p) | PlaceFit::Region(p) | PlaceFit::Elsewhere(p) => Some(p),
            PlaceFit::Own | PlaceFit::Nation => Some(&self.reader.home.name),
            PlaceFit::Unplaced => None,
        }
    }

    // ------------------------------------------------------------ the seven signals

    fn signal(&self, kind: SignalKind) -> Signal {
        let e = self.evidence;
        let r = self.reading;
        let prominence = |strong: bool| if strong { Weight::Strong } else { Weight::Weak };
        let list = |hits: &[super::evidence::Hit]| hits.iter().take(2).map(|h| h.name.as_str()).collect::<Vec<_>>().join(", ");
        let (weight, evidence) = match kind {
            SignalKind::Entity => match e.tracked.first() {
                Some(hit) => (prominence(hit.is_prominent()), list(&e.tracked)),
                None => (Weight::None, "no tracked name".to_owned()),
            },
            SignalKind::Role => match (&e.trade, e.level) {
                _ if self.verdict.situation == Situation::WrongLevel => (Weight::None, "asks for another level".to_owned()),
                (Some(trade), LevelFit::Fits) => (Weight::Strong, format!("{trade}, level fits")),
                (Some(trade), _) => (Weight::Strong, trade.clone()),
                (None, _) => (Weight::None, "other trade".to_owned()),
            },
            SignalKind::Place => match &e.place {
                PlaceFit::Own => (Weight::Strong, self.home()),
                PlaceFit::Nation => (Weight::Strong, "own country".to_owned()),
                PlaceFit::Region(p) | PlaceFit::OtherCity(p) => (Weight::Weak, p.clone()),
                PlaceFit::Elsewhere(p) => (Weight::None, p.clone()),
                PlaceFit::Unplaced => (Weight::None, "no place".to_owned()),
            },
            SignalKind::Interest => match (e.interests.first(), &e.neighbour) {
                (Some(hit), _) => (prominence(hit.is_prominent() || e.interests.len() > 1), list(&e.interests)),
                (None, Some(near)) if near.hint => (Weight::Weak, format!("{} by a name", near.topic)),
                (None, Some(near)) => (Weight::Weak, format!("{} beside {}", near.topic, near.interest)),
                (None, None) => (Weight::None, "no interest".to_owned()),
            },
            SignalKind::Action => match (self.action_name(), &r.deadline) {
                _ if r.is(Mark::Expired) => (Weight::None, "closed".to_owned()),
                (Some(action), Some(day)) => (Weight::Strong, format!("{action} by {day}")),
                (Some(action), None) => (Weight::Weak, action.to_owned()),
                (None, _) => (Weight::None, "nothing to do".to_owned()),
            },
            SignalKind::Timing => match self.freshness() {
                over @ "already over" => (Weight::None, over.to_owned()),
                "open with a deadline" => (Weight::Strong, "deadline ahead".to_owned()),
                other => (Weight::Weak, other.to_owned()),
            },
            SignalKind::Source => (
                match r.source {
                    SourceType::Official => Weight::Strong,
                    SourceType::News | SourceType::Unknown => Weight::Weak,
                    SourceType::Blog => Weight::None,
                },
                self.voice().trim_end_matches(" source").to_owned(),
            ),
        };
        signal(kind, weight, evidence)
    }

    // ------------------------------------------------------------ verdicts

    fn strongest_line(&self) -> String {
        let names = self.evidence_names();
        let matters = if names.contains(" and ") { "matter" } else { "matters" };
        let is = if names.contains(" and ") { "are" } else { "is" };
        match self.verdict.situation {
            Situation::Noise => "nothing.".to_owned(),
            Situation::Expired => format!("TIMING, because {names} would matter but the date has passed."),
            Situation::WrongLevel => format!("ROLE, because {names} {matters} but the post asks for another level."),
            Situation::WrongPlace => {
                format!("PLACE, because {names} {matters} but it happens in {}.", self.place_name().unwrap_or("another place"))
            }
            Situation::Rumour => format!("SOURCE, because {names} {matters} but nothing is confirmed."),
            Situation::Opening if self.reading.deadline.is_some() => {
                format!("ACTION, because {names} {matters} and there is a deadline to meet.")
            }
            Situation::Opening => format!("{}, because {names} {matters} and there is something to do.", self.verdict.strongest),
            Situation::Followed => format!("{}, because {names} {is} what this reader follows.", self.verdict.strongest),
            Situation::NameOnly => format!("ENTITY, because {names} {is} tracked but the subject is not this reader's."),
            Situation::Mention => format!("{}, because {names} {is} named but not the subject.", self.verdict.strongest),
            Situation::Neighbour => match &self.evidence.neighbour {
                Some(near) if near.hint => format!("INTEREST, because a name in the text suggests {}.", near.topic),
                Some(near) => {
                    let how = if near.closeness == Closeness::Far { "distant from" } else { "close to" };
                    format!("INTEREST, because {} is {how} {}.", near.topic, near.interest)
                }
                None => "INTEREST, because the topic is a neighbour.".to_owned(),
            },
            Situation::TradeOnly => format!("ROLE, because it speaks to {names} and to nothing else followed."),
        }
    }

    fn match_line(&self) -> String {
        let kind = self.kind_name();
        match self.verdict.situation {
            Situation::Noise if !self.reading.english => "noise, it cannot be read.".to_owned(),
            Situation::Noise => "noise for this reader.".to_owned(),
            Situation::Expired => format!("low, the {kind} is over and cannot be used any more."),
            Situation::WrongLevel => format!("low, the {kind} is meant for somebody else."),
            Situation::WrongPlace => format!("weak, the {kind} is out of reach from {}.", self.home()),
            Situation::Rumour => "interesting if true, but a rumour is not enough to act on.".to_owned(),
            Situation::Opening => match self.bands.name_of(self.verdict.score) {
                "Critical" => format!("critical, this {kind} is made for this reader, who should act."),
                _ => format!("good, this {kind} can be used, though not everything fits."),
            },
            Situation::Followed => "good, it is news this reader wants, with nothing urgent to do.".to_owned(),
            Situation::NameOnly => "partial, the name is known but there is no use in it.".to_owned(),
            Situation::Mention => "partial, the connection is real but small.".to_owned(),
            Situation::Neighbour => "indirect, the topic is a neighbour and not the interest itself.".to_owned(),
            Situation::TradeOnly => "partial, the trade fits but no tracked name or interest decides.".to_owned(),
        }
    }

    fn reason(&self) -> String {
        let kind = self.kind();
        let names = self.evidence_names();
        let who = match self.profile.seniority {
            Seniority::Student => "student",
            Seniority::Graduate => "graduate",
            Seniority::Retired => "retired reader",
            Seniority::Early | Seniority::Mid | Seniority::Senior => "reader",
        };
        let place = self.place_name().unwrap_or("another place");
        let home = if self.evidence.place.is_home() { format!(" in {}", self.home()) } else { String::new() };
        let reason = match self.verdict.situation {
            Situation::Noise => format!("{kind} {} that has nothing for this {who}.", self.subject()),
            Situation::Expired => format!("{kind} on {names} that is already over."),
            Situation::WrongLevel => format!("{kind} on {names} that asks for another level than this {who} has."),
            Situation::WrongPlace => format!("{kind} on {names} in {place} that this {who} cannot use."),
            Situation::Rumour => format!("a rumour on {names}{home} that nobody has confirmed."),
            Situation::Opening if self.reading.deadline.is_some() => {
                format!("{kind} on {names}{home} that this {who} can act on before the deadline.")
            }
            Situation::Opening => format!("{kind} on {names}{home} that this {who} can act on."),
            Situation::Followed => format!("{kind} on {names} that this {who} follows."),
            Situation::NameOnly => format!("{kind} on {names} without anything for this {who}'s work."),
            Situation::Mention => format!("{kind} that touches {names} only in passing."),
            Situation::Neighbour => match &self.evidence.neighbour {
                Some(near) if near.hint => format!("{kind} in which only a name suggests {}.", near.topic),
                Some(near) => format!("{kind} about {}, which is only a neighbour of {}.", near.topic, near.interest),
                None => format!("{kind} about a neighbouring topic."),
            },
            Situation::TradeOnly => format!("{kind} that speaks to {names}{home} but to no tracked name or interest."),
        };
        capitalised(&reason)
    }

    // ------------------------------------------------------------ sentences for tiers that ask for more

    /// In the order they are worth reading.
    fn more(&self) -> Vec<(Field, String)> {
        let first = |list: &[super::reader::Follow]| {
            let names: Vec<&str> = list.iter().take(3).map(|f| f.name.as_str()).collect();
            if names.is_empty() { "no names".to_owned() } else { names.join(", ") }
        };
        let band = self.bands.name_of(self.verdict.score);
        vec![
            (Field::Strongest, self.rule().to_owned()),
            (Field::Match, format!("The reader tracks {}.", first(&self.reader.tracked))),
            (Field::Match, format!("This is {band}: {}.", self.advice())),
            (Field::Match, format!("The reader follows {}.", first(&self.reader.interests))),
            (Field::Strongest, "The other signals do not add up.".to_owned()),
            (Field::Strongest, "What counts is this reader, not how big the news is.".to_owned()),
            (Field::Match, "Another reader would get another score.".to_owned()),
            (Field::Strongest, "One strong signal is enough.".to_owned()),
            (Field::Match, "The evidence above is named in the text, so the verdict is safe.".to_owned()),
            (Field::Match, "The text says this itself and nothing has to be guessed.".to_owned()),
            (Field::Strongest, "It was weighed before place, timing and source, which only move the score a little.".to_owned()),
            (Field::Match, "Nothing in the text speaks for a lower or a higher band than this one.".to_owned()),
        ]
    }

    /// The rule of the rubric that applies.
    fn rule(&self) -> &'static str {
        match self.verdict.situation {
            Situation::Noise => "No signal is strong.",
            Situation::Expired => "What has expired is low.",
            Situation::WrongLevel => "A post for another level helps nobody here.",
            Situation::WrongPlace => "Own place comes before region and world.",
            Situation::Rumour => "A rumour stays at eight at most.",
            Situation::Opening if self.reading.source == SourceType::Official => {
                "A deadline outranks a trend, and an official source can carry nine."
            }
            Situation::Opening => "A deadline outranks a trend, but the source is not official.",
            Situation::Followed => "A trend ranks below a deadline and above an opinion.",
            Situation::NameOnly => "A tracked name alone is not enough.",
            Situation::Mention => "Weak signals do not add up to a strong one.",
            Situation::Neighbour => "A neighbouring topic is real but indirect.",
            Situation::TradeOnly => "The trade alone does not make it critical.",
        }
    }

    fn advice(&self) -> String {
        match (self.verdict.situation, self.action_name()) {
            (Situation::Opening, Some(action)) => format!("{action} in time, missing it would be a loss"),
            (Situation::Opening | Situation::Followed, None) | (Situation::Followed, Some(_)) => "worth reading today".to_owned(),
            (Situation::Rumour, _) => "wait for an official word".to_owned(),
            (Situation::Noise | Situation::Expired | Situation::WrongLevel | Situation::WrongPlace, _) => {
                "nothing to do now".to_owned()
            }
            (Situation::NameOnly | Situation::Mention | Situation::Neighbour | Situation::TradeOnly, _) => {
                "read it when there is time".to_owned()
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Strongest,
    Match,
}

fn signal(kind: SignalKind, weight: Weight, evidence: String) -> Signal {
    Signal { kind, evidence, weight }
}

fn with_article(noun: &str) -> String {
    let vowel = noun.chars().next().is_some_and(|c| "aeiouAEIOU".contains(c));
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

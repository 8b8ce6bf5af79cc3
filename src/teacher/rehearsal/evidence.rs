//! Reader × article: what of the article concerns this reader, before anything is weighed.

use super::phrases::Token;
use super::reader::{Follow, Reader};
use super::reading::{Place, Reading};
use super::vocabulary::{Closeness, Mark, Vocabulary};
use crate::domain::SourceType;

/// A tracked name or an interest that the article names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub name: String,
    /// In the headline, or the source itself.
    pub headline: bool,
    pub times: usize,
    pub broad: bool,
}

impl Hit {
    pub fn is_prominent(&self) -> bool {
        self.headline || (self.times >= 2 && !self.broad)
    }
}

/// A topic beside an interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    pub topic: String,
    pub interest: String,
    pub closeness: Closeness,
    pub prominent: bool,
    /// Only a name suggests the topic.
    pub hint: bool,
}

/// Where the article plays, seen from the reader's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceFit {
    /// The reader's city, or country where that is all the profile says.
    Own,
    /// The reader's country as a whole.
    Nation,
    OtherCity(String),
    Region(String),
    Elsewhere(String),
    Unplaced,
}

impl PlaceFit {
    pub fn is_home(&self) -> bool {
        matches!(self, Self::Own | Self::Nation)
    }
}

/// What level is asked for, seen from the reader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LevelFit {
    Fits,
    TooHigh,
    TooLow,
    Silent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub tracked: Vec<Hit>,
    pub interests: Vec<Hit>,
    /// Everyday words of the reader's lists, found without other evidence.
    pub everyday: Option<String>,
    pub neighbour: Option<Neighbour>,
    /// The reader's trade, where the article speaks to it.
    pub trade: Option<String>,
    pub place: PlaceFit,
    pub level: LevelFit,
    /// The article names the level of a reader at the beginning of a career.
    pub beginner: bool,
    /// The reader is past working.
    pub retired: bool,
}

impl Evidence {
    pub fn gather(v: &Vocabulary, reader: &Reader, reading: &Reading) -> Self {
        let trade = trade(v, reader, reading);
        let mut tracked = hits(&reader.tracked, reading);
        let mut interests = hits(&reader.interests, reading);
        // An ordinary word is a name only where something else says that the reader's world is meant.
        let company = tracked.iter().chain(&interests).any(|(follow, _)| !follow.common) || trade.is_some();
        let everyday = tracked.iter().chain(&interests).find(|(follow, _)| follow.common).map(|(_, hit)| hit.name.clone());
        if !company {
            tracked.retain(|(follow, _)| !follow.common);
            interests.retain(|(follow, _)| !follow.common);
        }
        let (tracked, interests) = (strongest_first(tracked), strongest_first(interests));
        Self {
            everyday: everyday.filter(|_| !company),
            neighbour: neighbour(v, reader, reading),
            place: place(v, reader, reading),
            level: level(reader, reading),
            retired: reader.level.is_none(),
            beginner: reader.level.is_some_and(|own| {
                own <= 2 && reading.years.is_none() && reading.levels.iter().any(|l| l.abs_diff(own) <= 1 && *l <= 2)
            }),
            trade,
            tracked,
            interests,
        }
    }
}

fn strongest_first(hits: Vec<(&Follow, Hit)>) -> Vec<Hit> {
    let mut hits: Vec<Hit> = hits.into_iter().map(|(_, hit)| hit).collect();
    hits.sort_by_key(|hit| (!hit.is_prominent(), hit.broad, !hit.headline)); // stable: the profile's order otherwise
    hits
}

fn hits<'a>(follows: &'a [Follow], reading: &Reading) -> Vec<(&'a Follow, Hit)> {
    let found = |follow: &'a Follow| {
        let mut at: Vec<usize> = Vec::new();
        for phrase in &follow.phrases {
            at.extend(
                (0..reading.tokens.len())
                    .filter(|i| (reading.english || phrase.is_name()) && phrase.matches_at(&reading.tokens, *i)),
            );
        }
        at.sort_unstable();
        at.dedup();
        let of_topic: Vec<bool> =
            reading.mentions.iter().filter(|m| !m.hint && follow.topics.contains(&m.topic)).map(|m| m.headline).collect();
        let by_source = reading.source == SourceType::Official
            && follow.phrases.iter().any(|p| p.is_name() && p.is_in(&reading.source_tokens));
        let in_title = at.iter().any(|i| *i < reading.title_len) || of_topic.contains(&true);
        let scattered = usize::from(reading.english && together(&follow.words, &reading.tokens));
        let times = at.len().max(of_topic.len()).max(scattered) + usize::from(by_source);
        let headline = in_title || by_source || (scattered == 1 && together(&follow.words, reading.headline()));
        (times > 0).then(|| (follow, Hit { name: follow.name.clone(), headline, times, broad: follow.broad }))
    };
    follows.iter().filter_map(found).collect()
}

/// All words of an interest within a dozen words of text.
fn together(words: &[String], tokens: &[Token]) -> bool {
    const SPAN: usize = 6;
    if words.is_empty() {
        return false;
    }
    let spans = tokens.len().saturating_sub(SPAN) + 1;
    (0..spans).any(|start| {
        let window = &tokens[start..(start + SPAN).min(tokens.len())];
        words.iter().all(|w| window.iter().any(|t| t.fold == *w))
    })
}

fn trade(v: &Vocabulary, reader: &Reader, reading: &Reading) -> Option<String> {
    reader.trades.iter().find_map(|i| {
        let trade = v.lexicon.trades.get(*i)?;
        let topical = trade.topics.is_empty()
            || reading.mentions.iter().any(|m| v.lexicon.topics.get(m.topic).is_some_and(|t| trade.topics.contains(&t.name)));
        let asked = reading.asks.iter().any(|ask| ask.trade == *i && (ask.words > 1 || topical));
        asked.then(|| trade.name.clone())
    })
}

/// The closest, most prominent topic beside an interest.
fn neighbour(v: &Vocabulary, reader: &Reader, reading: &Reading) -> Option<Neighbour> {
    let mut best: Option<Neighbour> = None;
    for follow in &reader.interests {
        for mention in &reading.mentions {
            let Some(topic) = v.lexicon.topics.get(mention.topic) else {
                continue;
            };
            let of_topics = follow.topics.iter().filter_map(|t| v.closeness(*t, mention.topic)).max();
            let of_parts = follow.parts.contains(&mention.topic).then_some(Closeness::Near);
            let closeness = match (of_topics.max(of_parts), mention.hint) {
                (Some(Closeness::Same), true) => Closeness::Near,
                // The thing itself is an interest, not a neighbour; a hint at a neighbour is too far-fetched.
                (Some(Closeness::Same) | None, _) | (Some(Closeness::Far), true) => continue,
                (Some(Closeness::Near), true) => Closeness::Far,
                (Some(c), false) if topic.broad || topic.generic => c.min(Closeness::Far),
                (Some(c), false) => c,
            };
            let times = reading.mentions.iter().filter(|m| m.topic == mention.topic).count();
            let prominent = !mention.hint && (mention.headline || times >= 2);
            if best.as_ref().is_none_or(|b| (closeness, prominent, !mention.hint) > (b.closeness, b.prominent, !b.hint)) {
                best = Some(Neighbour {
                    topic: topic.name.clone(),
                    interest: follow.name.clone(),
                    closeness,
                    prominent,
                    hint: mention.hint,
                });
            }
        }
    }
    best
}

fn place(v: &Vocabulary, reader: &Reader, reading: &Reading) -> PlaceFit {
    let Some(home) = reader.home.country else {
        return PlaceFit::Unplaced;
    };
    let countries = &v.lexicon.countries;
    let own_area = |c: usize, a: usize| {
        let area = countries.get(c).and_then(|x| x.areas.get(a));
        let parent = area.and_then(|x| x.within.as_ref());
        let first = reader.home.areas.first().and_then(|i| countries.get(home).and_then(|x| x.areas.get(*i)));
        c == home
            && (reader.home.areas.is_empty()
                || reader.home.areas.contains(&a)
                || (parent.is_some() && parent == first.map(|x| &x.name)))
    };
    let is_own = |p: &Place| match *p {
        Place::Area(c, a) => own_area(c, a),
        Place::Country(c) => c == home && reader.home.areas.is_empty(),
        Place::Region(_) => false,
    };
    let name = |p: &Place| match *p {
        Place::Area(c, a) => countries.get(c).and_then(|x| x.areas.get(a)).map(|x| x.name.clone()),
        Place::Country(c) => countries.get(c).map(|x| x.name.clone()),
        Place::Region(r) => v.lexicon.regions.get(r).map(|x| x.name.clone()),
    };
    let named = |p: &Place| name(p).unwrap_or_default();
    let first = reading.places.first();
    // "Only for residents": the first place named is the one that counts.
    if reading.places.iter().any(is_own) && (!reading.is(Mark::Restricted) || first.is_some_and(is_own)) {
        return PlaceFit::Own;
    }
    let other_city = reading.places.iter().find(|p| matches!(p, Place::Area(c, _) if *c == home) && !is_own(p));
    let of_home = reading.places.iter().any(|p| matches!(p, Place::Country(c) if *c == home));
    let abroad = reading.places.iter().find(|p| matches!(p, Place::Country(c) | Place::Area(c, _) if *c != home));
    let region = countries.get(home).map(|c| c.region.as_str()).unwrap_or_default();
    let in_region = reading.places.iter().find(|p| match p {
        Place::Country(c) | Place::Area(c, _) => *c != home && countries.get(*c).is_some_and(|x| x.region == region),
        Place::Region(r) => v.lexicon.regions.get(*r).is_some_and(|x| x.name == region),
    });
    match (other_city, of_home, in_region, abroad) {
        (Some(city), _, _, _) if !of_home || reading.is(Mark::Restricted) => PlaceFit::OtherCity(named(city)),
        (_, true, _, _) if !reading.is(Mark::Restricted) => PlaceFit::Nation,
        (_, _, Some(place), _) => PlaceFit::Region(named(place)),
        (_, _, _, Some(place)) => PlaceFit::Elsewhere(named(place)),
        _ => PlaceFit::Unplaced,
    }
}

/// Years asked for decide; without them, the levels named must not all be far from the reader's.
fn level(reader: &Reader, reading: &Reading) -> LevelFit {
    let Some(own) = reader.level else {
        return LevelFit::Silent;
    };
    let asked = match reading.years {
        Some(0..=1) => vec![1],
        Some(2..=3) => vec![2],
        Some(4..=7) => vec![3],
        Some(8..=14) => vec![4],
        Some(_) => vec![5],
        None => reading.levels.clone(),
    };
    let (Some(low), Some(high)) = (asked.iter().min(), asked.iter().max()) else {
        return LevelFit::Silent;
    };
    let margin = usize::from(!reading.is(Mark::Excluded));
    if *low > own + margin {
        LevelFit::TooHigh
    } else if high + 2 <= own {
        LevelFit::TooLow
    } else {
        LevelFit::Fits
    }
}

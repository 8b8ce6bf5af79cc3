//! The rehearsal teacher as a writer: plausible articles for one reader, from templates, by seed.
//!
//! Owns words and draws. Whether an article does what it should is asked of the judge, which the caller passes in: of a
//! few draws of each template, the first one that tells the readers apart is kept.

mod templates;

use serde::{Deserialize, Serialize};

use templates::{Flavour, TEMPLATES, Template};

use crate::domain::{Article, Digest, Digester, Motivation, Profile, Seniority, SourceType};

/// What the writer is told; the material of a request for articles.
#[derive(Debug, Clone, Deserialize)]
pub struct Brief {
    /// How many.
    pub write: usize,
    /// How many were asked for before, in other requests for the same reader.
    #[serde(default)]
    pub from: usize,
    pub profile: Profile,
    #[serde(default)]
    pub others: Vec<Profile>,
    /// Titles that exist.
    #[serde(default)]
    pub avoid: Vec<String>,
}

/// One article of the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Written {
    pub title: String,
    pub summary: String,
    pub source: String,
    pub source_type: SourceType,
}

/// A judge's score of an article for a reader.
pub type Score<'a> = &'a dyn Fn(&Profile, &Article) -> f64;

/// Draws of one template before the best one is taken as it is.
const DRAWS: usize = 8;

/// What an article should reach for its reader, and stay below for at least half of the others.
const RELEVANT: f64 = 7.0;
const USELESS: f64 = 5.0;

/// Writes what the brief asks for. The same brief and seed always give the same articles.
pub fn write(brief: &Brief, seed: &Digest, score: Score<'_>) -> Vec<Written> {
    let order = templates_for(&brief.profile);
    let mut taken: Vec<String> = brief.avoid.iter().map(|t| t.to_lowercase()).collect();
    let mut written = Vec::new();
    for i in 0..brief.write {
        let slot = brief.from + i;
        let Some(template) = order.get(slot % order.len().max(1)) else { break };
        if let Some(one) = best(brief, template, seed, i, &taken, score) {
            taken.push(one.title.to_lowercase());
            written.push(one);
        }
    }
    written
}

/// The templates that fit a reader, in an order of the reader's own.
fn templates_for(profile: &Profile) -> Vec<&'static Template> {
    let works = profile.motivation == Motivation::Career && profile.seniority != Seniority::Retired;
    let fits = |t: &&Template| (works || t.flavour != Flavour::Post) && (!t.named || !profile.tracked.is_empty());
    let mut fitting: Vec<(Digest, &Template)> = TEMPLATES
        .iter()
        .filter(fits)
        .map(|t| (Digester::new().field("template").field(profile.id.as_str()).field(t.title).finish(), t))
        .collect();
    fitting.sort_by(|a, b| a.0.cmp(&b.0));
    fitting.into_iter().map(|(_, t)| t).collect()
}

/// The first draw that tells the readers apart, else the one that does so best.
fn best(brief: &Brief, template: &Template, seed: &Digest, index: usize, taken: &[String], score: Score<'_>) -> Option<Written> {
    let mut best: Option<(f64, Written)> = None;
    for n in 0..DRAWS {
        let draw = Draw { seed: seed.clone(), index, attempt: n, drawn: 0 };
        let one = fill(&brief.profile, template, draw);
        if taken.contains(&one.title.to_lowercase()) {
            continue;
        }
        let Ok(article) = Article::written(&one.title, &one.summary, &one.source, one.source_type, &brief.profile.id) else {
            continue;
        };
        let own = score(&brief.profile, &article);
        let useless = brief.others.iter().filter(|o| o.id != brief.profile.id && score(o, &article) < USELESS).count();
        let others = brief.others.iter().filter(|o| o.id != brief.profile.id).count();
        if own >= RELEVANT && useless * 2 >= others {
            return Some(one);
        }
        let worth = own + 5.0 * useless as f64 / others.max(1) as f64;
        if best.as_ref().is_none_or(|(most, _)| worth > *most) {
            best = Some((worth, one));
        }
    }
    best.map(|(_, one)| one)
}

/// A stream of draws: a pure function of seed, article and attempt.
struct Draw {
    seed: Digest,
    index: usize,
    attempt: usize,
    drawn: usize,
}

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.drawn += 1;
        let parts = [self.index, self.attempt, self.drawn].map(|x| (x as u64).to_le_bytes());
        let digest = parts.iter().fold(Digester::new().field(self.seed.as_str()), Digester::field).finish();
        let number = digest.as_str().get(..12).and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0);
        number % n.max(1)
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let at = self.below(list.len());
        list.get(at).copied().unwrap_or_default()
    }
}

fn fill(profile: &Profile, template: &Template, mut draw: Draw) -> Written {
    let (middles, closes): (&[&str], &[&str]) = match template.flavour {
        Flavour::Post => (&templates::POST_MIDDLES, &templates::POST_CLOSES),
        Flavour::Open => (&templates::OPEN_MIDDLES, &templates::OPEN_CLOSES),
        Flavour::Report => (&templates::REPORT_MIDDLES, &templates::REPORT_CLOSES),
    };
    let words = Words::drawn(profile, &mut draw);
    let source = words.fill(template.source);
    let text = format!("{} {} {}", template.lead, draw.of(middles), draw.of(closes));
    Written {
        title: capitalised(&words.fill(template.title)),
        summary: capitalised(&words.fill(&text)),
        source: capitalised(&source),
        source_type: template.source_type,
    }
}

/// What stands in a template's slots.
struct Words {
    name: String,
    interest: String,
    other: String,
    place: String,
    host: String,
    trade: String,
    level: &'static str,
    day: String,
    n: usize,
    sum: usize,
}

impl Words {
    fn drawn(profile: &Profile, draw: &mut Draw) -> Self {
        const MONTHS: [&str; 6] = ["March", "April", "May", "September", "October", "November"];
        const HOSTS: [&str; 4] = ["University of {place}", "{place} Institute", "{place} Academy", "{place} Science Centre"];
        let place = profile.places().next().unwrap_or("the region").to_owned();
        let interests: Vec<&str> = if profile.interests.is_empty() {
            vec![profile.role.as_str()]
        } else {
            profile.interests.iter().map(String::as_str).collect()
        };
        let first = draw.below(interests.len());
        let step = 1 + draw.below(interests.len().saturating_sub(1));
        let tracked: Vec<&str> = profile.tracked.iter().map(String::as_str).collect();
        Self {
            name: draw.of(&tracked).to_owned(),
            interest: interests[first].to_owned(),
            other: match interests.len() {
                1 => "neighbouring subjects".to_owned(),
                n => interests[(first + step) % n].to_owned(),
            },
            host: draw.of(&HOSTS).replace("{place}", &place),
            place,
            trade: trade(&profile.role),
            level: level(profile.seniority),
            day: format!("{} {}", 2 + draw.below(26), draw.of(&MONTHS)),
            n: 6 + draw.below(19),
            sum: 30 + 5 * draw.below(34),
        }
    }

    fn fill(&self, text: &str) -> String {
        let (n, sum) = (self.n.to_string(), self.sum.to_string());
        let slots = [
            ("{name}", self.name.as_str()),
            ("{interest}", &self.interest),
            ("{other}", &self.other),
            ("{host}", &self.host),
            ("{place}", &self.place),
            ("{trade}", &self.trade),
            ("{level}", self.level),
            ("{day}", &self.day),
            ("{n}", &n),
            ("{sum}", &sum),
        ];
        slots.iter().fold(text.to_owned(), |text, (slot, value)| text.replace(slot, value))
    }
}

/// "senior emergency room nurse" → "emergency room nurses".
fn trade(role: &str) -> String {
    const LEVELS: [&str; 9] =
        ["senior", "junior", "fresh", "mid-career", "mid-level", "retired", "lead", "early-career", "sophomore"];
    let words: Vec<&str> = role.split_whitespace().filter(|w| !LEVELS.contains(&w.to_lowercase().as_str())).collect();
    let noun = words.join(" ");
    match noun {
        noun if noun.is_empty() => "people of the trade".into(),
        noun if role.to_lowercase().contains("sophomore") => format!("{noun} students"),
        noun if noun.ends_with('s') => noun,
        noun if noun.ends_with('y') => format!("{}ies", &noun[..noun.len() - 1]),
        noun => format!("{noun}s"),
    }
}

fn level(seniority: Seniority) -> &'static str {
    match seniority {
        Seniority::Student => "students",
        Seniority::Graduate => "fresh graduates",
        Seniority::Early => "junior candidates",
        Seniority::Mid => "mid-career candidates",
        Seniority::Senior => "senior candidates",
        Seniority::Retired => "retired people",
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProfileRow, Recipe};
    use crate::teacher::rehearsal::Judge;

    fn profiles() -> Vec<Profile> {
        let rows: Vec<ProfileRow> = serde_json::from_str(include_str!("../../../data/profiles_v19.json")).expect("rows");
        rows.into_iter().map(|row| row.into_profile().expect("a profile")).collect()
    }

    fn brief(profile: &Profile, set: usize) -> Brief {
        Brief { write: 4, from: 4 * set, profile: profile.clone(), others: profiles(), avoid: Vec::new() }
    }

    #[test]
    fn every_shipped_reader_gets_articles_that_tell_the_readers_apart() {
        let recipe = Recipe::from_toml(include_str!("../../../data/recipes/stratos-v19.toml")).expect("sound");
        let judge = Judge::shipped().expect("compiles");
        let score = |p: &Profile, a: &Article| judge.judge(p, a, &recipe.depth, &recipe.bands).score;
        let mut wrong = Vec::new();
        for profile in profiles() {
            for set in 0..3 {
                let written = write(&brief(&profile, set), &Digest::of(format!("seed {set}")), &score);
                assert_eq!(written.len(), 4, "{} set {set}", profile.id);
                for one in written {
                    assert!(!one.title.contains('{') && !one.summary.contains('{') && !one.source.contains('{'), "{one:?}");
                    let article =
                        Article::written(&one.title, &one.summary, &one.source, one.source_type, &profile.id).expect("whole");
                    let own = score(&profile, &article);
                    let others: Vec<f64> = profiles().iter().filter(|p| p.id != profile.id).map(|p| score(p, &article)).collect();
                    let useless = others.iter().filter(|s| **s < USELESS).count();
                    if own < RELEVANT || useless * 2 < others.len() {
                        wrong.push(format!("{}: {own} and {others:?}\n  {}\n  {}", profile.id, one.title, one.summary));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} articles:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn the_same_seed_writes_the_same_and_another_seed_another_text() {
        let profile = &profiles()[1];
        let flat = |_: &Profile, _: &Article| 7.0;
        let at = |seed: &str| write(&brief(profile, 0), &Digest::of(seed), &flat);
        assert_eq!(at("a"), at("a"));
        assert_ne!(at("a"), at("b"));
    }

    #[test]
    fn a_title_that_exists_is_not_written_again() {
        let profile = &profiles()[0];
        let flat = |_: &Profile, _: &Article| 1.0;
        let first = write(&brief(profile, 0), &Digest::of("a"), &flat);
        let avoid: Vec<String> = first.iter().map(|w| w.title.clone()).collect();
        let second = write(&Brief { avoid: avoid.clone(), ..brief(profile, 0) }, &Digest::of("a"), &flat);
        assert!(second.iter().all(|w| !avoid.contains(&w.title)), "{second:?}");
    }
}

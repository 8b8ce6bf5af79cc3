//! Which imported labels can be taught from, and why the others cannot.
//!
//! Owns the rules a row is judged by, one by one, and making a trace of a kept one. Rules that need many rows (drift,
//! templates, copies) are `distill::quality`'s guards; which of several annotators is believed is `build`'s.

use std::collections::{HashMap, HashSet};

use crate::distill::quality::{is_cut, languages_of, tells_of_change};
use crate::domain::{
    Answer, Article, DepthVerdict, Digest, FileLine, Flag, Label, LabelKind, LabelState, ProfileId, Recipe, Trace, Trust,
    word_count,
};

use super::example::{Provenance, Selection, SourcedTrace};

/// Reasons why a label is not kept. Those with a fixed wording are counted by it.
pub mod why {
    pub const UNKNOWN_ARTICLE: &str = "unknown article";
    pub const UNKNOWN_READER: &str = "unknown reader";
    pub const FORBIDDEN: &str = "forbidden score";
    pub const OUTSIDE: &str = "outside the scale";
    pub const UNFINISHED: &str = "unfinished reason";
    pub const UNFINISHED_THINK: &str = "unfinished think block";
    pub const CHANGED: &str = "reason of another score";
    pub const CONTRADICTION: &str = "think block contradicts the score";
    pub const LANGUAGE: &str = "language not wanted, scored relevant";
    pub const NO_THINK: &str = "no think block";
    pub const THINK_LENGTH: &str = "think block too short or too long";
    pub const POLICY: &str = "left out by data.import";
    pub const NO_REASON: &str = "no reason";
    /// A reader whose rows are too few, and a pair that has its judgement already: given by the build, not by a row.
    pub const TWICE: &str = "pair judged twice";
    pub const UNREADABLE: &str = "target not in the format";
}

/// What an operator can do about a judgement that was left out for this reason.
pub fn remedy(reason: &str) -> &'static str {
    match reason {
        why::UNKNOWN_ARTICLE => "Import the article it judges, then build the dataset again.",
        why::UNKNOWN_READER => "Import or write the reader it judges for, then build the dataset again.",
        why::FORBIDDEN => "The recipe allows no such score: have the pair judged again, or change scale.forbidden.",
        why::OUTSIDE => "Correct the score at its source, or bring it to the recipe's scale, and import the file again.",
        why::UNFINISHED | why::UNFINISHED_THINK => "The answer was cut: have the pair judged again with a higher token limit.",
        why::CHANGED | why::CONTRADICTION => "Its words argue for another score: judge the pair again by hand or by a teacher.",
        why::LANGUAGE => "Nobody asked for this language: add it to data.languages, or leave the row out.",
        why::NO_THINK => "This recipe teaches a think block: import it as scores only, or have the pair judged again.",
        why::THINK_LENGTH => "Have the pair judged again, or change the recipe's depth tiers.",
        why::POLICY => "The recipe's data.import leaves it out on purpose; change that rule if it should count.",
        why::NO_REASON => "Without a reason there is nothing to teach: have the pair judged again.",
        why::TWICE => "Nothing is wrong: another annotator is preferred; [labels] annotators sets the order.",
        why::UNREADABLE => "Its target would not read back in the recipe's format: have the pair judged again.",
        _ => "Read the row where it stands and correct it there, or leave it out; then build the dataset again.",
    }
}

/// How one annotator ends its reasons: what tells a cut one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Habit {
    /// It ends its sentences, so one without an end is cut.
    stops: bool,
    /// So many characters were room for: the reasons of this length were cut.
    room: Option<usize>,
}

/// Reasons from which a habit can be told.
const ENOUGH: usize = 20;

impl Habit {
    fn of(reasons: &[&str]) -> Self {
        let open = reasons.iter().filter(|r| is_cut(r)).count();
        let stops = reasons.len() >= ENOUGH && open * 10 <= reasons.len();
        let mut lengths: HashMap<usize, usize> = HashMap::new();
        for reason in reasons.iter().filter(|r| is_cut(r)) {
            *lengths.entry(reason.chars().count()).or_default() += 1;
        }
        // Lengths thin out towards the longest; where they pile up there, something cut them.
        let room = lengths.keys().copied().max().filter(|longest| {
            let at = |length: usize| lengths.get(&length).copied().unwrap_or(0);
            let before: usize = (longest.saturating_sub(20)..*longest).map(at).sum();
            at(*longest) >= 5 && at(*longest) * 20 >= 4 * before
        });
        Self { stops, room }
    }
}

/// What labels are judged by.
pub struct Rules<'a> {
    recipe: &'a Recipe,
    articles: HashMap<&'a str, &'a Article>,
    profiles: HashSet<&'a str>,
    habits: HashMap<String, Habit>,
    /// Whether an article is in a wanted language; `None`: it cannot be told.
    wanted: HashMap<&'a str, Option<bool>>,
}

impl<'a> Rules<'a> {
    /// `labels` are all there are: an annotator's habits are told from all of its rows.
    pub fn new<'b>(
        recipe: &'a Recipe,
        articles: &'a [Article],
        profiles: impl IntoIterator<Item = &'a ProfileId>,
        labels: impl IntoIterator<Item = &'b Label>,
    ) -> Self {
        let mut reasons: HashMap<String, Vec<&str>> = HashMap::new();
        for label in labels {
            let reason = label.body.reason.trim();
            if !reason.is_empty() {
                reasons.entry(label.annotator.clone()).or_default().push(reason);
            }
        }
        let languages = &recipe.data.languages;
        let is_wanted = |article: &Article| {
            let codes = languages_of(&format!("{} {}", article.title, article.summary));
            (!codes.is_empty()).then(|| codes.iter().any(|code| languages.iter().any(|w| w.eq_ignore_ascii_case(code))))
        };
        let wanted =
            if languages.is_empty() { HashMap::new() } else { articles.iter().map(|a| (a.id.as_str(), is_wanted(a))).collect() };
        Self {
            recipe,
            articles: articles.iter().map(|a| (a.id.as_str(), a)).collect(),
            profiles: profiles.into_iter().map(ProfileId::as_str).collect(),
            habits: reasons.into_iter().map(|(annotator, reasons)| (annotator, Habit::of(&reasons))).collect(),
            wanted,
        }
    }

    /// Where a label stands, and why.
    pub fn judge(&self, label: &Label, kind: LabelKind) -> (LabelState, String) {
        let quarantined = |why: &str| (LabelState::Quarantined, why.to_owned());
        if let Some(defect) = &label.body.defect {
            return quarantined(defect);
        }
        let Some(score) = label.body.score else { return quarantined("the score is not a number") };
        if let Some(why) = self.wrong_score(score).or_else(|| self.wrong_words(label, score)) {
            return quarantined(why);
        }
        let (orphan, why) =
            match (self.articles.contains_key(label.article.as_str()), self.profiles.contains(label.profile.as_str())) {
                (false, _) => (true, why::UNKNOWN_ARTICLE),
                (_, false) => (true, why::UNKNOWN_READER),
                _ => (false, ""),
            };
        if orphan {
            return (LabelState::Orphan, why.to_owned());
        }
        let relevant = score >= self.recipe.scale.relevant_from;
        if relevant && self.wanted.get(label.article.as_str()).copied().flatten() == Some(false) {
            return quarantined(why::LANGUAGE);
        }
        if kind != LabelKind::Scores && self.against_policy(label, score) {
            return quarantined(why::POLICY);
        }
        (LabelState::Kept, String::new())
    }

    fn wrong_score(&self, score: f64) -> Option<&'static str> {
        let (min, max) = self.recipe.scale.range();
        if !(min..=max).contains(&score) {
            return Some(why::OUTSIDE);
        }
        self.recipe.scale.forbids(score).then_some(why::FORBIDDEN)
    }

    fn wrong_words(&self, label: &Label, score: f64) -> Option<&'static str> {
        let (reason, think) = (label.body.reason.trim(), label.body.think.trim());
        let habit = self.habits.get(&label.annotator).copied().unwrap_or_default();
        if reason.is_empty() {
            return Some(why::NO_REASON);
        }
        if tells_of_change(reason) {
            return Some(why::CHANGED);
        }
        if is_unfinished(reason, habit) {
            return Some(why::UNFINISHED);
        }
        if contradicts(think, score, self.recipe.scale.relevant_from) {
            return Some(why::CONTRADICTION);
        }
        if !self.recipe.student.think {
            return None;
        }
        // Only a student that learns to think is taught the block.
        if think.is_empty() {
            return Some(why::NO_THINK);
        }
        if is_unfinished_think(think, reason) {
            return Some(why::UNFINISHED_THINK);
        }
        let verdict = self.recipe.depth.judge(&self.recipe.bands, score, word_count(think));
        matches!(verdict, DepthVerdict::TooShort | DepthVerdict::TooLong).then_some(why::THINK_LENGTH)
    }

    /// Rows of earlier training files may be held to more than being readable.
    fn against_policy(&self, label: &Label, score: f64) -> bool {
        let Some(policy) = &self.recipe.data.import else { return false };
        let tenths = score * 10.0;
        let well_formed =
            (tenths - tenths.round()).abs() < 1e-6 && !(is_cut(&label.body.reason) && label.body.reason.contains('\n'));
        policy.min_score.is_some_and(|least| score < least)
            || policy.single_profile && label.profile.is_empty()
            || policy.well_formed && !well_formed
    }
}

/// Words that no sentence ends with.
const OPEN_WORDS: [&str; 34] = [
    "the", "a", "an", "and", "or", "but", "of", "to", "in", "on", "at", "for", "with", "by", "from", "as", "its", "their", "his",
    "her", "user's", "which", "that", "is", "are", "was", "were", "has", "have", "be", "into", "than", "this", "because",
];

fn is_unfinished(text: &str, habit: Habit) -> bool {
    let text = text.trim();
    if text.ends_with("..") || text.ends_with(['…', ',', ';', ':', '(', '[', '-', '–', '—']) {
        return true;
    }
    is_cut(text) && (habit.stops || habit.room == Some(text.chars().count()) || ends_open(text))
}

fn ends_open(text: &str) -> bool {
    let last = text.split_whitespace().last().unwrap_or_default().to_lowercase();
    OPEN_WORDS.contains(&last.as_str())
}

/// Its last line stops in the middle of what the reason goes on to say, or on a word that nothing ends with.
fn is_unfinished_think(think: &str, reason: &str) -> bool {
    let last = think.trim().lines().last().unwrap_or_default();
    let text = last.split_once(": ").map_or(last, |(_, text)| text).trim();
    let cut_copy = text.chars().count() >= 40 && reason.len() > text.len() && reason.starts_with(text);
    cut_copy || text.ends_with("..") || text.ends_with(['…', ',', ';', ':', '(']) || (is_cut(text) && ends_open(text))
}

/// The block's own verdict lies on the other side of the middle than the score.
fn contradicts(think: &str, score: f64, relevant_from: f64) -> bool {
    const LOW: [&str; 6] = ["noise", "not relevant", "irrelevant", "no relevance", "filter out", "does not concern"];
    const HIGH: [&str; 5] = ["highly actionable", "highly relevant", "directly relevant", "relevant and useful", "critical"];
    let mut verdicts = think.lines().rev().filter_map(|line| {
        let (label, text) = line.split_once(':')?;
        ["VERDICT", "MATCH"].contains(&label.trim()).then(|| text.to_lowercase())
    });
    verdicts.next().is_some_and(|text| {
        let (low, high) = (LOW.iter().any(|w| text.contains(w)), HIGH.iter().any(|w| text.contains(w)));
        (low && !high && score >= relevant_from) || (high && !low && score < relevant_from)
    })
}

/// The trace of a kept label: what a teacher's would be.
pub fn trace_of(recipe: &Recipe, label: &Label, file: FileLine, trust: Trust) -> Option<SourcedTrace> {
    let (pair, score) = (label.pair()?, label.body.score?);
    let answer = Answer { think: label.body.think.clone(), score, reason: label.body.reason.trim().to_owned() };
    let words = word_count(&answer.think);
    let mut flags = Vec::new();
    if recipe.student.think && recipe.depth.judge(&recipe.bands, score, words) == DepthVerdict::OutsideTier {
        flags.push(Flag::OutsideTier);
    }
    let reasoning_tier = recipe.depth.tier_of(&recipe.bands, score).map_or_else(String::new, |tier| tier.name.clone());
    let provenance = Provenance {
        teacher: "imported".into(),
        model: label.body.model.clone().unwrap_or_else(|| label.annotator.clone()),
        prompt_digest: label.body.prompt_digest.clone(),
        trace_digest: Some(Digest::of_json(&(&pair, score, &answer.think, &answer.reason, &file))),
        selection: Selection::All,
        annotator: label.annotator.clone(),
        calibrated_by: label.body.calibrated_by.clone(),
        trust: Some(trust),
        file: Some(file),
    };
    Some(SourcedTrace { trace: Trace { pair, answer, words, reasoning_tier, flags }, provenance })
}

/// Article ids that labels name and nobody knows, with how many rows, in order of id.
pub fn unknown<'a>(labels: impl IntoIterator<Item = &'a Label>, why: &str) -> Vec<(String, usize)> {
    let mut counts: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for label in labels.into_iter().filter(|l| l.state == LabelState::Orphan && l.reason == why) {
        let id = if why == why::UNKNOWN_ARTICLE { &label.article } else { &label.profile };
        *counts.entry(id.clone()).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{article, profile_id, recipe};
    use super::*;
    use crate::domain::LabelBody;
    use crate::domain::recipe::ImportPolicy;

    fn short_reasons() -> Recipe {
        let mut recipe = recipe();
        recipe.student.think = false;
        recipe
    }

    fn label(article: &str, score: f64, reason: &str, think: &str) -> Label {
        let body = LabelBody { score: Some(score), reason: reason.into(), think: think.into(), ..LabelBody::default() };
        let (article, profile) = (article.to_owned(), "p".to_owned());
        Label { line: 1, annotator: "x".into(), article, profile, body, state: LabelState::Kept, reason: String::new() }
    }

    fn judged(recipe: &Recipe, label: &Label, kind: LabelKind) -> (LabelState, String) {
        let articles = [
            article("a", "The bank opens two branches", "The bank is open to all of the students and their friends.", ""),
            article("ar", "أعلن البنك", "أعلن البنك عن فتح فرعين جديدين للطلاب في الكويت", ""),
        ];
        let reader = profile_id("p");
        Rules::new(recipe, &articles, [&reader], [label]).judge(label, kind)
    }

    #[test]
    fn each_rule_names_what_it_leaves_out() {
        let recipe = short_reasons();
        let low = "PROFILE: x\nVERDICT: noise, filter out";
        let high = "PROFILE: x\nVERDICT: highly actionable";
        let cases = [
            ("a", 5.0, "Fine.", "", why::FORBIDDEN),
            ("a", 10.5, "Fine.", "", why::OUTSIDE),
            ("a", -0.1, "Fine.", "", why::OUTSIDE),
            ("a", 7.0, " ", "", why::NO_REASON),
            ("a", 7.0, "It is about the", "", why::UNFINISHED),
            ("a", 7.0, "It is about...", "", why::UNFINISHED),
            ("a", 7.0, "It is about banks,", "", why::UNFINISHED),
            ("a", 5.5, "Adjusted from 5.0 to avoid the middle.", "", why::CHANGED),
            ("a", 7.0, "Fine.", low, why::CONTRADICTION),
            ("a", 2.0, "Fine.", high, why::CONTRADICTION),
            ("nobody", 7.0, "Fine.", "", why::UNKNOWN_ARTICLE),
            ("a", 7.0, "Fine without a stop", high, ""),
            ("a", 1.0, "Fine.", low, ""),
        ];
        for (id, score, reason, think, wanted) in cases {
            let (state, why) = judged(&recipe, &label(id, score, reason, think), LabelKind::Scores);
            assert_eq!((why.as_str(), state == LabelState::Kept), (wanted, wanted.is_empty()), "{id} {score} {reason} {think}");
        }
        let broken =
            Label { body: LabelBody { defect: Some("no score line".into()), ..LabelBody::default() }, ..label("a", 1.0, "", "") };
        assert_eq!(judged(&recipe, &broken, LabelKind::Chat), (LabelState::Quarantined, "no score line".into()));
        let stranger = Label { profile: "q".into(), ..label("a", 1.0, "Fine.", "") };
        assert_eq!(judged(&recipe, &stranger, LabelKind::Scores), (LabelState::Orphan, why::UNKNOWN_READER.into()));
    }

    #[test]
    fn a_student_that_thinks_needs_a_whole_block_and_one_that_does_not_needs_none() {
        let thinks = recipe();
        let reason = "The article is about a bank that opens branches for students in the north of the country.";
        let cut = format!("PROFILE: {}\nREASONING: {}", "word ".repeat(90), &reason[..60]);
        let whole = format!("PROFILE: {}\nMATCH: it fits.", "word ".repeat(90));
        for (think, wanted) in
            [("", why::NO_THINK), ("PROFILE: x", why::THINK_LENGTH), (&cut, why::UNFINISHED_THINK), (&whole, "")]
        {
            assert_eq!(judged(&thinks, &label("a", 7.0, reason, think), LabelKind::Chat).1, wanted, "{think}");
            assert_eq!(judged(&short_reasons(), &label("a", 7.0, reason, think), LabelKind::Chat).1, "", "{think}");
        }
    }

    #[test]
    fn languages_and_the_import_policy_are_the_recipes_to_set() {
        let mut recipe = short_reasons();
        let arabic = label("ar", 8.0, "Fine.", "");
        assert_eq!(judged(&recipe, &arabic, LabelKind::Scores).1, "");
        recipe.data.languages = vec!["en".into()];
        assert_eq!(judged(&recipe, &arabic, LabelKind::Scores).1, why::LANGUAGE);
        assert_eq!(judged(&recipe, &label("ar", 1.0, "Fine.", ""), LabelKind::Scores).1, "");
        recipe.data.import = Some(ImportPolicy { min_score: Some(5.5), single_profile: true, well_formed: true });
        assert_eq!(judged(&recipe, &label("a", 2.0, "Fine.", ""), LabelKind::Chat).1, why::POLICY);
        assert_eq!(judged(&recipe, &label("a", 6.25, "Fine.", ""), LabelKind::Training).1, why::POLICY);
        assert_eq!(judged(&recipe, &label("a", 6.0, "Fine.", ""), LabelKind::Chat).1, "");
        assert_eq!(judged(&recipe, &label("a", 2.0, "Fine.", ""), LabelKind::Scores).1, "", "score files are no training files");
    }

    #[test]
    fn an_annotators_habit_tells_its_cut_reasons() {
        let recipe = short_reasons();
        let reader = profile_id("p");
        let articles = [article("a", "One two three four", "x", "")];
        let states = |reasons: &[String]| -> Vec<String> {
            let labels: Vec<Label> = reasons.iter().map(|r| label("a", 1.0, r, "")).collect();
            let rules = Rules::new(&recipe, &articles, [&reader], &labels);
            labels.iter().map(|l| rules.judge(l, LabelKind::Scores).1).collect()
        };
        let mut ends: Vec<String> = (0..40).map(|i| format!("Reason number {i} is whole.")).collect();
        ends.push("This one was cut somewhere in the midd".into());
        assert_eq!(states(&ends).iter().filter(|s| *s == why::UNFINISHED).count(), 1);
        // One that never ends its sentences: only those that fill the room are cut.
        let mut open: Vec<String> = (0..60).map(|i| format!("Touches on {}", "x".repeat(i % 40 + 1))).collect();
        open.extend((0..9).map(|i| format!("Touches on {i} {}", "y".repeat(57))));
        assert_eq!(states(&open).iter().filter(|s| *s == why::UNFINISHED).count(), 9);
    }
}

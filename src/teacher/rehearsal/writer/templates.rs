//! The sentences that the rehearsed writer fills in. Words only; which are drawn, and with what, is the writer's.

use crate::domain::SourceType;

/// What a template tells of, and so which sentences fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Paid work: for those who look for it.
    Post,
    /// Something else to take part in.
    Open,
    /// News without anything to do.
    Report,
}

pub(super) struct Template {
    pub flavour: Flavour,
    /// Needs a name that the reader tracks.
    pub named: bool,
    pub title: &'static str,
    pub lead: &'static str,
    pub source: &'static str,
    pub source_type: SourceType,
}

const fn template(
    flavour: Flavour,
    named: bool,
    source: (&'static str, SourceType),
    title: &'static str,
    lead: &'static str,
) -> Template {
    Template { flavour, named, title, lead, source: source.0, source_type: source.1 }
}

const OWN: (&str, SourceType) = ("{name}", SourceType::Official);
const HOST: (&str, SourceType) = ("{host}", SourceType::Official);
const PAPER: (&str, SourceType) = ("{place} Business Review", SourceType::News);
const DAILY: (&str, SourceType) = ("{place} Morning Post", SourceType::News);
const BLOG: (&str, SourceType) = ("Notes on {interest}", SourceType::Blog);

pub(super) const TEMPLATES: [Template; 16] = [
    template(
        Flavour::Post,
        true,
        OWN,
        "{name} opens {n} posts for {trade} in {place}",
        "{name} has opened {n} posts in {place} for {trade}, with {level} in mind. The team works on {interest} and will take up {other} later.",
    ),
    template(
        Flavour::Post,
        true,
        PAPER,
        "{name} recruits {trade} for its {interest} group in {place}",
        "The {interest} group of {name} grows by {n} people this season. It looks for {level} among {trade} who know {place}.",
    ),
    template(
        Flavour::Open,
        true,
        OWN,
        "{name} offers {trade} in {place} a certificate course on {interest}",
        "A certificate course on {interest} begins at {name} in {place}. It is meant for {trade} and has {n} seats.",
    ),
    template(
        Flavour::Open,
        true,
        DAILY,
        "{name} holds an open day on {interest} for {trade} in {place}",
        "Teams of {name} show their work on {interest} at an open day in {place}, and {trade} are asked to come with questions on {other}.",
    ),
    template(
        Flavour::Report,
        true,
        PAPER,
        "{name} puts {sum} million dollars into {interest} in {place}",
        "{name} will spend {sum} million dollars on {interest} in {place}, the largest sum it has set aside for the field there. The decision also concerns {trade}.",
    ),
    template(
        Flavour::Report,
        true,
        DAILY,
        "{name} makes {place} the base of its work on {interest}",
        "Work on {interest} that {name} had spread over several sites moves to {place}. Local {trade} were told at a meeting with {n} team leads.",
    ),
    template(
        Flavour::Report,
        true,
        BLOG,
        "What {name} changed about {interest}, seen from {place}",
        "An independent look at {name} and {interest} by somebody who knows {place}. It lists {n} changes that {trade} will notice and two that concern {other}.",
    ),
    template(
        Flavour::Open,
        true,
        OWN,
        "{name} mentoring scheme on {interest} takes {n} {trade}",
        "{n} {trade} from {place} will be paired with staff of {name} who work on {interest}. The scheme is made for {level}.",
    ),
    template(
        Flavour::Open,
        false,
        HOST,
        "{place} conference on {interest} opens registration for {trade}",
        "The conference on {interest} and {other} returns to {place} with {n} sessions. One track is made for {trade}.",
    ),
    template(
        Flavour::Open,
        false,
        HOST,
        "Evening course on {interest} and {other} starts in {place}",
        "{host} begins an evening course on {interest} with {n} seats. The second half turns to {other}, and {trade} get seats first.",
    ),
    template(
        Flavour::Report,
        false,
        DAILY,
        "Researchers in {place} present new results on {interest}",
        "A group at {host} has presented results on {interest} that it worked on for {n} months. They matter for {other} too, and {trade} were in the audience.",
    ),
    template(
        Flavour::Open,
        false,
        PAPER,
        "Challenge on {interest} in {place} opens its entries",
        "Teams of up to {n} can enter a challenge on {interest} held in {place}. The tasks were set with {trade} in mind, and one of them is about {other}.",
    ),
    template(
        Flavour::Open,
        false,
        HOST,
        "Talks and open labs on {interest} come to {place} for a week",
        "For a week {host} opens its labs in {place} to everybody who follows {interest}. There are {n} talks, among them two on {other}.",
    ),
    template(
        Flavour::Open,
        false,
        BLOG,
        "A field guide to {interest} for {trade} in {place}",
        "Where to learn about {interest} in {place}, whom to ask, and which {n} meetings {trade} should not miss. The author also covers {other}.",
    ),
    template(
        Flavour::Open,
        false,
        HOST,
        "Grant for projects on {interest} opens in {place}",
        "{host} has {sum} thousand dollars for small projects on {interest} in {place}. Up to {n} are funded; {trade} and work on {other} come first.",
    ),
    template(
        Flavour::Open,
        false,
        DAILY,
        "Public lecture series on {interest} begins in {place}",
        "A series of {n} lectures on {interest} begins at {host} in {place}, with an evening on {other} and one for {trade}.",
    ),
];

pub(super) const OPEN_MIDDLES: [&str; 6] = [
    "About {sum} people are expected, and a second room has been added.",
    "Participants work in small groups and show what they made at the end.",
    "Earlier rounds in {place} were full within a week.",
    "There is no fee, and travel inside the city is paid back.",
    "Two afternoons are kept for questions about {interest} in practice.",
    "A panel reads every letter and answers within three weeks.",
];
pub(super) const OPEN_CLOSES: [&str; 4] = [
    "Applications close on {day}; the form is on the website of the organisers.",
    "Registration closes on {day}, and places go in order of arrival.",
    "Those who want to take part can register until {day}.",
    "The deadline is {day}; to apply, a short letter and a CV are enough.",
];
pub(super) const POST_MIDDLES: [&str; 5] = [
    "The pay follows the usual scale, and moving costs are covered.",
    "New staff spend their first weeks with an experienced colleague.",
    "Interviews are held in {place} and take half a day.",
    "The group has grown to {sum} people and wants to grow further.",
    "Shifts and home days are agreed within each team.",
];
pub(super) const POST_CLOSES: [&str; 3] = [
    "Applications close on {day}; candidates apply on the careers page of {name}.",
    "The vacancy is open until {day}, and interviews follow in the week after.",
    "To apply, candidates send a CV before {day}.",
];
pub(super) const REPORT_MIDDLES: [&str; 5] = [
    "First outcomes are expected within {n} months.",
    "Some {sum} people work on it already, most of them in {place}.",
    "A further step concerns {other} and is to be decided in autumn.",
    "The plan is larger than the one before it, and the figures stand in the annual report.",
    "Suppliers were told of the schedule in writing.",
];
pub(super) const REPORT_CLOSES: [&str; 3] = [
    "A public briefing for {trade} follows on {day}.",
    "People in {place} can register for a tour until {day}.",
    "The full text is to be published on {day}.",
];

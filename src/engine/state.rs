//! Phase states, computed: from what each phase would read now, and what it last read.

use super::{audit, sealing};
use crate::domain::{Digest, Digester, Phase, PhaseState};
use crate::workspace::{LabelChoice, Ledger, PhaseRecord, RequestState, Workspace, WorkspaceError};

/// Where one phase stands, and what it would read now.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub phase: Phase,
    pub state: PhaseState,
    /// `None`: an input is missing.
    pub input: Option<Digest>,
    pub record: Option<PhaseRecord>,
}

/// The states of all phases, in order. `live` is the phase whose job runs.
pub(super) fn standings(workspace: &Workspace, ledger: &Ledger, live: Option<Phase>) -> Result<Vec<Standing>, WorkspaceError> {
    let mut all: Vec<Standing> = Vec::new();
    for phase in Phase::ALL {
        let record = ledger.last_record(phase)?;
        let missing = upstream(phase).iter().find(|p| all[p.index()].state != PhaseState::Done);
        let input = match missing {
            Some(_) => None,
            None => Some(input_of(phase, workspace, ledger, &all)?),
        };
        let state = match (live == Some(phase), missing, &input, &record) {
            (true, ..) => PhaseState::Running,
            (_, Some(up), _, Some(_)) => PhaseState::Stale(format!("{up} changed since")),
            (_, Some(up), _, None) => PhaseState::Locked(format!("needs {up} to be done")),
            (_, None, Some(input), Some(r)) if r.input == *input => PhaseState::Done,
            (_, None, Some(input), record) => match waiting(phase, ledger, input, &all)? {
                Some(why) => PhaseState::NeedsApproval(why),
                None if record.is_some() => PhaseState::Stale("its inputs changed since".into()),
                None => PhaseState::Ready,
            },
            (_, None, None, _) => PhaseState::Locked("its inputs cannot be read".into()),
        };
        all.push(Standing { phase, state, input, record });
    }
    Ok(all)
}

/// What a phase takes from.
fn upstream(phase: Phase) -> &'static [Phase] {
    match phase {
        Phase::Profiles | Phase::Articles => &[],
        Phase::Distill => &[Phase::Profiles, Phase::Articles],
        Phase::Dataset => &[Phase::Distill],
        Phase::Train => &[Phase::Dataset],
        Phase::Validate => &[Phase::Train],
        Phase::Audit | Phase::Deploy => &[Phase::Validate],
    }
}

/// Digest of everything a phase reads: what its upstream made, its part of the recipe, its choices.
fn input_of(phase: Phase, workspace: &Workspace, ledger: &Ledger, earlier: &[Standing]) -> Result<Digest, WorkspaceError> {
    let (recipe, config) = (&workspace.recipe, &workspace.config);
    let seedling = config.student.base == "seedling";
    let output = |p: Phase| earlier[p.index()].record.as_ref().map_or_else(String::new, |r| r.output.as_str().to_owned());
    let mut d = Digester::new().field(phase.id());
    for up in upstream(phase) {
        d = d.field(output(*up));
    }
    d = match phase {
        Phase::Profiles | Phase::Articles => {
            let profiles = phase == Phase::Profiles;
            let name = if profiles { &recipe.data.profiles } else { &recipe.data.articles };
            let file = workspace.data_text(name)?.map(|(text, _)| text).unwrap_or_default();
            let select = serde_json::to_string(&(&config.select, config.seed)).unwrap_or_default();
            d.field(file).field(select).field(ledger.imported_digest(profiles)?.as_str())
        }
        Phase::Distill => {
            let rules = Digest::of_json(&(&recipe.scale, &recipe.bands, &recipe.depth, &recipe.teacher, recipe.student.think));
            // What does not change the answers (poll, batch size, cache) does not make the phase stale.
            let t = &config.teacher;
            let teacher = Digest::of_json(&(&t.provider, &t.model, &t.structured, &t.temperature, &t.effort));
            d = d.field(rules.as_str()).field(teacher.as_str());
            // What a reviewer sent back is asked once more.
            let returned = audit::returned(&audit::effects(ledger)?);
            if !returned.is_empty() {
                let again: Vec<_> = returned.iter().map(|(pair, r)| (pair, &r.again)).collect();
                d = d.field(Digest::of_json(&again).as_str());
            }
            // Without a teacher there is nothing to ask.
            if config.labels.takes_teacher() { d } else { d.field("imported labels only") }
        }
        Phase::Dataset => {
            let verdicts = audit::dataset_effects(workspace, ledger)?;
            let rules =
                Digest::of_json(&(&recipe.student, &recipe.data, &recipe.seedling.vocab_size, &recipe.seedling.run.order));
            d = d.field(rules.as_str()).field(Digest::of_json(&verdicts.rejected).as_str()).field(config.seed.to_le_bytes());
            if !verdicts.fixed.is_empty() {
                d = d.field(Digest::of_json(&verdicts.fixed).as_str());
            }
            for part in labels(workspace, ledger)? {
                d = d.field(part.as_str());
            }
            // Rows are as long as the base's tokenizer makes them.
            if seedling { d } else { d.field(&config.student.base).field(Digest::of_json(&recipe.train.max_tokens).as_str()) }
        }
        Phase::Train => {
            let rules = if seedling {
                Digest::of_json(&(&recipe.seedling, &config.student))
            } else {
                Digest::of_json(&(&recipe.train, &config.student, &config.train.deciding()))
            };
            d.field(rules.as_str()).field(config.seed.to_le_bytes())
        }
        Phase::Validate => {
            let rules = Digest::of_json(&(&recipe.sampling, &recipe.criteria, &recipe.sanity, &recipe.bands, &recipe.scale));
            d = d.field(rules.as_str()).field(output(Phase::Dataset)).field(config.seed.to_le_bytes());
            let scoring = &config.scoring;
            // Another runtime is another evaluation; how fast it is asked is not.
            match &scoring.server {
                Some(server) => d.field(Digest::of_json(&(server, &scoring.kind, &scoring.model)).as_str()),
                None => d,
            }
        }
        Phase::Audit => d.field(output(Phase::Distill)),
        Phase::Deploy => d.field(output(Phase::Train)),
    };
    Ok(d.finish())
}

/// Digests of the imported labels, the choice among them, and the seal, where there are any.
fn labels(workspace: &Workspace, ledger: &Ledger) -> Result<Vec<Digest>, WorkspaceError> {
    let mut parts: Vec<Digest> = ledger.labels_digest()?.into_iter().collect();
    let choice = &workspace.config.labels;
    if *choice != LabelChoice::default() {
        parts.push(Digest::of_json(choice));
    }
    parts.extend(sealing::standing(workspace, ledger)?);
    Ok(parts)
}

/// What a phase waits for from the operator, if it does.
fn waiting(phase: Phase, ledger: &Ledger, input: &Digest, earlier: &[Standing]) -> Result<Option<String>, WorkspaceError> {
    match phase {
        Phase::Distill => {
            let Some(plan) = ledger.plan_for(input)? else { return Ok(None) };
            let open = ledger.requests_in(&plan.digest, RequestState::Planned)?.len();
            let approved = ledger.approved_ceiling(&plan.digest)?.is_some();
            Ok((open > 0 && !approved).then(|| format!("{open} requests of plan {} wait for approval", plan.digest.short())))
        }
        Phase::Train => {
            let Some(dataset) = earlier[Phase::Dataset.index()].record.as_ref() else { return Ok(None) };
            let read = ledger.is_acknowledged(&dataset.output)?;
            Ok((!read).then(|| "the dataset's statistics wait to be acknowledged".to_owned()))
        }
        _ => Ok(None),
    }
}

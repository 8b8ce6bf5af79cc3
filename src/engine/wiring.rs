//! Where a line of `stratos.toml` becomes a working part: the teacher by its provider's name, the prices by their file.

use std::sync::Arc;
use std::time::Duration;

use super::job::Failure;
use crate::domain::one_line;
use crate::teacher::{self, PriceTable, RehearsalTeacher, Settings, Teacher};
use crate::workspace::{TeacherChoice, Workspace};

/// The workspace's teacher.
pub(super) fn teacher(workspace: &Workspace) -> Result<Box<dyn Teacher>, Failure> {
    teacher_named(workspace, None)
}

/// One of the workspace's teachers; `None`: the one of `[teacher]`, else the one of `[teachers.<name>]`.
pub(super) fn teacher_named(workspace: &Workspace, name: Option<&str>) -> Result<Box<dyn Teacher>, Failure> {
    built(workspace, choice(workspace, name)?)
}

/// What `stratos.toml` says of one of its teachers.
pub(super) fn choice<'a>(workspace: &'a Workspace, name: Option<&str>) -> Result<&'a TeacherChoice, Failure> {
    let config = &workspace.config;
    match name {
        None => Ok(&config.teacher),
        Some(name) => config.teachers.get(name).ok_or_else(|| unknown(workspace, name)),
    }
}

fn built(workspace: &Workspace, choice: &TeacherChoice) -> Result<Box<dyn Teacher>, Failure> {
    if choice.provider == "rehearsal" {
        let recipe = &workspace.recipe;
        let dir = workspace.state_dir("rehearsal")?;
        let rules = (recipe.depth.clone(), recipe.bands.clone(), recipe.student.think);
        return Ok(Box::new(RehearsalTeacher::new(&choice.model, rules, dir, choice.rehearsal_faults)?));
    }
    teacher::build(settings(choice)).map_err(|e| Failure::new(e.to_string(), "Mend the teacher in stratos.toml."))
}

/// The teacher that an earlier plan was made for, with the settings that `stratos.toml` has for it now.
pub(super) fn teacher_of(workspace: &Workspace, provider: &str, model: &str) -> Result<Arc<dyn Teacher>, Failure> {
    let config = &workspace.config;
    let all = std::iter::once(&config.teacher).chain(config.teachers.values());
    let fits = |c: &&TeacherChoice| c.provider == provider && c.model == model;
    let same_provider = || all.clone().find(|c| c.provider == provider).cloned();
    let choice = all.clone().find(fits).cloned().or_else(|| same_provider().map(|c| TeacherChoice { model: model.into(), ..c }));
    let choice =
        choice.unwrap_or_else(|| TeacherChoice { provider: provider.into(), model: model.into(), ..TeacherChoice::default() });
    Ok(Arc::from(built(workspace, &choice)?))
}

fn unknown(workspace: &Workspace, name: &str) -> Failure {
    let known: Vec<&str> = workspace.config.teachers.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "it names none".to_owned() } else { format!("it names {}", known.join(", ")) };
    Failure::new(
        format!("there is no teacher '{}' in stratos.toml; {known}", one_line(name, 40)),
        format!("Add a table [teachers.{}] with provider and model.", one_line(name, 40)),
    )
}

/// Where the main teacher's key would come from, in words; empty where none is needed. Only the environment is looked at: a
/// keyring may ask the person, and a view must not.
pub(super) fn key_place(workspace: &Workspace) -> String {
    let choice = &workspace.config.teacher;
    match teacher::keys::variable_set(&choice.provider, choice.key_env.as_deref()) {
        Ok(name) => format!("from {name}"),
        Err(Some(name)) => format!("{name} is not set; the keyring is asked"),
        Err(None) => String::new(),
    }
}

fn settings(choice: &TeacherChoice) -> Settings {
    Settings {
        provider: choice.provider.clone(),
        model: choice.model.clone(),
        base_url: choice.base_url.clone(),
        key_env: choice.key_env.clone(),
        // Found at the first call, not whenever a view asks which teacher there is.
        key: None,
        structured: choice.structured,
        cache: choice.cache,
        temperature: choice.temperature,
        effort: choice.effort.clone(),
        max_batch: choice.max_batch,
        // The range was checked when the file was read.
        poll: choice.poll_seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()),
        settle: choice.settle_seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()),
        concurrency: choice.concurrency,
    }
}

pub(super) fn prices(workspace: &Workspace) -> Result<PriceTable, Failure> {
    let text = workspace.data_text("prices.toml")?.map(|(text, _)| text).unwrap_or_default();
    Ok(PriceTable::from_toml(&text)?)
}

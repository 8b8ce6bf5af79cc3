//! The command line: one subcommand per phase, each a twin of something in the console. Parses and dispatches; the
//! work is the engine's.

mod admin;
mod articles;
mod audit;
mod bench;
mod compare;
mod dataset;
mod deploy;
mod distill;
mod doctor;
mod drift;
mod engine;
mod export;
mod frontier;
mod keys;
mod modelfile;
mod models;
mod phases;
mod profiles;
mod releases;
mod report;
mod runs;
mod sampler;
mod score;
mod serve;
mod tune;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use color_eyre::eyre::Result;

use crate::domain::{Phase, Usd};
use crate::engine::remote::{self, Found, RemoteError};
use crate::engine::{Command, Consent, EngineHandle, Errand, Reading};
use crate::headless::{self, Output};
use crate::tui;
use crate::workspace::{Workspace, is_sheltered};

/// From reader profiles and articles to a small relevance scorer whose numbers can be trusted.
#[derive(Debug, Parser)]
#[command(
    name = "stratos",
    version,
    about,
    after_help = "Without a subcommand the console opens on the workspace in this folder. Its engine works in the background: closing the\nconsole leaves a running job alone, and the next console finds it again."
)]
pub struct Cli {
    /// The workspace's folder
    #[arg(long, short = 'w', global = true, default_value = ".")]
    workspace: PathBuf,
    #[command(subcommand)]
    command: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a folder a workspace
    Init {
        dir: PathBuf,
        /// Take part with imported profiles and articles only
        #[arg(long)]
        imported_only: bool,
        /// The system it distils: a recipe by name
        #[arg(long)]
        recipe: Option<String>,
    },
    /// Open the console on the engine that works here; start none
    Attach,
    /// The engine in the background: look at it, end it
    #[command(subcommand)]
    Engine(engine::EngineAct),
    /// Run what is not done or stale, in order
    Run(RunArgs),
    /// Show where each phase stands
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Readers: list, show, edit, import
    #[command(subcommand)]
    Profiles(profiles::Profiles),
    /// Articles: list them, import a file
    #[command(subcommand)]
    Articles(phases::Articles),
    /// Distillation: plan, approve, run
    #[command(subcommand)]
    Distill(distill::Distill),
    /// Dataset: build, read the statistics, acknowledge them, look at a loss mask
    #[command(subcommand)]
    Dataset(dataset::Dataset),
    /// Train the student; every guard of the start says first what it saw
    Train(TrainArgs),
    /// Compare evaluation runs on their common rows: better, worse, or cannot tell
    Compare(runs::CompareRunsArgs),
    /// Write the report of an evaluation run: Markdown, and one HTML page that needs nothing else
    Report(report::ReportArgs),
    /// Evaluate the student, or any predictor on any rows; list stored runs
    Validate(validate::ValidateArgs),
    /// Think blocks: read them in a telling order, judge them, see what the verdicts add up to
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Release the trained student; export one
    Deploy(deploy::DeployArgs),
    /// Score articles for readers with the served student, or a server that [scoring] names
    Score(score::ScoreArgs),
    /// Score over HTTP: POST /v1/score, GET /healthz, GET /metrics; ends politely on SIGTERM
    Serve(serve::ServeArgs),
    /// Compute the metrics of a file of predictions
    Metrics(MetricsArgs),
    /// Train an adapter on a file of rows, outside any workspace
    Tune(tune::TuneArgs),
    /// Answer a file of rows with a student, outside any workspace
    Answer(tune::AnswerArgs),
    /// Figures of this machine, with a peer beside them
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Keys of paid teachers: where they come from; store or forget one in the OS keyring
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Models on disk: what one is, how it reads text
    #[command(subcommand)]
    Models(models::Models),
    /// What every guard says of this workspace, like a compiler; exit 1 where one stops
    Doctor(doctor::DoctorArgs),
    /// Guards: what they saw, and overriding one with a written reason
    #[command(subcommand)]
    Guards(admin::Guards),
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Approve what costs nothing (or no more than --ceiling) and acknowledge the dataset's statistics
    #[arg(long)]
    yes: bool,
    /// With --yes: approve plans that will usually (95 %) stay below this many dollars, and never spend more in all
    #[arg(long, requires = "yes")]
    ceiling: Option<Usd>,
    /// Last phase to run
    #[arg(long, default_value = "deploy")]
    to: Phase,
    /// JSON lines instead of progress bars
    #[arg(long)]
    json: bool,
}

/// Flags of a single phase.
#[derive(Debug, Args)]
pub struct PhaseArgs {
    /// Run it again even if it is done
    #[arg(long)]
    again: bool,
    /// JSON lines instead of progress bars
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    phase: PhaseArgs,
    /// Only the proofs, 20 steps on a copy and three answers: pace, memory, whether it learns. Trains and saves nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// JSON lines of `{"article_id","profile_id","truth","predicted"}`; predicted null = failure
    file: PathBuf,
    /// Bands of this recipe: a name, or a file
    #[arg(long, default_value = "stratos-v19", conflicts_with = "edges")]
    recipe: String,
    /// Bands by their lower edges, e.g. 0,2,5.5,7,9
    #[arg(long, value_delimiter = ',')]
    edges: Option<Vec<f64>>,
    #[arg(long)]
    json: bool,
}

/// Reports and panic messages with their place, without the terminal's state being touched from here.
pub fn install_hooks() -> Result<()> {
    color_eyre::config::HookBuilder::default().display_env_section(false).install()?;
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_sheltered() {
            report(panic);
        }
    }));
    Ok(())
}

/// Runs what was asked.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    let root = cli.workspace;
    match cli.command {
        None => console(&root, false),
        Some(Act::Attach) => console(&root, true),
        Some(Act::Engine(act)) => engine::engine(&open(&root)?, &act),
        Some(Act::Init { dir, imported_only, recipe }) => admin::init(&dir, imported_only, recipe),
        Some(Act::Run(args)) => {
            let consent = if args.yes { Consent::yes(args.ceiling) } else { Consent::default() };
            headless::conduct(&open(&root)?, Command::Run { to: args.to, consent }, Output::of(args.json))
        }
        Some(Act::Status { json }) => admin::status(&open(&root)?, json),
        Some(Act::Profiles(act)) => profiles::profiles(&open(&root)?, act),
        Some(Act::Articles(act)) => phases::articles(&open(&root)?, act),
        Some(Act::Distill(act)) => distill::distill(&open(&root)?, act),
        Some(Act::Dataset(act)) => dataset::dataset(&open(&root)?, act),
        Some(Act::Train(args)) if args.dry_run => {
            let errand = Command::Errand { errand: Errand::DryRun };
            let (complete, end) = headless::conduct_and_look(&open(&root)?, errand, Output::of(args.phase.json))?;
            if !args.phase.json {
                headless::news(&end);
            }
            Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
        Some(Act::Train(args)) => phases::single(&open(&root)?, Phase::Train, &args.phase),
        Some(Act::Compare(args)) => runs::compare(&*open(&root)?, &args),
        Some(Act::Report(args)) => report::report(&*open(&root)?, &args),
        Some(Act::Validate(args)) => validate::validate(&open(&root)?, &args),
        Some(Act::Audit(act)) => audit::audit(&open(&root)?, act),
        Some(Act::Deploy(args)) => deploy::deploy(&root, &args),
        Some(Act::Score(args)) => score::score(&open(&root)?, args),
        Some(Act::Serve(args)) => serve::serve(&open(&root)?, &args),
        Some(Act::Metrics(args)) => admin::metrics(&root, &args.file, &args.recipe, args.edges.as_deref(), args.json),
        Some(Act::Tune(args)) => tune::tune(&args).map(|()| ExitCode::SUCCESS),
        Some(Act::Answer(args)) => tune::answer(&args).map(|()| ExitCode::SUCCESS),
        Some(Act::Bench(act)) => bench::run(&act).map(|()| ExitCode::SUCCESS),
        Some(Act::Keys(act)) => keys::keys(act),
        Some(Act::Models(act)) => models::models(&root, act),
        Some(Act::Doctor(args)) => match args.explained() {
            Some(id) => doctor::explain(id, args.json()),
            None => doctor::doctor(&*open(&root)?, &args),
        },
        Some(Act::Guards(act)) => admin::guards(&open(&root)?, act),
    }
}

fn open(root: &std::path::Path) -> Result<Arc<Workspace>> {
    Ok(Workspace::open(root)?)
}

/// The console over the engine in the background. `attach`: over the one there is, and no other.
fn console(root: &std::path::Path, attach: bool) -> Result<ExitCode> {
    let workspace = open(root)?;
    headless::log_to_file(&workspace)?;
    let theme = tui::theme_for(
        &workspace.config.theme,
        crate::workspace::shipped_theme(workspace.root(), &workspace.config.theme)?.as_deref(),
    )?;
    let keymap = tui::keymap::Keymap::new(&workspace.config.keys)?;
    let handle = if attach { attach_only(&workspace)? } else { remote::attach_or_start(&workspace)? };
    let session = workspace.state_dir("")?.join("console.json");
    let reading = Reading::start(&workspace)?;
    let root = root.to_owned();
    let reconnect = tui::Reconnect::new(move || way(&root).map_err(|error| error.to_string()));
    let mouse = workspace.config.mouse;
    let options = tui::TuiOptions { theme, keymap, mouse, session: Some(session), reconnect: Some(reconnect) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(tui::run(handle, reading, options));
    // Who waits for a new engine while the operator quits is not waited for.
    runtime.shutdown_background();
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// The way to the next engine. The workspace is read again: its settings may be why the last one is gone.
fn way(root: &std::path::Path) -> Result<tui::Way> {
    let workspace = open(root)?;
    Ok((remote::attach_or_start(&workspace)?, Reading::start(&workspace)?))
}

fn attach_only(workspace: &Workspace) -> Result<EngineHandle, RemoteError> {
    match remote::find(workspace)? {
        Found::Attached(handle) => Ok(handle),
        // There was one, and it only made room for one of this build.
        Found::GaveWay => remote::attach_or_start(workspace),
        Found::Nothing => Err(RemoteError::NoEngine),
    }
}

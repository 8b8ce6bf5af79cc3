//! `serve`: scores over HTTP, until a signal ends it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use color_eyre::eyre::Result;
use serde_json::json;

use crate::engine::DeskOptions;
use crate::headless::{clean, say};
use crate::serve::{Access, Limits, Server, TOKEN_VARIABLE, open_desk};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
#[command(
    after_help = "Clients send the token that stands in STRATOS_TOKEN: authorization: Bearer …\nExit status: 0 it was ended and finished what it had taken; 1 an error; 130 a second signal cut it short."
)]
pub struct ServeArgs {
    /// Where it listens; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8484")]
    address: SocketAddr,
    /// Let everybody on this machine ask
    #[arg(long)]
    no_token: bool,
    /// Requests that may wait or be answered; one more gets 429
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    queue: u32,
    /// Scores that are computed at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Scores that one request may ask for
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_articles: u32,
    /// Largest body, in KiB
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_body: u32,
    /// Connections at once
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Seconds from a request's beginning to its scores
    #[arg(long, default_value_t = 120.0, value_parser = seconds)]
    timeout: f64,
    /// Seconds for a request's head, and then for its body
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    patience: f64,
    /// Let the untuned base of student.base answer, whatever is released
    #[arg(long)]
    base: bool,
    /// Nothing is taken from the cache
    #[arg(long)]
    fresh: bool,
    /// Every answer by the think pass, whatever [scoring.cascade] says
    #[arg(long)]
    single_pass: bool,
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is no number of seconds"))?;
    if (0.01..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("it must lie between 0.01 and 86400".into()) }
}

pub fn serve(workspace: &Arc<Workspace>, args: &ServeArgs) -> Result<ExitCode> {
    let token = std::env::var(TOKEN_VARIABLE).ok();
    let access = Access::new(token.as_deref(), args.no_token, args.address)?;
    let patience = Duration::from_secs_f64(args.patience);
    let limits = Limits {
        queue: args.queue as usize,
        batch: args.batch as usize,
        max_articles: args.max_articles as usize,
        max_body: args.max_body as usize * 1024,
        connections: args.connections as usize,
        head: patience,
        body: patience,
        answer: Duration::from_secs_f64(args.timeout),
    };
    let options = DeskOptions { base: args.base, fresh: args.fresh, single_pass: args.single_pass };
    let server = Server::start(args.address, access, limits, open_desk(Arc::clone(workspace), options))?;
    let about = server.about();
    if args.json {
        let (model, runtime) = (&about.model, &about.runtime);
        say(&json!({"serving": format!("http://{}", server.address()), "model": model, "runtime": runtime}).to_string());
    } else {
        say(&clean(&format!("serving http://{}/v1/score with {} ({})", server.address(), about.model, about.runtime)));
    }
    let whole = server.run()?;
    if args.json {
        say(&json!({"ended": true, "finished": whole}).to_string());
    } else {
        say(if whole { "ended; everything that was taken is answered" } else { "cut short" });
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(130) })
}

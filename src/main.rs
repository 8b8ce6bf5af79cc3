//! The `stratos` binary: parse, install hooks, run a front end.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = stratos::cli::Cli::parse();
    if let Err(error) = stratos::cli::install_hooks() {
        eprintln!("stratos: {error}");
        return ExitCode::FAILURE;
    }
    match stratos::cli::dispatch(arguments) {
        Ok(code) => code,
        Err(report) => {
            eprintln!("error: {report:#}");
            ExitCode::FAILURE
        }
    }
}

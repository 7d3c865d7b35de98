//! `posthaste completion`: what a shell has to know to complete our commands.

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell as Form, generate};

use super::Cli;
use super::output::print_bytes;

/// What comes behind the flags in the help.
pub(super) const HELP: &str = "\
To have it in every shell that is started from now on:
  bash  posthaste completion bash > ~/.local/share/bash-completion/completions/posthaste
  zsh   posthaste completion zsh > ~/.zfunc/_posthaste    (with fpath+=~/.zfunc before compinit)
  fish  posthaste completion fish > ~/.config/fish/completions/posthaste.fish";

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(super) struct CompletionArgs {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(args: &CompletionArgs) -> anyhow::Result<()> {
    let form = match args.shell {
        Shell::Bash => Form::Bash,
        Shell::Zsh => Form::Zsh,
        Shell::Fish => Form::Fish,
    };
    let mut script = Vec::new();
    generate(form, &mut Cli::command(), "posthaste", &mut script);
    Ok(print_bytes(&script)?)
}

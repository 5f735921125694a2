//! `datastream completions`: what a shell needs to complete this command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use datastream_service::stdout;

use crate::Cli;

const EXAMPLES: &str = "Examples:
  mkdir -p ~/.local/share/bash-completion/completions &&
    datastream completions bash > ~/.local/share/bash-completion/completions/datastream
  datastream completions zsh > \"${fpath[1]}/_datastream\"
  datastream completions fish > ~/.config/fish/completions/datastream.fish";

/// Options of `datastream completions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: CompletionsArgs) -> anyhow::Result<()> {
    stdout::write(&script(args.shell))
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "datastream", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_completion_script_of_every_shell_has_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            assert!(
                script.contains("publish") && script.contains("seq-start"),
                "{shell}"
            );
        }
    }
}

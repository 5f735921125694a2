//! `datastream man`: manual pages, made from the command line itself.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_mangen::Man;

use datastream_service::stdout;

use crate::Cli;

const EXAMPLES: &str = "Examples:
  datastream man | man -l -
  datastream man --dir ~/.local/share/man/man1";

/// Options of `datastream man`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// The folder for one page a command; it must exist.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Prints the page of `datastream`, or writes all pages.
///
/// # Errors
/// Standard output or the folder cannot be written.
pub fn run(args: ManArgs) -> anyhow::Result<()> {
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        return stdout::write(&page);
    };
    clap_mangen::generate_to(Cli::command(), &dir)
        .with_context(|| format!("cannot write manual pages into {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page_with_its_examples() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Some(folder.path().to_owned());
        run(ManArgs { dir }).unwrap();
        for command in Cli::command().get_subcommands() {
            let page = folder
                .path()
                .join(format!("datastream-{}.1", command.get_name()));
            let page = std::fs::read_to_string(page).unwrap();
            assert!(page.contains("Example"), "{}", command.get_name());
        }
        let main = std::fs::read_to_string(folder.path().join("datastream.1")).unwrap();
        assert!(main.contains("datastream\\-publish(1)"), "{main}");
    }

    #[test]
    fn writing_manual_pages_into_a_missing_folder_names_the_folder() {
        let dir = Some(PathBuf::from("/nonexistent/man1"));
        let error = run(ManArgs { dir }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write manual pages into /nonexistent/man1"
        );
    }
}

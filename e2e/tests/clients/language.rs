//! The languages that have a library, and how their example programs are run.

use std::process::{Command, Stdio};

use datastream_e2e::{checkout, own_program};
use tokio::sync::OnceCell;

use crate::process::Process;

/// Seconds in which what a program needs is installed and compiled, the first time.
const PREPARATION: u32 = 600;
/// The exit code of a program that was given no arguments.
const USAGE: i32 = 2;

/// A language that has a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    TypeScript,
    Python,
}

impl Language {
    const ALL: [Self; 3] = [Self::Rust, Self::TypeScript, Self::Python];

    /// Those that the environment names; all if it names none.
    pub(crate) fn wanted() -> Vec<Self> {
        let Ok(names) = std::env::var("DATASTREAM_CLIENTS") else {
            return Self::ALL.to_vec();
        };
        let of = |name: &str| {
            Self::ALL
                .into_iter()
                .find(|language| language.name() == name)
        };
        let found = names.split(',').map(|name| {
            of(name).unwrap_or_else(|| panic!("DATASTREAM_CLIENTS: there is no library for {name}"))
        });
        found.collect()
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::TypeScript => "typescript",
            Self::Python => "python",
        }
    }

    /// The tools that its program is built and run with, each as a command that succeeds where it is.
    const fn tools(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Rust => &[],
            Self::TypeScript => &[
                &["node", "--version"],
                &["npm", "--version"],
                &["flock", "--version"],
            ],
            Self::Python => &[&["python3", "-m", "venv", "--help"]],
        }
    }

    /// The program `follow` of its library.
    pub(crate) fn program(self) -> String {
        match self {
            Self::Rust => {
                let path = own_program("examples/follow").unwrap_or_else(|_| {
                    panic!("rust: run `cargo build -p datastream-client --examples` first")
                });
                path.display().to_string()
            }
            Self::TypeScript => checkout("clients/typescript/examples/follow"),
            Self::Python => checkout("clients/python/examples/follow"),
        }
    }

    /// Makes sure that its program can be run: most build themselves the first time. Fails if a tool is missing.
    pub(crate) async fn prepare(self) {
        static PREPARED: [OnceCell<()>; 3] = [const { OnceCell::const_new() }; 3];
        let prepared = PREPARED[self as usize].get_or_init(|| async {
            for tool in self.tools() {
                let mut command = Command::new(tool[0]);
                command.args(&tool[1..]).stdout(Stdio::null());
                let works = command.stderr(Stdio::null()).status();
                assert!(
                    works.is_ok_and(|status| status.success()),
                    "{}: `{}` cannot be run: install it (scripts/install.sh does)",
                    self.name(),
                    tool.join(" ")
                );
            }
            let program = [self.program()];
            let process = Process::start(&program, PREPARATION);
            let ended = process.ended_within(PREPARATION).await;
            assert_eq!(
                ended.code,
                Some(USAGE),
                "{}: its program tells how it is used: {:?}",
                self.name(),
                ended.notes
            );
        });
        prepared.await;
    }
}

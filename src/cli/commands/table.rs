//! A list of commands: what clap reads and what runs them, a line a command.

/// Makes an enum of commands whose flags are spelled out only when the command
/// was typed, with a `run` that gives each its turn. A variant names the type
/// of its flags, and after `=>` the verb, where that isn't `run`.
macro_rules! commands {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident {
            $(
                $(#[$about:meta])*
                $variant:ident($args:ty) $(=> $verb:ident)?,
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, clap::Subcommand)]
        #[command(defer = true)]
        $visibility enum $name {
            $(
                $(#[$about])*
                $variant(crate::cli::flags::Flags<$args>),
            )*
        }

        impl $name {
            /// Runs it.
            $visibility fn run(
                self,
                context: &crate::cli::context::Context,
            ) -> anyhow::Result<crate::cli::exit::Exit> {
                match self {
                    $( Self::$variant(flags) => commands!(@run flags.0, context $(, $verb)?), )*
                }
            }
        }
    };
    (@run $flags:expr, $context:expr) => {
        $flags.run($context)
    };
    (@run $flags:expr, $context:expr, $verb:ident) => {
        $flags.$verb($context)
    };
}

pub(super) use commands;

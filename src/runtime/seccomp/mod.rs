//! System call filters: Docker's default policy and profiles in Docker's form,
//! compiled for the kernel. Pure but for the kernel's version.

mod compile;
mod docker;
mod numbers;
mod policy;
mod profile;

use crate::model::{ProcessSpec, Seccomp};
use crate::runtime::error::{Error, Step};
use crate::sys::features;
use crate::sys::seccomp::{self, INSTRUCTIONS_MAX, Instruction};
use numbers::Arch;
use profile::Target;

/// A filter that is ready to be installed.
#[derive(Debug)]
pub(crate) struct Filter {
    instructions: Vec<Instruction>,
    flags: u32,
}

/// Makes the filter that a process asks for.
pub(crate) fn filter(process: &ProcessSpec) -> Result<Option<Filter>, Error> {
    let step = "seccomp profile";
    let policy = match &process.seccomp {
        Seccomp::Unconfined => None,
        Seccomp::Default => Some(docker::policy(process.capabilities)),
        Seccomp::Profile(text) => {
            let target = Target {
                capabilities: process.capabilities,
                kernel: features::kernel_version(),
            };
            profile::parse(text, target).map_err(|error| Error::because(step, error.to_string()))?
        }
    };
    let Some(policy) = policy else {
        return Ok(None);
    };
    let instructions = compile::compile(&policy, Arch::native());
    if instructions.len() > INSTRUCTIONS_MAX {
        return Err(Error::because(step, "it is too long for the kernel"));
    }
    Ok(Some(Filter {
        instructions,
        flags: policy.flags,
    }))
}

impl Filter {
    /// Puts it on the calling thread, which can't take it off again.
    pub(crate) fn install(&self) -> Result<(), Error> {
        seccomp::install(&self.instructions, self.flags).step(|| "seccomp filter".to_owned())
    }
}

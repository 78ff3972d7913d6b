//! System call filters: Docker's default policy and profiles in Docker's form,
//! compiled for the kernel. Pure but for the kernel's version.

mod compile;
mod docker;
mod numbers;
mod policy;
mod profile;

use std::sync::{Arc, OnceLock};

use crate::model::{ProcessSpec, Seccomp};
use crate::runtime::default_capabilities;
use crate::runtime::error::{Error, Step};
use crate::sys::features;
use crate::sys::seccomp::{self, INSTRUCTIONS_MAX, Instruction};
use numbers::Arch;
use policy::Policy;
use profile::Target;

/// A filter that is ready to be installed.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    instructions: Arc<[Instruction]>,
    flags: u32,
}

/// The filter of processes with the usual capabilities, once it was prepared.
static USUAL: OnceLock<(u64, Filter)> = OnceLock::new();

/// Makes the filter that most containers want, which takes a quarter of a
/// millisecond, for the processes that are cloned from this one.
pub fn prepare() {
    let capabilities = default_capabilities();
    if let Ok(filter) = compiled(&docker::policy(capabilities)) {
        let _ = USUAL.set((capabilities, filter));
    }
}

/// Makes the filter that a process asks for.
pub(crate) fn filter(process: &ProcessSpec) -> Result<Option<Filter>, Error> {
    filter_for(&process.seccomp, process.capabilities)
}

fn filter_for(wanted: &Seccomp, capabilities: u64) -> Result<Option<Filter>, Error> {
    if let (Seccomp::Default, Some((usual, filter))) = (wanted, USUAL.get())
        && *usual == capabilities
    {
        return Ok(Some(filter.clone()));
    }
    let policy = match wanted {
        Seccomp::Unconfined => None,
        Seccomp::Default => Some(docker::policy(capabilities)),
        Seccomp::Profile(text) => {
            let target = Target {
                capabilities,
                kernel: features::kernel_version(),
            };
            profile::parse(text, target).map_err(|error| Error::because(STEP, error.to_string()))?
        }
    };
    policy.map(|policy| compiled(&policy)).transpose()
}

const STEP: &str = "seccomp profile";

fn compiled(policy: &Policy) -> Result<Filter, Error> {
    let instructions = compile::compile(policy, Arch::native());
    if instructions.len() > INSTRUCTIONS_MAX {
        return Err(Error::because(STEP, "it is too long for the kernel"));
    }
    Ok(Filter {
        instructions: instructions.into(),
        flags: policy.flags,
    })
}

impl Filter {
    /// Puts it on the calling thread, which can't take it off again.
    pub(crate) fn install(&self) -> Result<(), Error> {
        seccomp::install(&self.instructions, self.flags).step(|| "seccomp filter".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_filter_is_the_one_that_would_be_made() {
        let made = |capabilities| {
            let filter = filter_for(&Seccomp::Default, capabilities);
            filter.unwrap().unwrap().instructions
        };
        let usual = compiled(&docker::policy(default_capabilities())).unwrap();
        let all = made(u64::MAX);
        prepare();
        assert_eq!(made(default_capabilities()), usual.instructions);
        assert_eq!(made(u64::MAX), all);
        assert_ne!(usual.instructions, all);
    }
}

//! Ends a command with docker's exit code when the user breaks it off.
//!
//! A command that waits for signals itself takes them over with
//! [`take_over`]; until then, and in commands that never do, SIGINT and SIGTERM
//! end the process with one code and without a word.

use std::mem::MaybeUninit;

/// What a command that was broken off ends with.
const INTERRUPTED: i32 = 130;
const SIGNALS: [i32; 2] = [libc::SIGINT, libc::SIGTERM];

extern "C" fn end(_signal: libc::c_int) {
    // SAFETY: ends the process; allowed in a handler.
    unsafe { libc::_exit(INTERRUPTED) }
}

/// From now on SIGINT and SIGTERM end the process with 130, SIGINT also when a
/// shell without job control started it with that signal ignored.
pub fn end_on_interrupts() {
    for signal in SIGNALS {
        if signal == libc::SIGINT || action(signal) == Some(libc::SIG_DFL) {
            set(signal, end as *const () as libc::sighandler_t);
        }
    }
}

/// Leaves both signals to handlers that the caller registers next, which would
/// call the one before them, too.
pub fn take_over() {
    for signal in SIGNALS {
        if action(signal) == Some(end as *const () as libc::sighandler_t) {
            set(signal, libc::SIG_DFL);
        }
    }
}

fn action(signal: i32) -> Option<libc::sighandler_t> {
    let mut old = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no new action is read; the old one is written whole when it says so.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) };
    // SAFETY: written by the call, which succeeded.
    (result == 0).then(|| unsafe { old.assume_init() }.sa_sigaction)
}

fn set(signal: i32, handler: libc::sighandler_t) {
    // SAFETY: all zero is an action with the default handler, no flags and an empty mask.
    let mut new: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    new.sa_sigaction = handler;
    // SAFETY: reads one whole action whose handler only ends the process; the
    // old one isn't asked for. The two signals can't be refused.
    unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, ExitStatus, Stdio};

    use super::*;

    /// How this test's own program ends when it runs `part` of itself.
    fn ends(part: &str) -> ExitStatus {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sys::interrupt::tests::in_a_process_of_its_own"])
            .env("RCOMPOSE_TEST_PART", part)
            .stdout(Stdio::null())
            .status()
            .unwrap()
    }

    #[test]
    fn in_a_process_of_its_own() {
        let Ok(part) = std::env::var("RCOMPOSE_TEST_PART") else {
            return;
        };
        end_on_interrupts();
        let signal = if part == "terminated" {
            libc::SIGTERM
        } else {
            libc::SIGINT
        };
        if part == "taken" {
            take_over();
        }
        // SAFETY: a signal to this very process.
        unsafe { libc::kill(libc::getpid(), signal) };
        // The kernel may give it to another thread a moment later.
        std::thread::park();
    }

    #[test]
    fn both_signals_end_with_one_code_until_they_are_taken_over() {
        assert_eq!(ends("interrupted").code(), Some(130));
        assert_eq!(ends("terminated").code(), Some(130));
        assert_eq!(ends("taken").signal(), Some(libc::SIGINT));
    }
}

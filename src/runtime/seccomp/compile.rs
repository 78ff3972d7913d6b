//! A policy as a program for the kernel's filter machine.
//!
//! For each instruction set the numbers are cut into ranges with the same
//! verdict and found by halving, so that a call costs a handful of
//! instructions wherever it stands. A call that is newer than the table is
//! "not there" rather than forbidden, so that programs fall back.

use crate::runtime::seccomp::docker::ENOSYS;
use crate::runtime::seccomp::numbers::Arch;
use crate::runtime::seccomp::policy::{Action, Compare, Condition, Policy, Rule};
use crate::sys::seccomp::Instruction;

// Operations of classic BPF (linux/bpf_common.h).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

// Places in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Set in the numbers of the x32 ABI, which hardly any kernel has.
const X32_BIT: u32 = 0x4000_0000;

/// Compiles a policy for the instruction sets of this machine.
#[must_use]
pub(crate) fn compile(policy: &Policy, arches: &[Arch]) -> Vec<Instruction> {
    let mut code = vec![load(ARCH)];
    for &arch in arches {
        let mut section = vec![load(NUMBER)];
        section.extend(search(&ranges(policy, arch)));
        code.push(step(JUMP_EQUAL, arch.audit_number(), 1, 0));
        code.push(jump(section.len()));
        code.extend(section);
    }
    code.push(give(Action::Errno(ENOSYS)));
    code
}

/// Calls from a number on, up to the next range, with one verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    first: u32,
    verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Plain(Action),
    /// Rules to try in turn, then the default.
    Conditional(Vec<(Vec<Condition>, Action)>, Action),
}

fn ranges(policy: &Policy, arch: Arch) -> Vec<Range> {
    let known = arch.last() + 1;
    let mut verdicts = vec![Verdict::Plain(policy.default); usize::try_from(known).unwrap_or(0)];
    let (plain, conditional): (Vec<&Rule>, Vec<&Rule>) = policy
        .rules
        .iter()
        .partition(|rule| rule.conditions.is_empty());
    // Rules without conditions are laid down last, over the others.
    for rule in conditional.into_iter().chain(plain) {
        let Some(verdict) = arch
            .number(&rule.name)
            .and_then(|number| verdicts.get_mut(usize::try_from(number).ok()?))
        else {
            continue;
        };
        match verdict {
            _ if rule.conditions.is_empty() => *verdict = Verdict::Plain(rule.action),
            Verdict::Plain(_) => {
                let tries = vec![(rule.conditions.clone(), rule.action)];
                *verdict = Verdict::Conditional(tries, policy.default);
            }
            Verdict::Conditional(tries, _) => tries.push((rule.conditions.clone(), rule.action)),
        }
    }
    let mut ranges: Vec<Range> = Vec::new();
    for (first, verdict) in (0..).zip(verdicts) {
        if ranges.last().is_none_or(|range| range.verdict != verdict) {
            ranges.push(Range { first, verdict });
        }
    }
    let newer = match policy.default {
        // A policy that allows what it doesn't name allows what is newer too.
        Action::Allow | Action::Log => policy.default,
        _ => Action::Errno(ENOSYS),
    };
    for (first, action) in [(known, newer), (X32_BIT, Action::Errno(ENOSYS))] {
        ranges.push(Range {
            first,
            verdict: Verdict::Plain(action),
        });
    }
    ranges
}

/// Halves the ranges until one is left. The number is in the accumulator.
fn search(ranges: &[Range]) -> Vec<Instruction> {
    match ranges {
        [] => Vec::new(),
        [range] => leaf(&range.verdict),
        ranges => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let first = high.first().map_or(0, |range| range.first);
            let (low, high) = (search(low), search(high));
            let mut code = branch(first, low.len());
            code.extend(low);
            code.extend(high);
            code
        }
    }
}

/// Goes on when the number is below `first`, else `distance` further.
fn branch(first: u32, distance: usize) -> Vec<Instruction> {
    match u8::try_from(distance) {
        Ok(distance) => vec![step(JUMP_AT_LEAST, first, distance, 0)],
        // Conditional jumps reach 255 instructions only.
        Err(_) => vec![step(JUMP_AT_LEAST, first, 0, 1), jump(distance)],
    }
}

fn leaf(verdict: &Verdict) -> Vec<Instruction> {
    match verdict {
        Verdict::Plain(action) => vec![give(*action)],
        Verdict::Conditional(tries, default) => {
            let mut code = Vec::new();
            for (conditions, action) in tries {
                let mut attempt: Vec<Instruction> = conditions.iter().flat_map(check).collect();
                attempt.push(give(*action));
                aim(&mut attempt);
                code.extend(attempt);
            }
            code.push(give(*default));
            code
        }
    }
}

/// Marks a jump to the next attempt, until `aim` knows how far that is.
const NEXT: u8 = u8::MAX;

/// One condition: goes on when it holds, jumps to `NEXT` when not.
fn check(condition: &Condition) -> Vec<Instruction> {
    let at = ARGUMENTS + 8 * condition.index;
    let (low, high) = if cfg!(target_endian = "little") {
        (load(at), load(at + 4))
    } else {
        (load(at + 4), load(at))
    };
    let halves = |value: u64| {
        let high = u32::try_from(value >> 32).unwrap_or_default();
        (high, u32::try_from(value & 0xffff_ffff).unwrap_or_default())
    };
    let (value_high, value_low) = halves(condition.value);
    // `low` decides when the upper halves are equal.
    let ordered = |upper_decides_yes: bool, lower: Instruction| {
        let unequal = if upper_decides_yes {
            // Greater: past the rest. Not equal, so less: no.
            [
                step(JUMP_GREATER, value_high, 3, 0),
                step(JUMP_EQUAL, value_high, 0, NEXT),
            ]
        } else {
            [
                step(JUMP_GREATER, value_high, NEXT, 0),
                step(JUMP_EQUAL, value_high, 0, 2),
            ]
        };
        vec![high, unequal[0], unequal[1], low, lower]
    };
    match condition.op {
        Compare::Equal => vec![
            high,
            step(JUMP_EQUAL, value_high, 0, NEXT),
            low,
            step(JUMP_EQUAL, value_low, 0, NEXT),
        ],
        Compare::Unequal => vec![
            high,
            step(JUMP_EQUAL, value_high, 0, 2),
            low,
            step(JUMP_EQUAL, value_low, NEXT, 0),
        ],
        Compare::MaskedEqual => {
            let (wanted_high, wanted_low) = halves(condition.value_two);
            vec![
                high,
                step(AND, value_high, 0, 0),
                step(JUMP_EQUAL, wanted_high, 0, NEXT),
                low,
                step(AND, value_low, 0, 0),
                step(JUMP_EQUAL, wanted_low, 0, NEXT),
            ]
        }
        Compare::Greater => ordered(true, step(JUMP_GREATER, value_low, 0, NEXT)),
        Compare::AtLeast => ordered(true, step(JUMP_AT_LEAST, value_low, 0, NEXT)),
        Compare::Less => ordered(false, step(JUMP_AT_LEAST, value_low, NEXT, 0)),
        Compare::AtMost => ordered(false, step(JUMP_GREATER, value_low, NEXT, 0)),
    }
}

/// Gives the marked jumps of an attempt their distance: to its end.
fn aim(attempt: &mut [Instruction]) {
    let end = attempt.len();
    for (at, instruction) in attempt.iter_mut().enumerate() {
        let distance = u8::try_from(end - at - 1).unwrap_or(NEXT);
        let is_jump = [JUMP_EQUAL, JUMP_GREATER, JUMP_AT_LEAST].contains(&instruction.code);
        if is_jump && instruction.on_true == NEXT {
            instruction.on_true = distance;
        }
        if is_jump && instruction.on_false == NEXT {
            instruction.on_false = distance;
        }
    }
}

fn load(at: u32) -> Instruction {
    step(LOAD, at, 0, 0)
}

fn give(action: Action) -> Instruction {
    step(RETURN, action.value(), 0, 0)
}

fn jump(distance: usize) -> Instruction {
    step(JUMP, u32::try_from(distance).unwrap_or(u32::MAX), 0, 0)
}

fn step(code: u16, operand: u32, on_true: u8, on_false: u8) -> Instruction {
    Instruction {
        code,
        on_true,
        on_false,
        operand,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::seccomp::docker;
    use crate::sys::caps;
    use crate::sys::seccomp::INSTRUCTIONS_MAX;

    /// Runs a filter as the kernel would; gives its value and its steps.
    fn run(code: &[Instruction], arch: u32, number: u32, arguments: &[u64; 6]) -> (u32, usize) {
        let mut data = vec![number, arch, 0, 0];
        for argument in arguments {
            data.push(u32::try_from(argument & 0xffff_ffff).unwrap());
            data.push(u32::try_from(argument >> 32).unwrap());
        }
        let (mut at, mut accumulator, mut steps) = (0, 0, 0);
        loop {
            let step = code[at];
            at += 1;
            steps += 1;
            let truth = match step.code {
                LOAD => {
                    accumulator = data[usize::try_from(step.operand).unwrap() / 4];
                    continue;
                }
                AND => {
                    accumulator &= step.operand;
                    continue;
                }
                JUMP => {
                    at += usize::try_from(step.operand).unwrap();
                    continue;
                }
                RETURN => return (step.operand, steps),
                JUMP_EQUAL => accumulator == step.operand,
                JUMP_GREATER => accumulator > step.operand,
                JUMP_AT_LEAST => accumulator >= step.operand,
                code => panic!("operation {code:#x}"),
            };
            at += usize::from(if truth { step.on_true } else { step.on_false });
        }
    }

    const X86: [Arch; 2] = [Arch::X86_64, Arch::X86];

    fn docker(capabilities: u64) -> Vec<Instruction> {
        compile(&docker::policy(capabilities), &X86)
    }

    fn verdict(code: &[Instruction], arch: Arch, name: &str, first: u64) -> u32 {
        let number = arch.number(name).unwrap();
        let arguments = [first, 0, 0, 0, 0, 0];
        run(code, arch.audit_number(), number, &arguments).0
    }

    const ALLOW: u32 = 0x7fff_0000;
    const NOT_PERMITTED: u32 = 0x0005_0001;
    const NOT_THERE: u32 = 0x0005_0026;

    #[test]
    fn dockers_policy_is_in_force_on_both() {
        let code = docker(0);
        for arch in X86 {
            assert_eq!(verdict(&code, arch, "read", 0), ALLOW);
            assert_eq!(verdict(&code, arch, "mount", 0), NOT_PERMITTED);
            assert_eq!(verdict(&code, arch, "clone3", 0), NOT_THERE);
            assert_eq!(verdict(&code, arch, "clone", 0x11), ALLOW);
            assert_eq!(verdict(&code, arch, "clone", 0x1000_0011), NOT_PERMITTED);
            assert_eq!(verdict(&code, arch, "personality", 8), ALLOW);
            assert_eq!(verdict(&code, arch, "personality", 9), NOT_PERMITTED);
        }
        let all = docker(caps::ALL);
        assert_eq!(verdict(&all, Arch::X86_64, "mount", 0), ALLOW);
        assert_eq!(verdict(&all, Arch::X86_64, "clone", 0x1000_0011), ALLOW);
        assert_eq!(verdict(&all, Arch::X86_64, "clone3", 0), ALLOW);
    }

    #[test]
    fn socket_families_are_chosen() {
        let code = docker(0);
        let socket = |family| verdict(&code, Arch::X86_64, "socket", family);
        for family in [1, 2, 10, 16, 17, 39, 41, 45] {
            assert_eq!(socket(family), ALLOW, "{family}");
        }
        // The kernel would see the lower half of the last ones.
        for family in [38, 40, 46, 1 << 32 | 40, 1 << 32 | 38] {
            assert_eq!(socket(family), NOT_PERMITTED, "{family}");
        }
    }

    #[test]
    fn unknown_calls_and_machines_are_not_there() {
        let code = docker(0);
        let native = Arch::X86_64.audit_number();
        assert_eq!(run(&code, native, 467, &[0; 6]).0, NOT_THERE);
        assert_eq!(run(&code, native, u32::MAX, &[0; 6]).0, NOT_THERE);
        assert_eq!(run(&code, native, X32_BIT, &[0; 6]).0, NOT_THERE);
        assert_eq!(run(&code, 0x1234, 0, &[0; 6]).0, NOT_THERE);
    }

    #[test]
    fn the_filter_is_small_and_quick() {
        let code = docker(caps::ALL);
        assert!(code.len() < INSTRUCTIONS_MAX, "{}", code.len());
        for number in 0..470 {
            let (_, steps) = run(&code, Arch::X86_64.audit_number(), number, &[0; 6]);
            assert!(steps <= 40, "{number}: {steps}");
        }
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let compare = prop::sample::select(vec![
            Compare::Unequal,
            Compare::Less,
            Compare::AtMost,
            Compare::Equal,
            Compare::AtLeast,
            Compare::Greater,
            Compare::MaskedEqual,
        ]);
        (0..3_u32, value(), value(), compare).prop_map(|(index, value, value_two, op)| Condition {
            index,
            value,
            value_two,
            op,
        })
    }

    /// Values that are often equal in one half.
    fn value() -> impl Strategy<Value = u64> {
        (0..3_u64, 0..3_u64).prop_map(|(high, low)| high << 32 | low)
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let name = prop::sample::select(vec!["read", "write", "socket", "mseal"]);
        let action =
            prop::sample::select(vec![Action::Allow, Action::Errno(7), Action::KillProcess]);
        let conditions = prop::collection::vec(condition(), 0..3);
        (name, conditions, action).prop_map(|(name, conditions, action)| Rule {
            name: name.to_owned(),
            conditions,
            action,
        })
    }

    fn expected(policy: &Policy, name: &str, arguments: &[u64; 6]) -> Action {
        let of_name = || policy.rules.iter().filter(|rule| rule.name == name);
        let plain = of_name().rfind(|rule| rule.conditions.is_empty());
        let holds = |rule: &&Rule| rule.conditions.iter().all(|one| one.holds(arguments));
        plain
            .or_else(|| of_name().find(holds))
            .map_or(policy.default, |rule| rule.action)
    }

    proptest! {
        #[test]
        fn programs_say_what_policies_say(
            rules in prop::collection::vec(rule(), 0..10),
            name in prop::sample::select(vec!["read", "write", "socket", "mseal", "kill"]),
            first in value(), second in value(), third in value(),
        ) {
            let policy = Policy { default: Action::Errno(1), rules, flags: 0 };
            let code = compile(&policy, &X86);
            let arguments = [first, second, third, 0, 0, 0];
            for arch in X86 {
                let number = arch.number(name).unwrap_or(u32::MAX);
                if number == u32::MAX { continue; }
                let (value, _) = run(&code, arch.audit_number(), number, &arguments);
                prop_assert_eq!(value, expected(&policy, name, &arguments).value());
            }
        }
    }
}

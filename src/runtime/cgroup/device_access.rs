//! Which devices a container may use: Docker's defaults, the lines of version
//! 1's controller, and the program that does the same on version 2. Pure.

use crate::model::DeviceRule;
use crate::sys::bpf::Instruction;

/// What every container may use: any node may be made, the default nodes and
/// terminals may be read and written.
pub(crate) fn defaults() -> Vec<DeviceRule> {
    let rule = |kind, major, minor, permissions: &str| DeviceRule {
        kind,
        major,
        minor,
        permissions: permissions.to_owned(),
        allow: true,
    };
    vec![
        rule('c', None, None, "m"),
        rule('b', None, None, "m"),
        rule('c', Some(1), Some(3), "rwm"),
        rule('c', Some(1), Some(5), "rwm"),
        rule('c', Some(1), Some(7), "rwm"),
        rule('c', Some(1), Some(8), "rwm"),
        rule('c', Some(1), Some(9), "rwm"),
        rule('c', Some(5), Some(0), "rwm"),
        rule('c', Some(5), Some(1), "rwm"),
        rule('c', Some(5), Some(2), "rwm"),
        rule('c', Some(136), None, "rwm"),
    ]
}

/// A rule as version 1 wants it, as in `c 136:* rwm`.
pub(crate) fn line(rule: &DeviceRule) -> String {
    if rule.kind == 'a' {
        return "a".to_owned();
    }
    let part = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |n| n.to_string());
    format!(
        "{} {}:{} {}",
        rule.kind,
        part(rule.major),
        part(rule.minor),
        rule.permissions
    )
}

// Of linux/bpf.h: the context is {access << 16 | type, major, minor}.
const TYPE_BLOCK: i32 = 1;
const TYPE_CHARACTER: i32 = 2;
const ACCESS_MAKE: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

// Operations, and the registers that this program gives its values.
const LOAD_WORD: u8 = 0x61;
const MOVE_32: u8 = 0xbc;
const MOVE_CONSTANT: u8 = 0xb7;
const AND_CONSTANT: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_UNEQUAL: u8 = 0x55;
const JUMP_ALWAYS: u8 = 0x05;
const EXIT: u8 = 0x95;
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// The program for these rules: the last one that matches decides, and none
/// is no.
pub(crate) fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut code = vec![
        load(TYPE, 0),
        copy(ACCESS, TYPE),
        constant(AND_CONSTANT, TYPE, 0xffff),
        constant(SHIFT_RIGHT, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        code.extend(block(rule));
        if rule.kind == 'a' {
            return code;
        }
    }
    code.push(constant(MOVE_CONSTANT, RESULT, 0));
    code.push(op(EXIT, 0, 0, 0, 0));
    code
}

/// One rule: falls through to the next when it doesn't match.
fn block(rule: &DeviceRule) -> Vec<Instruction> {
    let mut checks = Vec::new();
    if rule.kind != 'a' {
        let kind = if rule.kind == 'b' {
            TYPE_BLOCK
        } else {
            TYPE_CHARACTER
        };
        checks.push(unequal(TYPE, kind));
        let access = access(&rule.permissions);
        checks.push(copy(SCRATCH, ACCESS));
        if rule.allow {
            // Everything that is wanted must be allowed…
            checks.push(constant(AND_CONSTANT, SCRATCH, !access));
            checks.push(unequal(SCRATCH, 0));
        } else {
            // …but anything that is denied is enough.
            checks.push(constant(AND_CONSTANT, SCRATCH, access));
            checks.push(op(JUMP_UNEQUAL, SCRATCH, 0, 1, 0));
            checks.push(op(JUMP_ALWAYS, 0, 0, 0, 0));
        }
        for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
            checks.extend(number.map(|number| unequal(register, number.cast_signed())));
        }
    }
    let count = checks.len();
    for (index, check) in checks.iter_mut().enumerate() {
        let is_exit =
            (check.code == JUMP_UNEQUAL || check.code == JUMP_ALWAYS) && check.offset == 0;
        if is_exit {
            // Over the remaining checks and the verdict's two instructions.
            check.offset = i16::try_from(count - index - 1 + 2).unwrap_or(i16::MAX);
        }
    }
    checks.push(constant(MOVE_CONSTANT, RESULT, i32::from(rule.allow)));
    checks.push(op(EXIT, 0, 0, 0, 0));
    checks
}

fn access(permissions: &str) -> i32 {
    permissions.chars().fold(0, |access, letter| {
        access
            | match letter {
                'r' => ACCESS_READ,
                'w' => ACCESS_WRITE,
                'm' => ACCESS_MAKE,
                _ => 0,
            }
    })
}

fn load(register: u8, offset: i16) -> Instruction {
    op(LOAD_WORD, register, CONTEXT, offset, 0)
}

fn copy(to: u8, from: u8) -> Instruction {
    op(MOVE_32, to, from, 0, 0)
}

fn constant(code: u8, register: u8, value: i32) -> Instruction {
    op(code, register, 0, 0, value)
}

/// To the next rule when unequal; the distance is filled in later.
fn unequal(register: u8, value: i32) -> Instruction {
    op(JUMP_UNEQUAL, register, 0, 0, value)
}

fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: from << 4 | to,
        offset,
        immediate,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a program as the kernel would.
    fn decide(code: &[Instruction], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let context = [(access << 16 | kind).cast_unsigned(), major, minor];
        let mut registers = [0_u32; 7];
        let mut at = 0;
        loop {
            let step = code[at];
            let to = usize::from(step.registers & 15);
            let from = usize::from(step.registers >> 4);
            let value = step.immediate.cast_unsigned();
            at += 1;
            let jump = match step.code {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(step.offset).unwrap() / 4];
                    false
                }
                MOVE_32 => {
                    registers[to] = registers[from];
                    false
                }
                MOVE_CONSTANT => {
                    registers[to] = value;
                    false
                }
                AND_CONSTANT => {
                    registers[to] &= value;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= value;
                    false
                }
                JUMP_UNEQUAL => registers[to] != value,
                JUMP_ALWAYS => true,
                EXIT => return registers[0] == 1,
                code => panic!("operation {code:#x}"),
            };
            if jump {
                at += usize::try_from(step.offset).unwrap();
            }
        }
    }

    /// What the rules say, without a program.
    fn expected(rules: &[DeviceRule], kind: i32, wanted: i32, major: u32, minor: u32) -> bool {
        rules
            .iter()
            .rev()
            .find(|rule| {
                if rule.kind == 'a' {
                    return true;
                }
                let same_kind = (rule.kind == 'b') == (kind == TYPE_BLOCK);
                let has = access(&rule.permissions);
                let touches = if rule.allow {
                    wanted & !has == 0
                } else {
                    wanted & has != 0
                };
                same_kind
                    && touches
                    && rule.major.is_none_or(|number| number == major)
                    && rule.minor.is_none_or(|number| number == minor)
            })
            .is_some_and(|rule| rule.allow)
    }

    #[test]
    fn defaults_allow_null_and_deny_disks() {
        let code = program(&defaults());
        let read_write = ACCESS_READ | ACCESS_WRITE;
        assert!(decide(&code, TYPE_CHARACTER, read_write, 1, 3));
        assert!(decide(&code, TYPE_CHARACTER, read_write, 136, 42));
        assert!(!decide(&code, TYPE_CHARACTER, ACCESS_READ, 1, 1));
        assert!(!decide(&code, TYPE_BLOCK, ACCESS_READ, 8, 0));
        assert!(decide(&code, TYPE_BLOCK, ACCESS_MAKE, 8, 0));
    }

    #[test]
    fn lines_are_version_ones() {
        let lines: Vec<String> = defaults().iter().map(line).collect();
        assert_eq!(lines[0], "c *:* m");
        assert_eq!(lines[2], "c 1:3 rwm");
        assert_eq!(lines[10], "c 136:* rwm");
        let everything = DeviceRule {
            kind: 'a',
            major: None,
            minor: None,
            permissions: "rwm".to_owned(),
            allow: true,
        };
        assert_eq!(line(&everything), "a");
        assert!(decide(
            &program(&[everything]),
            TYPE_BLOCK,
            ACCESS_READ,
            8,
            0
        ));
    }

    fn rule() -> impl Strategy<Value = DeviceRule> {
        (
            prop::sample::select(vec!['a', 'b', 'c', 'c']),
            prop::option::of(0..3_u32),
            prop::option::of(0..3_u32),
            prop::sample::select(vec!["r", "rw", "rwm", "m", "w"]),
            any::<bool>(),
        )
            .prop_map(|(kind, major, minor, permissions, allow)| DeviceRule {
                kind,
                major,
                minor,
                permissions: permissions.to_owned(),
                allow,
            })
    }

    proptest! {
        #[test]
        fn programs_say_what_rules_say(
            rules in prop::collection::vec(rule(), 0..8),
            block in any::<bool>(),
            wanted in 1..8_i32,
            major in 0..4_u32,
            minor in 0..4_u32,
        ) {
            let kind = if block { TYPE_BLOCK } else { TYPE_CHARACTER };
            prop_assert_eq!(
                decide(&program(&rules), kind, wanted, major, minor),
                expected(&rules, kind, wanted, major, minor)
            );
        }
    }
}

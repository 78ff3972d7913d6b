//! `--chmod`: an octal number or symbolic clauses such as `u=rwX,go=rX`.

use std::str::FromStr;

/// Bits that a mode may have.
const MODE_MAX: u32 = 0o7777;

/// How the mode of what is copied is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Mode {
    /// These bits, whatever they were.
    Octal(u32),
    /// A change of the bits that there are.
    Symbolic(Vec<Clause>),
}

/// One change: whose bits, how, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Clause {
    /// User, group and others, as the bits `0o700`, `0o070` and `0o007`.
    who: u32,
    action: Action,
    /// The bits as for everyone.
    bits: u32,
    /// `X`: execution for folders and for what somebody may execute already.
    is_execute_conditional: bool,
    /// `s`: setuid for the user, setgid for the group.
    is_set_id: bool,
    /// `t`.
    is_sticky: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Add,
    Remove,
    Set,
}

/// A text that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid mode {0:?}: it is octal up to 7777, or clauses such as u=rwX,go=rX")]
pub struct InvalidMode(pub String);

impl Mode {
    /// The mode of a file or folder that has `mode`.
    #[must_use]
    pub fn apply(&self, mode: u32, is_folder: bool) -> u32 {
        match self {
            Self::Octal(bits) => *bits,
            Self::Symbolic(clauses) => clauses.iter().fold(mode & MODE_MAX, |mode, clause| {
                clause.apply(mode, is_folder)
            }),
        }
    }
}

impl Clause {
    fn apply(self, mode: u32, is_folder: bool) -> u32 {
        let mut bits = self.bits;
        if self.is_execute_conditional && (is_folder || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        let mut bits = bits & self.who;
        let mut special = 0;
        if self.who & 0o700 != 0 {
            special |= 0o4000;
        }
        if self.who & 0o070 != 0 {
            special |= 0o2000;
        }
        if self.is_set_id {
            bits |= special;
        }
        if self.is_sticky {
            bits |= 0o1000;
        }
        match self.action {
            Action::Add => mode | bits,
            Action::Remove => mode & !bits,
            // As chmod does, a folder keeps its setuid and setgid bits.
            Action::Set if is_folder => (mode & !self.who) | bits,
            Action::Set => (mode & !(self.who | special)) | bits,
        }
    }
}

impl FromStr for Mode {
    type Err = InvalidMode;

    fn from_str(text: &str) -> Result<Self, InvalidMode> {
        let refuse = || InvalidMode(text.to_owned());
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(bits) if bits <= MODE_MAX => Ok(Self::Octal(bits)),
                _ => Err(refuse()),
            };
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            clauses.extend(parse_part(part).ok_or_else(refuse)?);
        }
        Ok(Self::Symbolic(clauses))
    }
}

/// `ug+rw-x`: one `who`, then any number of actions.
fn parse_part(part: &str) -> Option<Vec<Clause>> {
    let start = part.find(['+', '-', '='])?;
    let (who, mut rest) = part.split_at(start);
    let mut mask = 0;
    for letter in who.chars() {
        mask |= match letter {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => 0o777,
            _ => return None,
        };
    }
    let who = if mask == 0 { 0o777 } else { mask };
    let mut clauses = Vec::new();
    while let Some(sign) = rest.chars().next() {
        let action = match sign {
            '+' => Action::Add,
            '-' => Action::Remove,
            '=' => Action::Set,
            _ => return None,
        };
        rest = rest.get(1..)?;
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (letters, after) = rest.split_at(end);
        rest = after;
        clauses.push(clause(who, action, letters)?);
    }
    Some(clauses)
}

fn clause(who: u32, action: Action, letters: &str) -> Option<Clause> {
    let mut clause = Clause {
        who,
        action,
        bits: 0,
        is_execute_conditional: false,
        is_set_id: false,
        is_sticky: false,
    };
    for letter in letters.chars() {
        match letter {
            'r' => clause.bits |= 0o444,
            'w' => clause.bits |= 0o222,
            'x' => clause.bits |= 0o111,
            'X' => clause.is_execute_conditional = true,
            's' => clause.is_set_id = true,
            't' => clause.is_sticky = true,
            _ => return None,
        }
    }
    Some(clause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, mode: u32, is_folder: bool) -> u32 {
        text.parse::<Mode>()
            .unwrap_or_else(|e| panic!("{e}"))
            .apply(mode, is_folder)
    }

    #[test]
    fn octal_says_all() {
        assert_eq!(changed("755", 0o4600, false), 0o755);
        assert_eq!(changed("04755", 0, false), 0o4755);
        assert_eq!(changed("0", 0o777, true), 0);
    }

    #[test]
    fn letters_change_what_is_there() {
        for (text, from, to) in [
            ("u=rwX,go=rX", 0o600, 0o644),
            ("u=rwX,go=rX", 0o700, 0o755),
            ("+x", 0o644, 0o755),
            ("a-w", 0o666, 0o444),
            ("g+s", 0o755, 0o2755),
            ("u+s,o-rx", 0o755, 0o4750),
            ("+t", 0o777, 0o1777),
            ("u=", 0o4755, 0o055),
            ("go=", 0o755, 0o700),
            ("u+x-w", 0o644, 0o544),
        ] {
            assert_eq!(changed(text, from, false), to, "{text} on {from:o}");
        }
    }

    #[test]
    fn folders_are_entered_with_a_large_x() {
        assert_eq!(changed("go+X", 0o600, true), 0o611);
        assert_eq!(changed("go+X", 0o600, false), 0o600);
        assert_eq!(changed("a=rX", 0o2700, true), 0o2555);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "8", "77777", "rwx", "u", "u=q", "z+x", "u=r,", "-1"] {
            assert!(bad.parse::<Mode>().is_err(), "{bad}");
        }
    }
}

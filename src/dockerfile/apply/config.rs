//! Instructions that change the config alone.

use crate::dockerfile::apply::{note, quoted};
use crate::dockerfile::checks::{self, Rule};
use crate::dockerfile::expand::Variables as _;
use crate::dockerfile::instruction::{ArgWord, Command, Probe, Word};
use crate::dockerfile::solve::{Solver, Source, State};
use crate::model::{Signal, units};
use crate::oci::HealthConfig;

impl Solver<'_> {
    /// ENV: every value sees what was before the instruction.
    pub(super) fn env(&mut self, pairs: &[(Word, Word)], source: &Source<'_>, state: &mut State) {
        let mut set = Vec::new();
        for (name, value) in pairs {
            let (Some(name), Some(value)) = (self.text(name, state), self.text(value, state))
            else {
                continue;
            };
            if name.is_empty() {
                let message = "ENV names can not be blank";
                self.report.problem("blank-name", source.span, message);
                continue;
            }
            let found = checks::secret("ENV", &name, source.span.clone());
            self.report.findings.extend(found);
            set.push((name, value));
        }
        let text = set.iter().fold("ENV".to_owned(), |text, (name, value)| {
            format!("{text} {name}={value}")
        });
        state.scope.set_env(set);
        note(state, text, None);
    }

    pub(super) fn label(&mut self, pairs: &[(Word, Word)], state: &mut State) {
        let mut text = "LABEL".to_owned();
        for (name, value) in pairs {
            let (Some(name), Some(value)) = (self.text(name, state), self.text(value, state))
            else {
                continue;
            };
            text.push_str(&format!(" {name}={value}"));
            state.config.run.labels.insert(name, value);
        }
        note(state, text, None);
    }

    /// ARG: the value of `--build-arg`, else the default, else that of the
    /// argument above all stages. Each sees those before it in the line.
    pub(super) fn arg(&mut self, args: &[ArgWord], source: &Source<'_>, state: &mut State) {
        let mut text = "ARG".to_owned();
        for arg in args {
            let Some(name) = self.text(&arg.name, state) else {
                continue;
            };
            let found = checks::secret("ARG", &name, source.span.clone());
            self.report.findings.extend(found);
            let default = match &arg.default {
                None => None,
                Some(word) => self.text(word, state),
            };
            let given = self.options.build_args.get(&name).cloned();
            let global = || self.globals.get(&name).map(str::to_owned);
            let value = given.or(default).or_else(global);
            text.push(' ');
            text.push_str(&name);
            if let Some(value) = &value {
                text.push('=');
                text.push_str(value);
            }
            state.scope.set_arg(name, value);
        }
        note(state, text, None);
    }

    pub(super) fn expose(&mut self, words: &[Word], state: &mut State) {
        let mut added = Vec::new();
        for word in words {
            let Some(expanded) = self.expand(word, state) else {
                continue;
            };
            for port in &expanded.words {
                match self.ports(port, word) {
                    Some(ports) => added.extend(ports),
                    None => {
                        let message = format!("invalid containerPort: {port}");
                        let hint = "a port is written PORT[-PORT][/tcp|udp|sctp]";
                        self.report
                            .problem_with_hint("invalid-port", &word.span, message, hint);
                    }
                }
            }
        }
        let mut all: indexmap::IndexSet<String> =
            state.config.run.exposed_ports.drain(..).collect();
        all.extend(added.iter().cloned());
        all.sort_unstable();
        state.config.run.exposed_ports = all.into_iter().collect();
        added.sort_unstable();
        note(state, format!("EXPOSE [{}]", added.join(" ")), None);
    }

    /// `80`, `80-90/udp`, and what looks like a published port.
    fn ports(&mut self, text: &str, word: &Word) -> Option<Vec<String>> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let lower = protocol.to_ascii_lowercase();
        if !matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
            return None;
        }
        if lower != protocol {
            let message =
                format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
            self.report
                .find(Rule::ExposeProtoCasing, &word.span, message);
        }
        let range = match range.rsplit_once(':') {
            Some((_, container)) => {
                let message = format!(
                    "EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'"
                );
                self.report
                    .find(Rule::ExposeInvalidFormat, &word.span, message);
                container
            }
            None => range,
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        let is_range = first <= last;
        is_range.then(|| {
            (first..=last)
                .map(|port| format!("{port}/{lower}"))
                .collect()
        })
    }

    pub(super) fn volume(&mut self, words: &[Word], state: &mut State) {
        let mut added = Vec::new();
        for word in words {
            let Some(path) = self.text(word, state) else {
                continue;
            };
            if path.is_empty() {
                let message = "VOLUME specified can not be an empty string";
                self.report.problem("empty-volume", &word.span, message);
                continue;
            }
            if !state.config.run.volumes.contains(&path) {
                state.config.run.volumes.push(path.clone());
            }
            added.push(path);
        }
        note(state, format!("VOLUME [{}]", added.join(" ")), None);
    }

    pub(super) fn stop_signal(&mut self, word: &Word, state: &mut State) {
        let Some(signal) = self.text(word, state) else {
            return;
        };
        if signal.parse::<Signal>().is_err() {
            let message = format!("invalid signal: {signal}");
            let hint = "it is a name such as SIGTERM, or a number";
            self.report
                .problem_with_hint("invalid-signal", &word.span, message, hint);
            return;
        }
        note(state, format!("STOPSIGNAL {signal}"), None);
        state.config.run.stop_signal = Some(signal);
    }

    pub(super) fn healthcheck(&mut self, probe: &Probe, state: &mut State) {
        let mut health = match probe {
            Probe::None => HealthConfig::default(),
            Probe::Command(times, _) => times.clone(),
        };
        health.test = match probe {
            Probe::None => vec!["NONE".to_owned()],
            Probe::Command(_, Command::Shell(text)) => {
                vec!["CMD-SHELL".to_owned(), text.clone()]
            }
            Probe::Command(_, Command::Exec(argv)) => {
                let first = std::iter::once("CMD".to_owned());
                first.chain(argv.iter().cloned()).collect()
            }
        };
        note(state, history(&health), None);
        state.config.run.healthcheck = Some(health);
    }
}

/// A probe as Go prints the struct that has it.
fn history(health: &HealthConfig) -> String {
    let time = |nanoseconds: u64| {
        let text = units::print_duration(i64::try_from(nanoseconds).unwrap_or(i64::MAX));
        format!("{text:?}")
    };
    let retries = match u8::try_from(health.retries).map(char::from) {
        Ok(c) if c.is_ascii_graphic() || c == ' ' => format!("'{c}'"),
        Ok(c) => match c {
            '\u{7}' => r"'\a'".to_owned(),
            '\u{8}' => r"'\b'".to_owned(),
            '\u{c}' => r"'\f'".to_owned(),
            '\n' => r"'\n'".to_owned(),
            '\r' => r"'\r'".to_owned(),
            '\t' => r"'\t'".to_owned(),
            '\u{b}' => r"'\v'".to_owned(),
            other => format!("'\\x{:02x}'", u32::from(other)),
        },
        Err(_) => health.retries.to_string(),
    };
    format!(
        "HEALTHCHECK &{{{} {} {} {} {} {retries}}}",
        quoted(&health.test),
        time(health.interval),
        time(health.timeout),
        time(health.start_period),
        time(health.start_interval),
    )
}

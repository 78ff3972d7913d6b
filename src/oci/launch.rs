//! What a container runs: the image's config under the project's wishes.

use std::time::Duration;

use indexmap::IndexMap;

use crate::model::{HealthProbe, HealthSetting, ProbeCommand};
use crate::oci::{Error, HealthConfig, ImageConfig};

/// The search path of programs where nobody set one.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Docker's defaults for probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
const PROBE_RETRIES: u32 = 3;

impl ImageConfig {
    /// Program and arguments.
    ///
    /// An entrypoint of the project's clears the image's command; an empty
    /// one only drops the image's entrypoint, as Docker has it. A command of
    /// the project's takes the place of the image's; an empty one is none.
    ///
    /// # Errors
    /// [`Error::NoCommand`] when nothing is left to run.
    pub fn argv(
        &self,
        entrypoint: Option<&[String]>,
        command: Option<&[String]>,
    ) -> Result<Vec<String>, Error> {
        let image_entrypoint = self.run.entrypoint.as_deref().unwrap_or_default();
        let image_command = self.run.cmd.as_deref().unwrap_or_default();
        let (first, inherited) = match entrypoint {
            None => (image_entrypoint, image_command),
            Some([]) => (&[][..], image_command),
            Some(own) => (own, &[][..]),
        };
        let own = command.filter(|words| !words.is_empty());
        let argv: Vec<String> = first
            .iter()
            .chain(own.unwrap_or(inherited))
            .cloned()
            .collect();
        if argv.first().is_none_or(String::is_empty) {
            return Err(Error::NoCommand);
        }
        Ok(argv)
    }

    /// The environment: the image's in its order, the project's over it, a
    /// PATH when neither has one. A null value unsets the image's.
    #[must_use]
    pub fn environment(&self, over: &IndexMap<String, Option<String>>) -> Vec<(String, String)> {
        let mut merged: IndexMap<&str, &str> = IndexMap::new();
        for entry in &self.run.env {
            let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
            if !key.is_empty() {
                merged.insert(key, value);
            }
        }
        for (key, value) in over {
            match value {
                Some(value) => merged.insert(key, value),
                None => merged.shift_remove(key.as_str()),
            };
        }
        if !merged.contains_key("PATH") {
            merged.shift_insert(0, "PATH", DEFAULT_PATH);
        }
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        merged.into_iter().map(owned).collect()
    }

    /// The working folder, absolute.
    #[must_use]
    pub fn working_dir(&self, over: Option<&str>) -> String {
        let path = over
            .filter(|path| !path.is_empty())
            .unwrap_or(&self.run.working_dir);
        if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        }
    }

    /// The user as written; empty is root.
    #[must_use]
    pub fn user(&self, over: Option<&str>) -> String {
        over.unwrap_or(&self.run.user).to_owned()
    }

    /// The signal that ends the container, as written.
    #[must_use]
    pub fn stop_signal<'a>(&'a self, over: Option<&'a str>) -> Option<&'a str> {
        let image = self.run.stop_signal.as_deref();
        over.or(image).filter(|text| !text.is_empty())
    }

    /// The shell of `CMD-SHELL` probes, with its flag.
    #[must_use]
    pub fn shell(&self) -> Vec<String> {
        match &self.run.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            Some(_) | None => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        }
    }

    /// The health probe with every value settled: the project's parts over
    /// the image's, Docker's defaults under both. None when there is no test
    /// or it is disabled.
    #[must_use]
    pub fn probe(&self, over: Option<&HealthSetting>) -> Option<HealthProbe> {
        let none = HealthSetting::default();
        let over = over.unwrap_or(&none);
        let default = HealthConfig::default();
        let image = self.run.healthcheck.as_ref().unwrap_or(&default);
        if over.disabled {
            return None;
        }
        let command = over.test.clone().or_else(|| image_test(&image.test))?;
        let time = |own: Option<Duration>, image_nanos: u64| {
            let image = (image_nanos > 0).then(|| Duration::from_nanos(image_nanos));
            own.filter(|time| !time.is_zero()).or(image)
        };
        let image_retries = u32::try_from(image.retries).ok().filter(|&n| n > 0);
        Some(HealthProbe {
            command,
            interval: time(over.interval, image.interval).unwrap_or(PROBE_INTERVAL),
            timeout: time(over.timeout, image.timeout).unwrap_or(PROBE_TIMEOUT),
            start_period: time(over.start_period, image.start_period).unwrap_or_default(),
            start_interval: time(over.start_interval, image.start_interval),
            retries: over
                .retries
                .filter(|&n| n > 0)
                .or(image_retries)
                .unwrap_or(PROBE_RETRIES),
        })
    }
}

fn image_test(test: &[String]) -> Option<ProbeCommand> {
    match test {
        [kind, text] if kind == "CMD-SHELL" => Some(ProbeCommand::Shell(text.clone())),
        [kind, argv @ ..] if kind == "CMD" && !argv.is_empty() => {
            Some(ProbeCommand::Exec(argv.to_vec()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entrypoint: &[&str], command: &[&str]) -> ImageConfig {
        let mut config = ImageConfig::default();
        config.run.entrypoint = Some(texts(entrypoint));
        config.run.cmd = Some(texts(command));
        config
    }

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn argv(image: &ImageConfig, entrypoint: Option<&[&str]>, command: Option<&[&str]>) -> String {
        let (entrypoint, command) = (entrypoint.map(texts), command.map(texts));
        match image.argv(entrypoint.as_deref(), command.as_deref()) {
            Ok(argv) => argv.join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_image_says_what_runs() {
        assert_eq!(argv(&image(&["e"], &["c", "d"]), None, None), "e c d");
        assert_eq!(argv(&image(&[], &["c"]), None, None), "c");
        assert_eq!(argv(&image(&["e"], &[]), None, None), "e");
    }

    #[test]
    fn a_command_takes_the_place_of_the_images() {
        assert_eq!(
            argv(&image(&["e"], &["c"]), None, Some(&["x", "y"])),
            "e x y"
        );
        assert_eq!(argv(&image(&["e"], &["c"]), None, Some(&[])), "e c");
        assert_eq!(argv(&image(&["e"], &["c"]), Some(&["x"]), Some(&[])), "x");
    }

    #[test]
    fn an_entrypoint_clears_the_images_command() {
        assert_eq!(argv(&image(&["e"], &["c"]), Some(&["x"]), None), "x");
        assert_eq!(
            argv(&image(&["e"], &["c"]), Some(&["x"]), Some(&["y"])),
            "x y"
        );
        assert_eq!(argv(&image(&["e"], &["c"]), Some(&[]), None), "c");
        assert_eq!(argv(&image(&["e"], &["c"]), Some(&[]), Some(&["y"])), "y");
    }

    #[test]
    fn nothing_to_run_is_told() {
        assert!(argv(&ImageConfig::default(), None, None).starts_with("no command specified"));
        assert!(argv(&image(&[], &[]), None, Some(&[])).starts_with("no command specified"));
        assert!(argv(&image(&[""], &[]), None, None).starts_with("no command specified"));
    }

    #[test]
    fn environments_merge_by_key() {
        let mut config = ImageConfig::default();
        config.run.env = texts(&["PATH=/bin", "A=1", "B=2=3", "ODD", "=x"]);
        let mut over = IndexMap::new();
        over.insert("A".to_owned(), Some("9".to_owned()));
        over.insert("B".to_owned(), None);
        over.insert("C".to_owned(), Some(String::new()));
        let merged = config.environment(&over);
        let text: Vec<String> = merged.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(text, ["PATH=/bin", "A=9", "ODD=", "C="]);
    }

    #[test]
    fn a_path_is_there_when_nobody_set_one() {
        let env = ImageConfig::default().environment(&IndexMap::new());
        assert_eq!(env, [("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    }

    #[test]
    fn folders_are_absolute() {
        let mut config = ImageConfig::default();
        assert_eq!(config.working_dir(None), "/");
        config.run.working_dir = "srv".to_owned();
        assert_eq!(config.working_dir(None), "/srv");
        assert_eq!(config.working_dir(Some("/x")), "/x");
    }

    #[test]
    fn probes_are_settled_field_by_field() {
        let mut config = ImageConfig::default();
        assert_eq!(config.probe(None), None);
        config.run.healthcheck = Some(HealthConfig {
            test: texts(&["CMD-SHELL", "true"]),
            interval: 5_000_000_000,
            retries: 7,
            ..HealthConfig::default()
        });
        let probe = config.probe(None).unwrap();
        assert_eq!(probe.command, ProbeCommand::Shell("true".to_owned()));
        assert_eq!(
            (probe.interval, probe.timeout),
            (Duration::from_secs(5), PROBE_TIMEOUT)
        );
        let over = HealthSetting {
            test: Some(ProbeCommand::Exec(texts(&["x"]))),
            retries: Some(2),
            ..HealthSetting::default()
        };
        let probe = config.probe(Some(&over)).unwrap();
        assert_eq!(probe.command, ProbeCommand::Exec(texts(&["x"])));
        assert_eq!((probe.interval, probe.retries), (Duration::from_secs(5), 2));
    }

    #[test]
    fn probes_can_be_switched_off() {
        let mut config = ImageConfig::default();
        for test in [&["NONE"][..], &[], &["CMD"], &["CMD-SHELL"], &["WHAT", "x"]] {
            config.run.healthcheck = Some(HealthConfig {
                test: texts(test),
                ..HealthConfig::default()
            });
            assert_eq!(config.probe(None), None, "{test:?}");
        }
        config.run.healthcheck = Some(HealthConfig {
            test: texts(&["CMD", "x"]),
            ..HealthConfig::default()
        });
        let off = HealthSetting {
            disabled: true,
            ..HealthSetting::default()
        };
        assert_eq!(config.probe(Some(&off)), None);
        assert!(config.probe(None).is_some());
    }
}

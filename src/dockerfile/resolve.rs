//! Which stages, images and contexts a target needs.
//!
//! Knows FROM lines, the names that COPY and RUN mounts speak of, and what
//! images bring with them as ONBUILD. It doesn't look at what instructions do.

use indexmap::{IndexMap, IndexSet};

use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::dockerfile::checks::Rule;
use crate::dockerfile::expand::{self, Rules};
use crate::dockerfile::instruction::{Instruction, Kind, Stage, Word};
use crate::dockerfile::options::{Bases, NamedContext, Options};
use crate::dockerfile::parse::{self, Dockerfile};
use crate::dockerfile::report::Report;
use crate::dockerfile::scope::Globals;
use crate::dockerfile::step::{BaseKey, BaseSource};
use crate::dockerfile::{mount, path};
use crate::oci::{Platform, Reference};

/// The name of an image with nothing in it.
const SCRATCH: &str = "scratch";

/// Where a root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Scratch,
    Stage(usize),
    Base(BaseKey),
    Context(String),
}

/// A stage whose FROM was understood.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) origin: Origin,
    pub(crate) platform: Platform,
    /// What the image that it stands on asks for, before its own instructions.
    pub(crate) triggers: Vec<Instruction>,
    /// Whether a named context stands in for all of it.
    pub(crate) is_replaced: bool,
}

/// The file's stages and how they hang together.
#[derive(Debug)]
pub(crate) struct Stages<'a> {
    pub(crate) file: &'a Dockerfile,
    pub(crate) options: &'a Options,
    /// The stages of each name, in lower case.
    names: IndexMap<String, Vec<usize>>,
    /// One for each stage of the file.
    pub(crate) resolved: Vec<Resolved>,
    pub(crate) target: usize,
    /// Whether the target needs it, for each stage of the file.
    pub(crate) is_needed: Vec<bool>,
    /// Images that the target needs.
    pub(crate) keys: IndexSet<BaseKey>,
}

/// A name that a flag speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameUse {
    pub(crate) name: String,
    pub(crate) place: Span,
}

impl<'a> Stages<'a> {
    /// Resolves every FROM, and what the target needs.
    pub(crate) fn resolve(
        file: &'a Dockerfile,
        options: &'a Options,
        globals: &Globals,
        bases: &Bases,
        report: &mut Report,
    ) -> Option<Self> {
        let mut stages = Self {
            file,
            options,
            names: IndexMap::new(),
            resolved: Vec::new(),
            target: 0,
            is_needed: vec![false; file.stages.len()],
            keys: IndexSet::new(),
        };
        for stage in &file.stages {
            if let Some(key) = stage.key() {
                stages.names.entry(key).or_default().push(stage.number);
            }
        }
        let defaults = Globals::defaults(file, options);
        for stage in &file.stages {
            stages.check_default(stage, &defaults, report);
            let resolved = stages.from(stage, globals, bases, report);
            stages.resolved.push(resolved);
        }
        stages.target = stages.find_target(report)?;
        stages.mark(report);
        Some(stages)
    }

    fn from(
        &self,
        stage: &Stage,
        globals: &Globals,
        bases: &Bases,
        report: &mut Report,
    ) -> Resolved {
        let platform = stage
            .platform
            .as_ref()
            .and_then(|word| from_platform(stage, word, self.file, globals, report));
        let origin = match self.replacement(stage, platform.as_ref()) {
            Some(origin) => (origin, true),
            None => (self.base(stage, platform.as_ref(), globals, report), false),
        };
        let (origin, is_replaced) = origin;
        let inherited = match &origin {
            Origin::Stage(number) => self.resolved.get(*number).map(|parent| &parent.platform),
            Origin::Scratch | Origin::Base(_) | Origin::Context(_) => None,
        };
        let platform = platform.or_else(|| inherited.cloned());
        let triggers = match is_replaced {
            true => Vec::new(),
            false => self.triggers(&origin, &stage.base.span, bases, report),
        };
        Resolved {
            platform: platform.unwrap_or_else(|| self.options.platform.clone()),
            triggers,
            origin,
            is_replaced,
        }
    }

    /// A named context with the stage's name stands in for the stage.
    fn replacement(&self, stage: &Stage, platform: Option<&Platform>) -> Option<Origin> {
        let name = stage.key()?;
        self.named_context(&name, platform)
    }

    fn base(
        &self,
        stage: &Stage,
        platform: Option<&Platform>,
        globals: &Globals,
        report: &mut Report,
    ) -> Origin {
        let Some(name) = base_name(&stage.base, self.file.escape, globals, report) else {
            return Origin::Scratch;
        };
        if name.is_empty() {
            report.problem_with_hint(
                "blank-base",
                &stage.base.span,
                format!("base name ({}) should not be blank", stage.base.text),
                "declare the argument before the first FROM and give it a default or --build-arg",
            );
            return Origin::Scratch;
        }
        if name == SCRATCH {
            return Origin::Scratch;
        }
        match self.earlier_stage(&name, stage.number) {
            Some(number) => Origin::Stage(number),
            None => self.image(&name, platform, &stage.base.span, stage.number, report),
        }
    }

    /// The last stage of that name before `limit`.
    fn earlier_stage(&self, name: &str, limit: usize) -> Option<usize> {
        let numbers = self.names.get(&name.to_ascii_lowercase())?;
        let earlier = numbers.partition_point(|number| *number < limit);
        numbers.get(earlier.checked_sub(1)?).copied()
    }

    fn named_context(&self, name: &str, platform: Option<&Platform>) -> Option<Origin> {
        let wanted = normal(name);
        let mut contexts = self.options.contexts.iter();
        let (name, context) = contexts.find(|(name, _)| normal(name) == wanted)?;
        let platform = platform.unwrap_or(&self.options.platform).clone();
        let source = match context {
            NamedContext::Tree => return Some(Origin::Context(name.clone())),
            NamedContext::Image(reference) => BaseSource::Image(reference.clone()),
            NamedContext::Other => BaseSource::Context(name.clone()),
        };
        Some(Origin::Base(BaseKey { source, platform }))
    }

    /// A named context or an image.
    fn image(
        &self,
        name: &str,
        platform: Option<&Platform>,
        place: &Span,
        stage: usize,
        report: &mut Report,
    ) -> Origin {
        if let Some(origin) = self.named_context(name, platform) {
            return origin;
        }
        let key = name.to_ascii_lowercase();
        let numbers = self.names.get(&key).into_iter().flatten();
        if let Some(later) = numbers.copied().find(|number| *number >= stage) {
            let (code, message) = if later == stage {
                (
                    "circular-stage",
                    format!("circular dependency detected on stage: {name}"),
                )
            } else {
                (
                    "later-stage",
                    format!("stage {name:?} is defined after it is used"),
                )
            };
            report.problem_with_hint(
                code,
                place,
                message,
                "move the stage that is needed above this one",
            );
            return Origin::Scratch;
        }
        match name.parse::<Reference>() {
            Ok(reference) => Origin::Base(BaseKey {
                source: BaseSource::Image(reference),
                platform: platform.unwrap_or(&self.options.platform).clone(),
            }),
            Err(error) => {
                let names = self.file.stages.iter().filter_map(|s| s.name.as_ref());
                let near = nearest(name, names.map(|word| word.text.as_str()));
                let hint = near.map_or_else(
                    || "it is the name of an earlier stage, of a context or of an image".to_owned(),
                    |near| format!("did you mean stage {near}?"),
                );
                let message = format!("failed to parse stage name {name:?}: {error}");
                report.problem_with_hint("invalid-base", place, message, hint);
                Origin::Scratch
            }
        }
    }

    /// What `--from` and `from=` of a stage speak of.
    pub(crate) fn origin_of(&self, used: &NameUse, stage: usize, report: &mut Report) -> Origin {
        if let Ok(number) = used.name.parse::<usize>() {
            if number < stage {
                return Origin::Stage(number);
            }
            let message = format!("invalid stage index {number}");
            let hint = "only stages above this one can be used, counted from 0";
            report.problem_with_hint("invalid-stage-index", &used.place, message, hint);
            return Origin::Scratch;
        }
        if used.name == SCRATCH {
            return Origin::Scratch;
        }
        match self.earlier_stage(&used.name, stage) {
            Some(number) => Origin::Stage(number),
            None => self.image(&used.name, None, &used.place, stage, report),
        }
    }

    /// The instructions that an image or a stage has for those upon it.
    fn triggers(
        &self,
        origin: &Origin,
        place: &Span,
        bases: &Bases,
        report: &mut Report,
    ) -> Vec<Instruction> {
        let texts: Vec<&str> = match origin {
            Origin::Scratch | Origin::Context(_) => return Vec::new(),
            Origin::Base(key) => match bases.get(key) {
                Some(config) => config.run.on_build.iter().map(String::as_str).collect(),
                None => return Vec::new(),
            },
            Origin::Stage(number) => {
                let stage = self.file.stages.get(*number);
                let instructions = stage.map_or(&[][..], |stage| &stage.instructions);
                instructions.iter().filter_map(trigger_text).collect()
            }
        };
        let mut triggers = Vec::new();
        for text in texts {
            match parse::trigger(text, place) {
                Ok(instructions) => triggers.extend(instructions),
                Err(problems) => report.problems.extend(problems.into_iter().map(|problem| {
                    let message = format!("{} (of ONBUILD {text})", problem.message);
                    Diagnostic { message, ..problem }
                })),
            }
        }
        triggers
    }

    /// A base that makes no sense unless an argument is given.
    fn check_default(&self, stage: &Stage, defaults: &Globals, report: &mut Report) {
        let base = &stage.base;
        if !base.text.contains('$') {
            return;
        }
        // What is wrong with the word itself is told by the real expansion.
        let Ok(expanded) = expand::expand(&base.text, Rules::new(self.file.escape), defaults)
        else {
            return;
        };
        let is_stage = self.names.contains_key(&expanded.text.to_ascii_lowercase());
        if expanded.text != SCRATCH && !is_stage && expanded.text.parse::<Reference>().is_err() {
            let message = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                base.text
            );
            report.find(Rule::InvalidDefaultArgInFrom, &base.span, message);
        }
    }

    fn find_target(&self, report: &mut Report) -> Option<usize> {
        let last = self.file.stages.len().checked_sub(1)?;
        let Some(target) = &self.options.target else {
            return Some(last);
        };
        let key = target.to_ascii_lowercase();
        let stages = || self.file.stages.iter();
        if let Some(found) = stages().rev().find(|s| s.key().as_ref() == Some(&key)) {
            return Some(found.number);
        }
        let names: Vec<&str> = stages()
            .filter_map(|s| s.name.as_ref())
            .map(|w| w.text.as_str())
            .collect();
        let hint = match (nearest(target, names.iter().copied()), names.as_slice()) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, []) => "no stage has a name: write FROM IMAGE AS NAME".to_owned(),
            (None, names) => format!("the stages are {}", names.join(", ")),
        };
        let message = format!("target stage {target:?} could not be found");
        report
            .problems
            .push(Diagnostic::error("unknown-target", message).hint(hint));
        None
    }

    /// Marks what the target needs. A stage needs only earlier ones.
    fn mark(&mut self, report: &mut Report) {
        let mut pending = vec![self.target];
        while let Some(number) = pending.pop() {
            let Some(is_needed) = self.is_needed.get_mut(number) else {
                continue;
            };
            if std::mem::replace(is_needed, true) {
                continue;
            }
            for origin in self.needs(number, report) {
                match origin {
                    Origin::Stage(earlier) => pending.push(earlier),
                    Origin::Base(key) => {
                        self.keys.insert(key);
                    }
                    Origin::Scratch | Origin::Context(_) => {}
                }
            }
        }
    }

    fn needs(&self, number: usize, report: &mut Report) -> Vec<Origin> {
        let (Some(stage), Some(resolved)) =
            (self.file.stages.get(number), self.resolved.get(number))
        else {
            return Vec::new();
        };
        let mut origins = vec![resolved.origin.clone()];
        if !resolved.is_replaced {
            for instruction in resolved.triggers.iter().chain(&stage.instructions) {
                for used in names_used(instruction) {
                    origins.push(self.origin_of(&used, number, report));
                }
            }
        }
        origins
    }
}

/// The images that are needed and whose configs aren't in `known`, in the
/// order in which they are met. Images may ask for more images by ONBUILD, so
/// whoever has looked these up asks again, until nothing is missing.
///
/// # Errors
/// Everything that is wrong with the stages, their names and the target.
pub(crate) fn missing(
    file: &Dockerfile,
    options: &Options,
    known: &Bases,
) -> Result<Vec<BaseKey>, Vec<Diagnostic>> {
    let mut report = Report::default();
    let globals = Globals::new(file, options, &mut report);
    let stages = Stages::resolve(file, options, &globals, known, &mut report);
    match stages {
        Some(stages) if report.problems.is_empty() => Ok(stages
            .keys
            .into_iter()
            .filter(|key| !known.contains_key(key))
            .collect()),
        Some(_) | None => Err(report.problems),
    }
}

/// Expands the name behind FROM.
fn base_name(base: &Word, escape: char, globals: &Globals, report: &mut Report) -> Option<String> {
    match expand::expand(&base.text, Rules::new(escape), globals) {
        Ok(expanded) => {
            for name in expanded
                .unset
                .iter()
                .filter(|name| !globals.is_declared(name))
            {
                report.undefined(Rule::UndefinedArgInFrom, name, &base.span, globals.names());
            }
            Some(expanded.text)
        }
        Err(error) => {
            report.expansion(&error, &base.span);
            None
        }
    }
}

fn from_platform(
    stage: &Stage,
    word: &Word,
    file: &Dockerfile,
    globals: &Globals,
    report: &mut Report,
) -> Option<Platform> {
    if matches!(word.text.as_str(), "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
        let message = format!(
            "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
            word.text
        );
        report.find(Rule::RedundantTargetPlatform, &word.span, message);
    } else if !word.text.contains('$') && !is_chosen_by_name(stage, file) {
        let message = format!(
            "FROM --platform flag should not use constant value {:?}",
            word.text
        );
        report.find(Rule::FromPlatformFlagConstDisallowed, &word.span, message);
    }
    let text = base_name(word, file.escape, globals, report)?;
    if text.is_empty() {
        let message = format!("empty platform value from expression {}", word.text);
        report.problem("invalid-platform", &word.span, message);
        return None;
    }
    match text.parse() {
        Ok(platform) => Some(platform),
        Err(error) => {
            let message = format!("failed to parse platform: {error}");
            report.problem("invalid-platform", &word.span, message);
            None
        }
    }
}

/// Whether another FROM picks this stage by a variable in its name, as in
/// `FROM build_$TARGETARCH`: then a fixed platform is what is meant.
fn is_chosen_by_name(stage: &Stage, file: &Dockerfile) -> bool {
    let Some(name) = stage.key() else {
        return false;
    };
    file.stages.iter().any(|other| {
        let base = other.base.text.to_ascii_lowercase();
        match base.split_once('$') {
            Some((prefix, _)) => !prefix.is_empty() && name.starts_with(prefix),
            None => false,
        }
    })
}

fn trigger_text(instruction: &Instruction) -> Option<&str> {
    match &instruction.kind {
        Kind::OnBuild(trigger) => Some(&trigger.text),
        _ => None,
    }
}

/// The names that an instruction's flags speak of.
fn names_used(instruction: &Instruction) -> Vec<NameUse> {
    match &instruction.kind {
        Kind::Copy(copy) => copy.from.iter().map(name_use).collect(),
        Kind::Run(run) => {
            let from = |word: &Word| {
                let name = mount::from(&word.text)?;
                Some(NameUse {
                    name,
                    place: word.span.clone(),
                })
            };
            run.mounts.iter().filter_map(from).collect()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn name_use(word: &Word) -> NameUse {
    NameUse {
        name: word.text.trim_matches(['"', '\'']).to_owned(),
        place: word.span.clone(),
    }
}

/// A context's or an image's name in the one form in which they are compared.
fn normal(name: &str) -> String {
    match name.parse::<Reference>() {
        Ok(reference) => {
            let familiar = reference.familiar();
            familiar
                .strip_suffix(":latest")
                .unwrap_or(&familiar)
                .to_owned()
        }
        Err(_) => path::clean(&name.to_ascii_lowercase()),
    }
}

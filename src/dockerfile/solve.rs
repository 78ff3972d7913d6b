//! From a Dockerfile and its options to a build graph.
//!
//! Stages are gone through in the order of the file, as each needs only
//! earlier ones; those that the target doesn't need are left out. What an
//! instruction does to its stage is in `apply`.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::diagnostic::Diagnostic;
use crate::dockerfile::checks;
use crate::dockerfile::options::{Bases, NoCache, Options};
use crate::dockerfile::parse::Dockerfile;
use crate::dockerfile::report::Report;
use crate::dockerfile::resolve::{self, Origin, Resolved, Stages};
use crate::dockerfile::scope::{self, Globals, Scope};
use crate::dockerfile::step::{
    Base, BaseId, BaseKey, BuildGraph, HistoryEntry, Op, Root, StageInfo, Step, StepId,
};
use crate::oci::{ImageConfig, Platform};

/// The search path of images that have none.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Most bytes that all words, environments and histories of a graph may have:
/// each line may be twice as long as the one before it.
pub const GRAPH_BYTES_MAX: usize = 64 << 20;

/// A stage as it stands after some of its instructions.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) root: Root,
    pub(crate) config: ImageConfig,
    pub(crate) scope: Scope,
    pub(crate) history: Vec<HistoryEntry>,
    /// Whether CMD stood in this stage, so that ENTRYPOINT keeps it.
    pub(crate) is_cmd_own: bool,
    /// Whether an absolute WORKDIR was seen.
    pub(crate) is_workdir_set: bool,
}

/// What goes on while a graph is made.
pub(crate) struct Solver<'a> {
    pub(crate) file: &'a Dockerfile,
    pub(crate) options: &'a Options,
    pub(crate) globals: Globals,
    pub(crate) stages: Stages<'a>,
    pub(crate) report: Report,
    bases: &'a Bases,
    used_bases: IndexSet<BaseKey>,
    steps: Vec<Step>,
    infos: Vec<StageInfo>,
    /// What each stage that was gone through has become.
    done: IndexMap<usize, State>,
    contexts: IndexSet<String>,
    pub(crate) is_context_used: bool,
    /// Bytes that the graph may still come to.
    budget: usize,
}

impl Dockerfile {
    /// The images that the target needs and whose configs aren't in `known`.
    /// Images may ask for more images by ONBUILD, so whoever has looked these
    /// up asks again, until nothing is missing.
    ///
    /// # Errors
    /// Everything that is wrong with the stages, their names and the target.
    pub fn bases(&self, options: &Options, known: &Bases) -> Result<Vec<BaseKey>, Vec<Diagnostic>> {
        resolve::missing(self, options, known)
    }

    /// The build graph of the target. `bases` has every image that
    /// [`Dockerfile::bases`] asked for.
    ///
    /// # Errors
    /// Everything that is wrong with what the target needs, and build checks
    /// when they are errors.
    pub fn solve(&self, options: &Options, bases: &Bases) -> Result<BuildGraph, Vec<Diagnostic>> {
        let mut report = Report::default();
        let globals = Globals::new(self, options, &mut report);
        let epoch = epoch(self, options, &mut report);
        let stages = Stages::resolve(self, options, &globals, bases, &mut report);
        let Some(stages) = stages.filter(|_| report.problems.is_empty()) else {
            return Err(report.problems);
        };
        let mut solver = Solver {
            file: self,
            options,
            globals,
            stages,
            report,
            bases,
            used_bases: IndexSet::new(),
            steps: Vec::new(),
            infos: Vec::new(),
            done: IndexMap::new(),
            contexts: IndexSet::new(),
            is_context_used: false,
            budget: GRAPH_BYTES_MAX,
        };
        solver.unused_arguments();
        let needed: Vec<usize> = (0..self.stages.len())
            .filter(|number| solver.stages.is_needed.get(*number) == Some(&true))
            .collect();
        for number in needed {
            solver.stage(number);
        }
        solver.finish(epoch)
    }
}

impl<'a> Solver<'a> {
    fn stage(&mut self, number: usize) {
        let (Some(stage), Some(resolved)) = (
            self.file.stages.get(number),
            self.stages.resolved.get(number).cloned(),
        ) else {
            return;
        };
        let name = stage.name.as_ref();
        self.infos.push(StageInfo {
            number,
            name: name.map_or_else(|| format!("stage-{number}"), |word| word.text.clone()),
            platform: resolved.platform.clone(),
            steps: 0,
        });
        let Some(mut state) = self.begin(&resolved) else {
            let message = format!("the image of {:?} isn't known", stage.base.text);
            self.report
                .problem("unknown-base", &stage.base.span, message);
            return;
        };
        if !resolved.is_replaced {
            let own = stage.instructions.iter();
            for instruction in resolved.triggers.iter().chain(own) {
                self.apply(number, instruction, &mut state);
            }
        }
        self.done.insert(number, state);
    }

    /// A stage as its FROM leaves it; nothing when its image isn't known.
    fn begin(&mut self, resolved: &Resolved) -> Option<State> {
        let root = self.root(&resolved.origin)?;
        let config = match &resolved.origin {
            Origin::Stage(number) => {
                let mut state = self.done.get(number)?.clone();
                let history = state.history.iter();
                let bytes: usize = history.map(|entry| entry.created_by.len() + 32).sum();
                self.spend(bytes + state.scope.bytes(), None);
                state.config.run.on_build.clear();
                state.is_cmd_own = false;
                state.scope = state.scope.inherited();
                return Some(state);
            }
            Origin::Base(key) => {
                let mut config = ImageConfig::clone(self.bases.get(key)?);
                config.run.on_build.clear();
                config
            }
            Origin::Scratch | Origin::Context(_) => empty(&resolved.platform),
        };
        Some(State {
            root,
            scope: Scope::of(&config.run.env),
            config,
            history: Vec::new(),
            is_cmd_own: false,
            is_workdir_set: false,
        })
    }

    /// The root file system of an origin, and a note that it is used.
    pub(crate) fn root(&mut self, origin: &Origin) -> Option<Root> {
        Some(match origin {
            Origin::Scratch => Root::Scratch,
            Origin::Stage(number) => self.done.get(number)?.root.clone(),
            Origin::Base(key) => {
                self.bases.get(key)?;
                Root::Base(BaseId(self.used_bases.insert_full(key.clone()).0))
            }
            Origin::Context(name) => {
                self.contexts.insert(name.clone());
                Root::Context(name.clone())
            }
        })
    }

    /// Adds a step to a stage and puts it under what follows.
    pub(crate) fn push(
        &mut self,
        stage: usize,
        source: &Source<'_>,
        op: Op,
        state: &mut State,
    ) -> StepId {
        let id = StepId(self.steps.len());
        let position = self.infos.len().saturating_sub(1);
        let number = self.infos.last_mut().map_or(1, |info| {
            info.steps += 1;
            info.steps
        });
        self.steps.push(Step {
            id,
            stage: position,
            number,
            span: source.span.clone(),
            text: source.text.to_owned(),
            parent: state.root.clone(),
            is_cached: self.is_cached(stage),
            op,
        });
        state.root = Root::Step(id);
        id
    }

    /// Counts what is added to the graph; false, and told once, when it is too much.
    pub(crate) fn spend(&mut self, bytes: usize, place: Option<&crate::diagnostic::Span>) -> bool {
        let was_enough = self.budget > 0;
        self.budget = self.budget.saturating_sub(bytes);
        if self.budget == 0 && was_enough {
            let message = "the Dockerfile comes to more than 64 MiB of words and variables";
            let problem = Diagnostic::error("too-long", message);
            self.report.problems.push(match place {
                Some(place) => problem.at(place.clone()),
                None => problem,
            });
        }
        self.budget > 0
    }

    fn is_cached(&self, stage: usize) -> bool {
        let name = self.file.stages.get(stage).and_then(|stage| stage.key());
        match &self.options.no_cache {
            NoCache::Off => true,
            NoCache::All => false,
            NoCache::Stages(names) => !names
                .iter()
                .any(|filter| Some(filter.to_ascii_lowercase()) == name),
        }
    }

    fn unused_arguments(&mut self) {
        let stages = self
            .file
            .stages
            .iter()
            .flat_map(|stage| &stage.instructions);
        let in_stages = stages.filter_map(|instruction| match &instruction.kind {
            crate::dockerfile::instruction::Kind::Arg(args) => Some(args),
            _ => None,
        });
        let triggers = self.stages.resolved.iter().flat_map(|r| &r.triggers);
        let in_triggers = triggers.filter_map(|instruction| match &instruction.kind {
            crate::dockerfile::instruction::Kind::Arg(args) => Some(args),
            _ => None,
        });
        let declared: IndexSet<&str> = self
            .file
            .globals
            .iter()
            .chain(in_stages.flatten())
            .chain(in_triggers.flatten())
            .map(|arg| arg.name.text.as_str())
            .collect();
        let unused: Vec<&str> = self
            .options
            .build_args
            .keys()
            .map(String::as_str)
            .filter(|name| !declared.contains(name))
            .filter(|name| !scope::is_predefined(name, &self.globals))
            .collect();
        if !unused.is_empty() {
            let message = format!(
                "one or more build-args [{}] were not consumed",
                unused.join(" ")
            );
            self.report.warnings.push(
                Diagnostic::warning("unused-build-arg", message)
                    .hint("declare it with ARG in the stage that uses it"),
            );
        }
    }

    fn finish(mut self, epoch: Option<i64>) -> Result<BuildGraph, Vec<Diagnostic>> {
        let settings = self.options.build_args.get("BUILDKIT_DOCKERFILE_CHECK");
        let settings = settings.map(|text| text.parse::<checks::Settings>());
        let settings = match settings {
            None => self.file.checks.clone(),
            Some(Ok(settings)) => settings,
            Some(Err(error)) => {
                let message = format!("BUILDKIT_DOCKERFILE_CHECK: {error}");
                self.report
                    .problems
                    .push(Diagnostic::error("invalid-check", message));
                checks::Settings::default()
            }
        };
        let findings = self.file.findings.iter().cloned();
        let told = settings.tell(findings.chain(self.report.findings));
        let mut problems = self.report.problems;
        if settings.is_error {
            problems.extend(told.iter().cloned());
        }
        let state = self.done.swap_remove(&self.stages.target);
        let (Some(state), true) = (state, problems.is_empty()) else {
            return Err(problems);
        };
        let mut config = state.config;
        config.run.env = state.scope.config_env();
        config.run.labels.extend(self.options.labels.clone());
        let mut warnings = self.report.warnings;
        warnings.extend(told);
        let base = |key: BaseKey| {
            let config = self.bases.get(&key).map(Arc::clone).unwrap_or_default();
            Base { key, config }
        };
        Ok(BuildGraph {
            steps: self.steps,
            bases: self.used_bases.into_iter().map(base).collect(),
            stages: self.infos,
            output: state.root,
            config,
            history: state.history,
            epoch,
            contexts: self.contexts.into_iter().collect(),
            is_context_used: self.is_context_used,
            warnings,
        })
    }
}

/// Where a step comes from.
pub(crate) struct Source<'a> {
    pub(crate) span: &'a crate::diagnostic::Span,
    pub(crate) text: &'a str,
}

/// The config of an image with nothing in it.
fn empty(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig {
        architecture: platform.architecture().to_owned(),
        os: platform.os().to_owned(),
        variant: platform.variant().map(str::to_owned),
        ..ImageConfig::default()
    };
    config.run.env = vec![format!("PATH={DEFAULT_PATH}")];
    config.run.working_dir = "/".to_owned();
    config
}

fn epoch(file: &Dockerfile, options: &Options, report: &mut Report) -> Option<i64> {
    let text = options.build_args.get("SOURCE_DATE_EPOCH")?;
    if text.is_empty() {
        return None;
    }
    let epoch = text.parse().ok().filter(|epoch| *epoch >= 0);
    if epoch.is_none() {
        let message = format!("invalid SOURCE_DATE_EPOCH {text:?}: it is seconds since 1970");
        report.problem("invalid-epoch", &file.source.span(0, 0), message);
    }
    epoch
}

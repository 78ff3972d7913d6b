//! What a changed path leads to, by the rules of `develop.watch`.
//!
//! Pure: patterns and paths come in, work goes out. Whether a path is there is
//! for those to find out who do the work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dockerfile::Ignore;
use crate::model::{Hook, ServiceName, WatchAction, WatchRule};

/// What editors and other tools put down beside files for a moment.
const PASSING: &str = "\
**/.git
**/.idea
**/*___jb_tmp___
**/*___jb_old___
**/.#*
**/#*#
**/4913
**/*~
**/.*.sw?
**/.*.swpx
**/.*.kate-swp
**/.goutputstream-*
";

/// One rule of one service, ready to be asked.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Whose containers it is about.
    pub(crate) service: ServiceName,
    /// What is done.
    pub(crate) action: WatchAction,
    /// The file or folder that is watched.
    pub(crate) path: PathBuf,
    /// Where it goes in the containers.
    pub(crate) target: Option<PathBuf>,
    /// Runs after the copy.
    pub(crate) exec: Option<Hook>,
    /// Whether everything is copied at first.
    pub(crate) initial_sync: bool,
    include: Option<Ignore>,
    ignores: Vec<(PathBuf, Ignore)>,
}

/// What a set of changes leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Services whose images are built again.
    pub(crate) rebuild: BTreeSet<ServiceName>,
    /// For each service what is copied: from the path in the container to that
    /// of the host. Folders come before what is in them.
    pub(crate) sync: BTreeMap<ServiceName, BTreeMap<PathBuf, PathBuf>>,
    /// Services that are restarted.
    pub(crate) restart: BTreeSet<ServiceName>,
    /// Numbers of the rules whose commands run.
    pub(crate) exec: BTreeSet<usize>,
}

impl Rule {
    /// Reads the patterns of a rule. `context` is the service's build context
    /// with the rules of its `.dockerignore`.
    ///
    /// # Errors
    /// The pattern that is none.
    pub(crate) fn new(
        service: &ServiceName,
        rule: &WatchRule,
        context: Option<(PathBuf, Ignore)>,
    ) -> Result<Self, String> {
        let mut ignores = vec![(rule.path.clone(), parse(PASSING)?)];
        ignores.extend(context);
        if !rule.ignore.is_empty() {
            ignores.push((rule.path.clone(), parse(&rule.ignore.join("\n"))?));
        }
        let include = (!rule.include.is_empty()).then(|| parse(&rule.include.join("\n")));
        Ok(Self {
            service: service.clone(),
            action: rule.action,
            path: rule.path.clone(),
            target: rule.target.clone(),
            exec: rule.exec.clone(),
            initial_sync: rule.initial_sync,
            include: include.transpose()?,
            ignores,
        })
    }

    /// Whether the rule is about a path.
    pub(crate) fn takes(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.path) else {
            return false;
        };
        // What a pattern can't say isn't matched by any.
        let below = below.to_string_lossy();
        if let Some(include) = &self.include
            && !include.is_ignored(&below)
        {
            return false;
        }
        !self.ignores.iter().any(|(base, ignore)| {
            let below = path.strip_prefix(base).ok();
            below.is_some_and(|below| {
                !below.as_os_str().is_empty() && ignore.is_ignored(&below.to_string_lossy())
            })
        })
    }

    /// Whether nothing in a folder can matter to the rule.
    pub(crate) fn passes_over(&self, folder: &Path) -> bool {
        if self.path.starts_with(folder) {
            return false;
        }
        if !folder.starts_with(&self.path) {
            return true;
        }
        self.ignores.iter().any(|(base, ignore)| {
            let Ok(below) = folder.strip_prefix(base) else {
                return false;
            };
            let below = below.to_string_lossy();
            !below.is_empty() && ignore.is_ignored(&below) && !ignore.may_return_below(&below)
        })
    }

    /// Where a path of the host goes in the containers.
    pub(crate) fn place(&self, path: &Path) -> Option<PathBuf> {
        let target = Path::new("/").join(self.target.as_ref()?);
        let below = path.strip_prefix(&self.path).ok()?;
        Some(if below.as_os_str().is_empty() {
            target
        } else {
            target.join(below)
        })
    }
}

fn parse(text: &str) -> Result<Ignore, String> {
    Ignore::parse(text, &Arc::new(PathBuf::new())).map_err(|problems| {
        let messages: Vec<String> = problems.into_iter().map(|it| it.message).collect();
        messages.join(", ")
    })
}

/// What changes of these paths lead to.
pub(crate) fn work<'p>(rules: &[Rule], changed: impl IntoIterator<Item = &'p PathBuf>) -> Work {
    let mut work = Work::default();
    for path in changed {
        for (number, rule) in rules.iter().enumerate() {
            if rule.takes(path) {
                work.add(number, rule, path);
            }
        }
    }
    work
}

/// Files that describe the project rather than belong to it, which aren't
/// copied before they change.
const ABOUT: &[&str] = &[
    "Dockerfile",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

/// What the rules want copied before anything has changed.
pub(crate) fn first_work<'p>(
    rules: &[Rule],
    present: impl IntoIterator<Item = &'p PathBuf>,
) -> Work {
    let mut work = Work::default();
    for path in present {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| ABOUT.contains(&name)) {
            continue;
        }
        for rule in rules {
            if rule.initial_sync && rule.takes(path) {
                work.copy(rule, path);
            }
        }
    }
    work
}

impl Work {
    /// The copies of these services alone.
    pub(crate) fn of(mut self, services: &BTreeSet<ServiceName>) -> Self {
        self.sync.retain(|service, _| services.contains(service));
        self
    }

    fn add(&mut self, number: usize, rule: &Rule, path: &Path) {
        if rule.action.copies() {
            self.copy(rule, path);
        }
        match rule.action {
            WatchAction::Rebuild => {
                self.rebuild.insert(rule.service.clone());
            }
            WatchAction::Restart | WatchAction::SyncRestart => {
                self.restart.insert(rule.service.clone());
            }
            WatchAction::SyncExec => {
                self.exec.insert(number);
            }
            WatchAction::Sync => {}
        }
    }

    fn copy(&mut self, rule: &Rule, path: &Path) {
        if let Some(place) = rule.place(path) {
            let files = self.sync.entry(rule.service.clone()).or_default();
            files.insert(place, path.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, action: WatchAction) -> WatchRule {
        WatchRule {
            path: path.into(),
            action,
            target: action.copies().then(|| "/app".into()),
            ignore: Vec::new(),
            include: Vec::new(),
            exec: None,
            initial_sync: false,
        }
    }

    fn ready(rule: &WatchRule) -> Rule {
        Rule::new(&"web".parse().unwrap(), rule, None).unwrap()
    }

    fn taken<'a>(rule: &Rule, paths: &[&'a str]) -> Vec<&'a str> {
        let takes = |path: &&&str| rule.takes(Path::new(**path));
        paths.iter().filter(takes).copied().collect()
    }

    #[test]
    fn only_what_lies_below_counts() {
        let rule = ready(&rule("/p/src", WatchAction::Sync));
        let paths = ["/p/src", "/p/src/a", "/p/src/b/c", "/p/srcs/a", "/p", "/q"];
        assert_eq!(taken(&rule, &paths), ["/p/src", "/p/src/a", "/p/src/b/c"]);
    }

    #[test]
    fn what_passes_is_never_taken() {
        let rule = ready(&rule("/p", WatchAction::Sync));
        let paths = [
            "/p/.git/index",
            "/p/sub/.git/HEAD",
            "/p/a.txt~",
            "/p/.a.txt.swp",
            "/p/.a.txt.swx",
            "/p/4913",
            "/p/.#lock",
            "/p/#auto#",
            "/p/a___jb_tmp___",
            "/p/.gitignore",
            "/p/a.txt",
        ];
        assert_eq!(taken(&rule, &paths), ["/p/.gitignore", "/p/a.txt"]);
        assert!(rule.passes_over(Path::new("/p/.git")));
    }

    #[test]
    fn ignore_and_include_count_from_the_path() {
        let mut written = rule("/p/web", WatchAction::Sync);
        written.ignore = vec!["node_modules/".into(), "*.log".into(), "!keep.log".into()];
        let ignoring = ready(&written);
        let paths = [
            "/p/web/a.js",
            "/p/web/node_modules/x/y.js",
            "/p/web/a.log",
            "/p/web/keep.log",
            "/p/web/sub/a.log",
        ];
        assert_eq!(
            taken(&ignoring, &paths),
            ["/p/web/a.js", "/p/web/keep.log", "/p/web/sub/a.log"]
        );
        written.ignore.clear();
        written.include = vec!["**/*.js".into()];
        let including = ready(&written);
        assert_eq!(
            taken(&including, &paths),
            ["/p/web/a.js", "/p/web/node_modules/x/y.js"]
        );
        written.include = vec!["[".into()];
        assert!(Rule::new(&"web".parse().unwrap(), &written, None).is_err());
    }

    #[test]
    fn the_context_s_ignore_file_counts_from_the_context() {
        let ignore = parse("web/tmp\n*.md\n").unwrap();
        let written = rule("/p/web", WatchAction::Rebuild);
        let rule = Rule::new(
            &"web".parse().unwrap(),
            &written,
            Some(("/p".into(), ignore)),
        )
        .unwrap();
        let paths = ["/p/web/tmp/a", "/p/web/x.md", "/p/web/a"];
        assert_eq!(taken(&rule, &paths), ["/p/web/x.md", "/p/web/a"]);
        assert!(rule.passes_over(Path::new("/p/web/tmp")));
        assert!(!rule.passes_over(Path::new("/p/web/src")));
    }

    #[test]
    fn folders_are_walked_that_may_matter() {
        let mut written = rule("/p/web", WatchAction::Sync);
        written.ignore = vec!["out".into(), "gen".into(), "!gen/kept".into()];
        let rule = ready(&written);
        let over = |path: &str| rule.passes_over(Path::new(path));
        assert!(over("/p/web/out"));
        assert!(!over("/p/web/gen"), "an exception lies below");
        assert!(!over("/p"), "the path lies below");
        assert!(over("/q") && over("/p/api"));
    }

    #[test]
    fn a_path_goes_to_its_place_below_the_target() {
        let rule = ready(&rule("/p/src", WatchAction::Sync));
        let place = |path: &str| rule.place(Path::new(path));
        assert_eq!(place("/p/src/a/b"), Some("/app/a/b".into()));
        assert_eq!(place("/p/src"), Some("/app".into()));
        assert_eq!(place("/q"), None);
    }

    #[test]
    fn each_action_leads_to_its_work() {
        let actions = [
            WatchAction::Rebuild,
            WatchAction::Sync,
            WatchAction::Restart,
            WatchAction::SyncRestart,
            WatchAction::SyncExec,
        ];
        let rules: Vec<Rule> = actions
            .iter()
            .map(|&action| {
                let path = format!("/p/{action:?}");
                ready(&rule(&path, action))
            })
            .collect();
        let done = |path: &str| work(&rules, [&PathBuf::from(path)]);
        let web: ServiceName = "web".parse().unwrap();
        let copied = |path: &str| {
            let files = [(PathBuf::from("/app/f"), PathBuf::from(path))];
            [(web.clone(), files.into())].into()
        };
        assert_eq!(done("/p/Rebuild/f").rebuild, [web.clone()].into());
        assert_eq!(done("/p/Rebuild/f").sync, BTreeMap::new());
        assert_eq!(done("/p/Sync/f").sync, copied("/p/Sync/f"));
        assert_eq!(done("/p/Restart/f").restart, [web.clone()].into());
        let both = done("/p/SyncRestart/f");
        assert_eq!(both.sync, copied("/p/SyncRestart/f"));
        assert_eq!(both.restart, [web.clone()].into());
        let both = done("/p/SyncExec/f");
        assert_eq!(both.sync, copied("/p/SyncExec/f"));
        assert_eq!(both.exec, [4].into());
        assert_eq!(done("/elsewhere"), Work::default());
    }

    #[test]
    fn the_first_copy_is_of_those_rules_that_want_it() {
        let mut wants = rule("/p/a", WatchAction::SyncRestart);
        wants.initial_sync = true;
        let rules = [ready(&wants), ready(&rule("/p/b", WatchAction::Sync))];
        let present = [PathBuf::from("/p/a/f"), PathBuf::from("/p/b/f")];
        let work = first_work(&rules, &present);
        assert_eq!(work.sync.values().next().unwrap().len(), 1);
        assert!(work.restart.is_empty());
        let about = [PathBuf::from("/p/a/Dockerfile")];
        assert_eq!(first_work(&rules, &about), Work::default());
        assert_eq!(work.of(&BTreeSet::new()), Work::default());
    }
}

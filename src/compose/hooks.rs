//! What a `pre_start` hook has of its service: its container is the service's
//! but for what the hook says itself.
//!
//! `config` prints hooks without their service's mounts, which they share when
//! they run, and with files of variables unread; `recipes` adds both.

use std::collections::HashMap;

use crate::compose::attribute::{self, Schema};
use crate::compose::canonical::{self, Templates};
use crate::compose::envfile;
use crate::compose::load::Loader;
use crate::compose::merge;
use crate::compose::node::{Node, Value};
use crate::compose::problem::Problems;
use crate::compose::trail::Trail;
use crate::compose::unique;

/// The path of a hook's row.
const HOOK: &str = "services.*.pre_start.[]";

/// Completes a service's hooks with what they have of it.
pub(crate) fn inherit(service: &mut Node, templates: Templates, problems: &mut Problems) {
    let Some(schema) = attribute::root().at(HOOK) else {
        return;
    };
    let Some(mut hooks) = service
        .get_mut("pre_start")
        .map(|hooks| std::mem::replace(&mut hooks.value, Value::Null))
    else {
        return;
    };
    if let Value::List(hooks) = &mut hooks {
        for hook in hooks.iter_mut().filter(|hook| hook.as_map().is_some()) {
            complete(hook, service, schema, templates, problems);
        }
    }
    if let Some(node) = service.get_mut("pre_start") {
        node.value = hooks;
    }
}

fn complete(
    hook: &mut Node,
    service: &Node,
    schema: &'static Schema,
    templates: Templates,
    problems: &mut Problems,
) {
    let mut whole = Node::map(hook.place);
    for key in schema.keys().iter().filter(|key| **key != "volumes") {
        if let Some(value) = service.get(key).filter(|value| !value.is_null()) {
            whole.set(key, value.clone());
        }
    }
    let own = std::mem::replace(hook, Node::null(hook.place));
    merge::merge(&mut whole, own, Some(schema), &Trail::ROOT, problems);
    // Merging leaves short forms behind, and one entry may stand twice.
    unique::enforce(&mut whole, schema, problems);
    canonical::canonicalize(&mut whole, schema, templates, problems);
    *hook = whole;
}

/// The containers that the hooks of each service run in.
pub(crate) fn recipes(loader: &mut Loader<'_>, root: &Node) -> HashMap<String, Vec<Node>> {
    let mut recipes = HashMap::new();
    for (name, service) in root.entries_at("services") {
        let hooks = service.items_at("pre_start");
        if !hooks.is_empty() {
            let hooks = hooks.iter().map(|hook| recipe(loader, hook, service, name));
            recipes.insert(name.to_owned(), hooks.collect());
        }
    }
    recipes
}

fn recipe(loader: &mut Loader<'_>, hook: &Node, service: &Node, name: &str) -> Node {
    let mut whole = hook.clone();
    let target = |mount: &Node| mount.text_at("target").map(str::to_owned);
    let own: Vec<_> = hook.items_at("volumes").iter().map(target).collect();
    let shared = service.items_at("volumes").iter();
    let mut mounts: Vec<Node> = shared
        .filter(|mount| !own.contains(&target(mount)))
        .cloned()
        .collect();
    mounts.extend_from_slice(hook.items_at("volumes"));
    whole.set("volumes", Node::list(mounts, hook.place));
    envfile::fold_environment(loader, &mut whole, name);
    envfile::fold_labels(loader, &mut whole, name);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::render;
    use crate::compose::yaml;

    fn inherited(service: &str) -> String {
        let mut node = yaml::parse(1, "test", service).expect(service).remove(0);
        let mut problems = Problems::default();
        inherit(&mut node, Templates::Filled, &mut problems);
        assert!(!problems.has_errors(), "{service}");
        let hooks = node.get("pre_start").expect("hooks");
        render::write_json(&render::plain(hooks), None)
    }

    #[test]
    fn a_hook_is_its_service_but_for_what_it_says_itself() {
        let cases = [
            (
                "{image: a, user: u, pre_start: [{command: [x]}]}",
                r#"[{"command":["x"],"image":"a","user":"u"}]"#,
            ),
            (
                "{image: a, command: [main], pre_start: [{user: v}, {command: [x]}]}",
                r#"[{"command":["main"],"image":"a","user":"v"},{"command":["x"],"image":"a"}]"#,
            ),
            (
                "{environment: {A: '1', B: '2'}, pre_start: [{environment: {B: '3', C: null}}]}",
                r#"[{"environment":{"A":"1","B":"3","C":null}}]"#,
            ),
            (
                "{cap_add: [X], dns: [d], pre_start: [{cap_add: [Y, X], dns: [e]}]}",
                r#"[{"cap_add":["X","Y"],"dns":["d","e"]}]"#,
            ),
            (
                "{logging: {driver: a, options: {b: c}}, pre_start: [{logging: {driver: d}}]}",
                r#"[{"logging":{"driver":"d"}}]"#,
            ),
            (
                "{networks: {n: null}, pre_start: [{networks: {m: null}}]}",
                r#"[{"networks":{"m":null,"n":null}}]"#,
            ),
        ];
        for (service, hooks) in cases {
            assert_eq!(inherited(service), hooks, "{service}");
        }
    }

    #[test]
    fn what_makes_a_service_of_it_and_its_mounts_stay_behind() {
        let service = "{image: a, ports: [{target: 1}], restart: always, tty: true, x-a: 1, \
                       volumes: [{type: volume, target: /v}], pre_start: [{per_replica: false, x-b: 2}]}";
        assert_eq!(
            inherited(service),
            r#"[{"image":"a","per_replica":false,"x-b":2}]"#
        );
    }
}

//! A later file's tree onto an earlier one's.
//!
//! Rules come from the table's merge column. Works on trees in any form,
//! short or long; what makes list entries equal is `unique`'s affair.

use crate::compose::attribute::{Merge, Schema, Unique};
use crate::compose::node::{Entry, Map, Mark, Node, Value};
use crate::compose::place::Place;
use crate::compose::problem::{Problem, Problems};
use crate::compose::trail::Trail;
use crate::compose::yaml::scalar;

/// Merges `over` onto `base`.
pub(crate) fn merge(
    base: &mut Node,
    over: Node,
    schema: Option<&'static Schema>,
    trail: &Trail<'_>,
    problems: &mut Problems,
) {
    match over.mark {
        Mark::Reset => {
            *base = Node::null(over.place);
            return;
        }
        Mark::Override => {
            *base = over;
            base.settle_marks();
            return;
        }
        Mark::Plain => {}
    }
    let rule = schema
        .and_then(Schema::attribute)
        .map_or(Merge::Deep, |row| row.merge);
    match rule {
        Merge::Replace => replace(base, over),
        Merge::Ulimit if base.as_map().is_none() || over.as_map().is_none() => replace(base, over),
        _ if over.is_null() => {}
        _ if base.is_null() => replace(base, over),
        Merge::Deep | Merge::Ulimit => deep(base, over, schema, trail, problems),
        Merge::Sequence => append(base, over, schema, sequence),
        Merge::Hosts => hosts(base, over),
        Merge::Keyed => {
            keyed(base, schema);
            let mut over = over;
            keyed(&mut over, schema);
            deep(base, over, schema, trail, problems);
        }
        Merge::Build => {
            context_form(base);
            let mut over = over;
            context_form(&mut over);
            deep(base, over, schema, trail, problems);
        }
        Merge::Logging => {
            let same = match (base.text_at("driver"), over.text_at("driver")) {
                (Some(base), Some(over)) => base == over,
                _ => true,
            };
            if same {
                deep(base, over, schema, trail, problems);
            } else {
                replace(base, over);
            }
        }
        Merge::Ipam => ipam(base, over, schema, trail, problems),
    }
}

fn replace(base: &mut Node, over: Node) {
    *base = over;
    base.settle_marks();
}

fn deep(
    base: &mut Node,
    over: Node,
    schema: Option<&'static Schema>,
    trail: &Trail<'_>,
    problems: &mut Problems,
) {
    let (base_place, over_place) = (base.place, over.place);
    match (&mut base.value, over.value) {
        (Value::Map(base), Value::Map(over)) => merge_maps(base, over, schema, trail, problems),
        (Value::List(base), Value::List(over)) => {
            // An item that is there already adds nothing.
            for mut item in over {
                if item.mark != Mark::Reset && !base.contains(&item) {
                    item.settle_marks();
                    base.push(item);
                }
            }
        }
        (Value::Map(_) | Value::List(_), _) => {
            let path = trail.numbered();
            problems.add_at(
                &path,
                Problem::error(
                    "merge-conflict",
                    format!("cannot override {path}"),
                    over_place,
                )
                .label("this has another form")
                .related(base_place, "than the value that it would be merged with")
                .hint("write both in the same form, or use `!override` to replace the earlier one"),
            );
        }
        (_, value) => {
            *base = Node::new(value, over_place);
            base.settle_marks();
        }
    }
}

fn merge_maps(
    base: &mut Map,
    over: Map,
    schema: Option<&'static Schema>,
    trail: &Trail<'_>,
    problems: &mut Problems,
) {
    for (key, mut entry) in over.into_entries() {
        if entry.node.mark == Mark::Reset {
            base.remove(&key);
            continue;
        }
        match base.get_mut(&key) {
            Some(earlier) => {
                let below = schema.and_then(|schema| schema.key(&key));
                merge(earlier, entry.node, below, &trail.key(&key), problems);
            }
            None => {
                entry.node.settle_marks();
                base.insert_entry(key, entry);
            }
        }
    }
}

type ToList = fn(Node) -> Vec<Node>;

fn append(base: &mut Node, over: Node, schema: Option<&'static Schema>, to_list: ToList) {
    remove_reset_pairs(base, &over);
    let place = base.place;
    let earlier = std::mem::replace(base, Node::null(place));
    let mut items = to_list(earlier);
    let is_pairs = schema
        .and_then(Schema::attribute)
        .is_some_and(|row| row.unique == Unique::Key);
    for item in to_list(over) {
        // The last of equal keys counts, even when its text is there already.
        if is_pairs || !items.contains(&item) {
            items.push(item);
        }
    }
    *base = Node::list(items, place);
    // One text stays one text only where a list of it means the same.
    debug_assert!(schema.is_some());
}

/// `KEY: !reset` in a mapping takes `KEY` out of the earlier list or mapping.
fn remove_reset_pairs(base: &mut Node, over: &Node) {
    let Some(over) = over.as_map() else {
        return;
    };
    for (key, _) in over.iter().filter(|(_, node)| node.mark == Mark::Reset) {
        match &mut base.value {
            Value::Map(map) => {
                map.remove(key);
            }
            Value::List(items) => items.retain(|item| {
                item.as_text()
                    .is_none_or(|text| text.split('=').next() != Some(key))
            }),
            _ => {}
        }
    }
}

/// A mapping as a list of `KEY=VALUE` by key, a text as a list of one.
pub(crate) fn sequence(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(items) => items
            .into_iter()
            .filter(|item| item.mark != Mark::Reset)
            .collect(),
        Value::Map(map) => {
            let mut pairs: Vec<_> = map
                .into_entries()
                .filter(|(_, entry)| entry.node.mark != Mark::Reset)
                .collect();
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            pairs
                .into_iter()
                .map(|(key, entry)| pair(&key, entry))
                .collect()
        }
        Value::Null => Vec::new(),
        _ => vec![node],
    }
}

fn pair(key: &str, entry: Entry) -> Node {
    if entry.node.is_null() {
        return Node::text(key, entry.key_place);
    }
    match scalar::print(&entry.node.value) {
        Some(value) => Node::text(format!("{key}={value}"), entry.node.place),
        // No scalar: the schema check says so at its place.
        None => entry.node,
    }
}

fn hosts(base: &mut Node, over: Node) {
    let place = base.place;
    let earlier = std::mem::replace(base, Node::null(place));
    let mut items = host_list(earlier);
    for item in host_list(over) {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    *base = Node::list(items, place);
}

/// `extra_hosts` as a list; several addresses of a host are several items.
pub(crate) fn host_list(node: Node) -> Vec<Node> {
    let Value::Map(map) = node.value else {
        return sequence(node);
    };
    let mut pairs: Vec<_> = map.into_entries().collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    pairs
        .into_iter()
        .flat_map(|(host, entry)| match entry.node.value {
            Value::List(addresses) => addresses
                .into_iter()
                .filter_map(|address| {
                    let text = scalar::print(&address.value)?;
                    Some(Node::text(format!("{host}={text}"), address.place))
                })
                .collect(),
            _ => vec![pair(&host, entry)],
        })
        .collect()
}

/// A list of names as a mapping from them.
pub(crate) fn keyed(node: &mut Node, schema: Option<&'static Schema>) {
    let Value::List(items) = &mut node.value else {
        return;
    };
    let is_dependency = schema.is_some_and(|schema| {
        schema
            .key("")
            .is_some_and(|below| below.has_key("condition"))
    });
    let mut map = Map::with_capacity(items.len());
    for item in std::mem::take(items) {
        let place = item.place;
        let Value::Text(name) = item.value else {
            continue;
        };
        let node = if is_dependency {
            started(place)
        } else {
            Node::null(place)
        };
        map.insert_entry(
            name,
            Entry {
                key_place: place,
                node,
            },
        );
    }
    node.value = Value::Map(map);
}

/// What a dependency's short form stands for.
fn started(place: Place) -> Node {
    let mut node = Node::map(place);
    node.set("condition", Node::text("service_started", place));
    node.set("required", Node::bool(true, place));
    node
}

/// `build: PATH` as `build: {context: PATH}`.
pub(crate) fn context_form(node: &mut Node) {
    if let Value::Text(context) = &mut node.value {
        let context = std::mem::take(context);
        let place = node.place;
        *node = Node::map(place);
        node.set("context", Node::text(context, place));
    }
}

fn ipam(
    base: &mut Node,
    over: Node,
    schema: Option<&'static Schema>,
    trail: &Trail<'_>,
    problems: &mut Problems,
) {
    let below = schema.and_then(Schema::item);
    let (Value::List(earlier), Value::List(later)) = (&mut base.value, over.value) else {
        let path = trail.numbered();
        let problem = Problem::error(
            "merge-conflict",
            format!("cannot override {path}"),
            over.place,
        );
        problems.add_at(&path, problem);
        return;
    };
    let mut merged = Vec::with_capacity(later.len());
    for (index, pool) in later.into_iter().enumerate() {
        let same = earlier
            .iter()
            .position(|old| old.get("subnet") == pool.get("subnet"));
        match same.map(|at| earlier.remove(at)) {
            Some(mut old) => {
                merge(&mut old, pool, below, &trail.item(index), problems);
                merged.push(old);
            }
            None => merged.push(pool),
        }
    }
    *earlier = merged;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compose::attribute;
    use crate::compose::render;
    use crate::compose::yaml;

    fn parse(text: &str) -> Node {
        let mut documents = yaml::parse(1, "test", text).expect(text);
        documents.remove(0)
    }

    /// Merges services' attributes and prints the result.
    fn merged(base: &str, over: &str) -> Result<String, usize> {
        let schema = attribute::root().at("services.*");
        let mut problems = Problems::default();
        let mut node = parse(base);
        merge(&mut node, parse(over), schema, &Trail::ROOT, &mut problems);
        match problems.count() {
            0 => Ok(render::write_json(&render::plain(&node), None)),
            faults => Err(faults),
        }
    }

    #[test]
    fn each_rule_of_the_table() {
        let cases = [
            ("{command: [a, b]}", "{command: c}", r#"{"command":"c"}"#),
            ("{command: a}", "{command: null}", r#"{"command":null}"#),
            ("{image: a}", "{image: null}", r#"{"image":"a"}"#),
            (
                "{environment: {B: 1, A: 1}}",
                "{environment: [A=2]}",
                r#"{"environment":["A=1","B=1","A=2"]}"#,
            ),
            (
                "{environment: {A: 1}}",
                "{environment: {A: !reset null}}",
                r#"{"environment":[]}"#,
            ),
            (
                "{depends_on: [a]}",
                "{depends_on: {b: {condition: service_healthy}}}",
                r#"{"depends_on":{"a":{"condition":"service_started","required":true},"b":{"condition":"service_healthy"}}}"#,
            ),
            (
                "{build: x}",
                "{build: {target: y}}",
                r#"{"build":{"context":"x","target":"y"}}"#,
            ),
            (
                "{logging: {driver: a, options: {k: v}}}",
                "{logging: {driver: b}}",
                r#"{"logging":{"driver":"b"}}"#,
            ),
            (
                "{logging: {options: {k: v}}}",
                "{logging: {driver: b}}",
                r#"{"logging":{"driver":"b","options":{"k":"v"}}}"#,
            ),
            (
                "{ulimits: {a: {soft: 1, hard: 2}}}",
                "{ulimits: {a: {soft: 3}}}",
                r#"{"ulimits":{"a":{"hard":2,"soft":3}}}"#,
            ),
            (
                "{ulimits: {a: {soft: 1, hard: 2}}}",
                "{ulimits: {a: 3}}",
                r#"{"ulimits":{"a":3}}"#,
            ),
            (
                "{extra_hosts: [a=1]}",
                "{extra_hosts: {a: [1, 2]}}",
                r#"{"extra_hosts":["a=1","a=2"]}"#,
            ),
            ("{dns: a}", "{dns: [b]}", r#"{"dns":["a","b"]}"#),
            (
                "{ports: [\"1\"]}",
                "{ports: !override [\"2\"]}",
                r#"{"ports":["2"]}"#,
            ),
            ("{ports: [\"1\"]}", "{ports: !reset [\"2\"]}", "{}"),
            ("{x-a: [1, 2]}", "{x-a: [2, 3]}", r#"{"x-a":[1,2,3]}"#),
        ];
        for (base, over, expected) in cases {
            assert_eq!(
                merged(base, over).as_deref(),
                Ok(expected),
                "{base} + {over}"
            );
        }
    }

    #[test]
    fn forms_that_cannot_meet_are_a_conflict() {
        assert_eq!(merged("{cap_add: [A]}", "{cap_add: B}"), Err(1));
        assert_eq!(
            merged("{healthcheck: {retries: 1}}", "{healthcheck: [a]}"),
            Err(1)
        );
    }

    fn tree() -> impl Strategy<Value = String> {
        // Lists of different items: an item that is there already folds.
        let list = prop::collection::btree_set("[a-c]", 0..4).prop_map(|items| {
            let items: Vec<_> = items.into_iter().collect();
            format!("[{}]", items.join(", "))
        });
        let leaf = prop_oneof![
            "[a-c]".prop_map(|text| text),
            Just("1".to_owned()),
            Just("true".to_owned()),
            list
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop::collection::btree_map("[k-n]", inner, 0..3).prop_map(|map| {
                let pairs: Vec<_> = map
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect();
                format!("{{{}}}", pairs.join(", "))
            })
        })
        .prop_map(|tree| format!("{{x-a: {{r: {tree}}}}}"))
    }

    proptest! {
        #[test]
        fn nothing_changes_what_it_is_merged_with(tree in tree()) {
            let alone = render::write_json(&render::plain(&parse(&tree)), None);
            prop_assert_eq!(merged(&tree, "{}"), Ok(alone.clone()));
            prop_assert_eq!(merged("{}", &tree), Ok(alone.clone()));
            prop_assert_eq!(merged(&tree, &tree), Ok(alone));
        }

        #[test]
        fn mappings_merge_associatively(a in tree(), b in tree(), c in tree()) {
            if let (Ok(left), Ok(right)) = (merged(&a, &b), merged(&b, &c)) {
                let (left, right) = (merged(&left, &c), merged(&a, &right));
                if let (Ok(left), Ok(right)) = (left, right) {
                    prop_assert_eq!(left, right);
                }
            }
        }
    }
}

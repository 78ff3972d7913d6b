//! The tree that every stage works on: YAML values that know their place.
//!
//! A node knows its value, where it stands and whether it carries `!reset` or
//! `!override`. It does not know what any path means; that is `attribute`'s.

use std::collections::HashMap;

use crate::compose::place::Place;

/// Up to how many entries of a mapping are looked through for a key. Nearly
/// all mappings are that small, and then comparing beats hashing.
const LOOKED_THROUGH_MAX: usize = 16;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
    pub(crate) mark: Mark,
}

/// What a node holds, after Go's typing of YAML scalars.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    Float(f64),
    Text(String),
    /// An unquoted date or time, as Go prints it.
    Time(String),
    List(Vec<Node>),
    Map(Map),
}

/// The Compose tags that change how a file is merged onto earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mark {
    #[default]
    Plain,
    /// `!reset`: the attribute of earlier files goes away.
    Reset,
    /// `!override`: the attribute of earlier files is replaced as a whole.
    Override,
}

/// A mapping in the file's order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    entries: Vec<(String, Entry)>,
    /// Where each key stands, once there are too many to look through.
    index: Option<Box<Index>>,
}

/// Where the keys of a large mapping stand; boxed, since few nodes have one.
#[derive(Debug, Clone)]
struct Index {
    positions: HashMap<String, usize>,
}

/// A mapping's value with the place of its key.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

impl PartialEq for Node {
    /// Places don't count: two nodes are equal when their values are.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, node)| other.get(key) == Some(node))
    }
}

impl Node {
    pub(crate) fn new(value: Value, place: Place) -> Self {
        Self {
            value,
            place,
            mark: Mark::Plain,
        }
    }

    pub(crate) fn null(place: Place) -> Self {
        Self::new(Value::Null, place)
    }

    pub(crate) fn text(text: impl Into<String>, place: Place) -> Self {
        Self::new(Value::Text(text.into()), place)
    }

    pub(crate) fn bool(value: bool, place: Place) -> Self {
        Self::new(Value::Bool(value), place)
    }

    pub(crate) fn map(place: Place) -> Self {
        Self::new(Value::Map(Map::default()), place)
    }

    pub(crate) fn list(items: Vec<Node>, place: Place) -> Self {
        Self::new(Value::List(items), place)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Time(_)
            | Value::List(_)
            | Value::Map(_) => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self.value {
            Some(value)
        } else {
            None
        }
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        if let Value::Int(value) = self.value {
            Some(value)
        } else {
            None
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = &self.value {
            Some(map)
        } else {
            None
        }
    }

    pub(crate) fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(map) = &mut self.value {
            Some(map)
        } else {
            None
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value {
            Some(items)
        } else {
            None
        }
    }

    /// The child of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map().and_then(|map| map.get(key))
    }

    /// The child of a mapping.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_map_mut().and_then(|map| map.get_mut(key))
    }

    /// The text of a mapping's child; None when it is absent or no text.
    pub(crate) fn text_at(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::as_text)
    }

    /// The entries of a mapping's child mapping; none when it is no mapping.
    pub(crate) fn entries_at(&self, key: &str) -> impl Iterator<Item = (&str, &Node)> {
        self.get(key)
            .and_then(Node::as_map)
            .into_iter()
            .flat_map(Map::iter)
    }

    /// The items of a mapping's child list; none when it is no list.
    pub(crate) fn items_at(&self, key: &str) -> &[Node] {
        self.get(key).and_then(Node::as_list).unwrap_or_default()
    }

    /// Sets a child of a mapping; nothing happens to other values.
    pub(crate) fn set(&mut self, key: &str, node: Node) {
        if let Some(map) = self.as_map_mut() {
            map.insert(key, node);
        }
    }

    /// Removes a child of a mapping.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Node> {
        self.as_map_mut().and_then(|map| map.remove(key))
    }

    /// The number of nodes in this tree.
    pub(crate) fn size(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(map) => 1 + map.iter().map(|(_, node)| node.size()).sum::<usize>(),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Time(_) => 1,
        }
    }

    /// Drops nodes marked `!reset` and forgets the other marks.
    pub(crate) fn settle_marks(&mut self) {
        self.mark = Mark::Plain;
        match &mut self.value {
            Value::List(items) => {
                items.retain(|item| item.mark != Mark::Reset);
                items.iter_mut().for_each(Node::settle_marks);
            }
            Value::Map(map) => {
                map.retain(|_, node| node.mark != Mark::Reset);
                map.values_mut().for_each(Node::settle_marks);
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Time(_) => {}
        }
    }
}

impl Map {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            entries: Vec::with_capacity(capacity),
            index: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entry_mut(key).map(|entry| &mut entry.node)
    }

    /// The place of a key.
    pub(crate) fn key_place(&self, key: &str) -> Option<Place> {
        self.entry(key).map(|entry| entry.key_place)
    }

    /// Sets a value; a key that is there keeps its place in the order.
    pub(crate) fn insert(&mut self, key: impl Into<String> + AsRef<str>, node: Node) {
        match self.entry_mut(key.as_ref()) {
            Some(entry) => entry.node = node,
            None => {
                let key_place = node.place;
                self.push(key.into(), Entry { key_place, node });
            }
        }
    }

    /// Sets a value with its key's place.
    pub(crate) fn insert_entry(
        &mut self,
        key: impl Into<String> + AsRef<str>,
        entry: Entry,
    ) -> Option<Entry> {
        match self.entry_mut(key.as_ref()) {
            Some(own) => Some(std::mem::replace(own, entry)),
            None => {
                self.push(key.into(), entry);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.position(key)?;
        let (_, entry) = self.entries.remove(at);
        if let Some(index) = &mut self.index {
            index.positions.remove(key);
            for later in index.positions.values_mut().filter(|other| **other > at) {
                *later -= 1;
            }
        }
        Some(entry.node)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &Node) -> bool) {
        let before = self.len();
        self.entries.retain(|(key, entry)| keep(key, &entry.node));
        if self.len() != before {
            self.index_again();
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        let at = self.position(key)?;
        self.entries.get(at).map(|(_, entry)| entry)
    }

    fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        let at = self.position(key)?;
        self.entries.get_mut(at).map(|(_, entry)| entry)
    }

    fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.positions.get(key).copied(),
            None => self.entries.iter().position(|(own, _)| own == key),
        }
    }

    /// Adds a key that isn't there yet.
    fn push(&mut self, key: String, entry: Entry) {
        if let Some(index) = &mut self.index {
            let at = self.entries.len();
            index.positions.insert(key.clone(), at);
        }
        self.entries.push((key, entry));
        if self.index.is_none() {
            self.index_again();
        }
    }

    /// Notes where the keys stand, or that there are few of them.
    fn index_again(&mut self) {
        self.index = (self.len() > LOOKED_THROUGH_MAX).then(|| {
            let keys = self.entries.iter().map(|(key, _)| key.clone());
            let positions = keys.zip(0..).collect();
            Box::new(Index { positions })
        });
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.entries.iter_mut().map(|(_, entry)| &mut entry.node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key.as_str(), &entry.node))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.entries
            .iter_mut()
            .map(|(key, entry)| (key.as_str(), &mut entry.node))
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key.as_str(), entry))
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (String, Entry)> {
        self.entries.into_iter()
    }

    /// Keys in byte order, as Go prints maps.
    pub(crate) fn sorted(&self) -> Vec<(&str, &Node)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(value: i64) -> Node {
        Node::new(Value::Int(value), Place::NOWHERE)
    }

    proptest! {
        /// Small and large mappings keep order and answers through every change.
        #[test]
        fn a_mapping_is_an_ordered_list_of_pairs(
            steps in prop::collection::vec((0..5_u8, "[a-d][a-j]"), 0..200)
        ) {
            let mut map = Map::default();
            let mut pairs: Vec<(String, i64)> = Vec::new();
            for (count, (step, key)) in (0..).zip(steps) {
                let known = pairs.iter().position(|(own, _)| *own == key);
                match (step, known) {
                    (0, Some(at)) => {
                        pairs.remove(at);
                        prop_assert!(map.remove(&key).is_some());
                    }
                    (0, None) => prop_assert!(map.remove(&key).is_none()),
                    (1, _) => {
                        let keeps = |own: &str| count % 7 != 0 || !own.starts_with('a');
                        pairs.retain(|(own, _)| keeps(own));
                        map.retain(|own, _| keeps(own));
                    }
                    (_, Some(at)) => {
                        pairs[at].1 = count;
                        map.insert(key, number(count));
                    }
                    (_, None) => {
                        map.insert(key.clone(), number(count));
                        pairs.push((key, count));
                    }
                }
            }
            let kept: Vec<_> = map.iter().map(|(key, node)| (key.to_owned(), node.as_int())).collect();
            let wanted: Vec<_> = pairs.iter().map(|(key, value)| (key.clone(), Some(*value))).collect();
            prop_assert_eq!(kept, wanted);
            for (key, value) in &pairs {
                prop_assert_eq!(map.get(key).and_then(Node::as_int), Some(*value));
            }
            prop_assert!(!map.contains("zz"));
        }
    }
}

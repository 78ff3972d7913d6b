//! The table as a tree, for walking down beside a document.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, LazyLock};

use crate::compose::attribute::{Attribute, hooks, rows};

/// What is known at one path.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    attribute: Option<&'static Attribute>,
    /// Keys with rows of their own, in the table's order.
    keys: Vec<&'static str>,
    /// What they lead to.
    children: Vec<Arc<Schema>>,
    /// Where each key stands in both.
    ranks: HashMap<&'static str, usize, BuildHasherDefault<Mix>>,
    any: Option<Box<Schema>>,
    item: Option<Box<Schema>>,
}

static ROOT: LazyLock<Schema> = LazyLock::new(|| {
    let mut root = Schema::default();
    for attribute in rows() {
        root.add(attribute);
    }
    root.share_with_hooks();
    root
});

/// The document's own schema.
pub(crate) fn root() -> &'static Schema {
    &ROOT
}

impl Schema {
    /// The row at this path.
    pub(crate) fn attribute(&self) -> Option<&'static Attribute> {
        self.attribute
    }

    /// What a key leads to: its own row, else the row for any key.
    pub(crate) fn key(&self, key: &str) -> Option<&Schema> {
        let own = self.rank(key).and_then(|rank| self.child(rank));
        own.or(self.any.as_deref())
    }

    /// The number of a key with a row of its own, in the table's order.
    pub(crate) fn rank(&self, key: &str) -> Option<usize> {
        self.ranks.get(key).copied()
    }

    /// What the key of a number leads to.
    pub(crate) fn child(&self, rank: usize) -> Option<&Schema> {
        self.children.get(rank).map(Arc::as_ref)
    }

    /// What an item leads to.
    pub(crate) fn item(&self) -> Option<&Schema> {
        self.item.as_deref()
    }

    /// Whether keys are free here.
    pub(crate) fn takes_any_key(&self) -> bool {
        self.any.is_some() || self.children.is_empty()
    }

    /// The keys with rows of their own, in the table's order.
    pub(crate) fn keys(&self) -> &[&'static str] {
        &self.keys
    }

    /// Whether a key has a row of its own.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.ranks.contains_key(key)
    }

    /// What a dotted path with `*` and `[]` leads to.
    pub(crate) fn at(&self, path: &str) -> Option<&Schema> {
        path.split('.').try_fold(self, |schema, part| match part {
            "[]" => schema.item(),
            key => schema.key(key),
        })
    }

    fn add(&mut self, attribute: &'static Attribute) {
        let mut schema = self;
        for part in attribute.path.split('.') {
            schema = match part {
                "*" => schema.any.get_or_insert_default(),
                "[]" => schema.item.get_or_insert_default(),
                key => {
                    let rank = schema.rank(key).unwrap_or_else(|| schema.push(key));
                    let child = schema.children.get_mut(rank).and_then(Arc::get_mut);
                    child.expect("nothing is shared before every row is added")
                }
            };
        }
        schema.attribute = Some(attribute);
    }

    /// Adds a key and gives its number.
    fn push(&mut self, key: &'static str) -> usize {
        let rank = self.keys.len();
        self.keys.push(key);
        self.children.push(Arc::default());
        self.ranks.insert(key, rank);
        rank
    }

    /// The child of a key, while nothing is shared.
    fn own_mut(&mut self, key: &str) -> Option<&mut Self> {
        let rank = self.rank(key)?;
        self.children.get_mut(rank).and_then(Arc::get_mut)
    }

    /// Gives a `pre_start` hook the attributes of a service that it may have,
    /// before its own.
    fn share_with_hooks(&mut self) {
        let services = self.own_mut("services");
        let Some(service) = services.and_then(|services| services.any.as_deref_mut()) else {
            return;
        };
        let pairs = service.keys.iter().copied().zip(service.children.iter());
        let shared: Vec<_> = pairs
            .filter(|(key, _)| !hooks::NOT_IN_PRE_START.contains(key))
            .map(|(key, child)| (key, Arc::clone(child)))
            .collect();
        let hooks = service.own_mut("pre_start");
        let Some(hook) = hooks.and_then(|hooks| hooks.item.as_deref_mut()) else {
            return;
        };
        let own_keys = std::mem::take(&mut hook.keys);
        let own = own_keys.into_iter().zip(std::mem::take(&mut hook.children));
        for (key, child) in shared.into_iter().chain(own) {
            hook.ranks.insert(key, hook.keys.len());
            hook.keys.push(key);
            hook.children.push(child);
        }
    }
}

/// A hash for keys that only we choose: the table's. Cheaper than one that
/// withstands hostile keys.
#[derive(Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            let mixed = self.0.rotate_left(5) ^ u64::from_le_bytes(word);
            self.0 = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        // The table looks at the upper and the lower bits.
        self.0 ^= self.0 >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_has_two_rows() {
        let mut seen = std::collections::HashSet::new();
        for row in rows() {
            assert!(seen.insert(row.path), "{} has two rows", row.path);
        }
    }

    #[test]
    fn every_row_can_be_reached_and_so_can_its_parents() {
        for row in rows() {
            let found = root().at(row.path).and_then(Schema::attribute);
            assert!(std::ptr::eq(found.expect(row.path), row), "{}", row.path);
            let mut parent = row.path;
            while let Some((above, _)) = parent.rsplit_once('.') {
                let schema = root().at(above).expect(above);
                assert!(schema.attribute().is_some(), "{above} has no row");
                parent = above;
            }
        }
    }

    #[test]
    fn a_key_of_its_own_comes_before_any_key() {
        let image = root().at("services.web.image").and_then(Schema::attribute);
        assert_eq!(image.map(|row| row.path), Some("services.*.image"));
    }
}

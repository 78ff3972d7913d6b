//! The table as a tree, for walking down beside a document.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, LazyLock};

use crate::compose::attribute::{Attribute, hooks, rows};

/// What is known at one path.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    attribute: Option<&'static Attribute>,
    children: HashMap<&'static str, Arc<Schema>, BuildHasherDefault<Fnv>>,
    /// Children in the table's order.
    order: Vec<&'static str>,
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
        let own = self.children.get(key).map(Arc::as_ref);
        own.or(self.any.as_deref())
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
        &self.order
    }

    /// Whether a key has a row of its own.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.children.contains_key(key)
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
                    if !schema.children.contains_key(key) {
                        schema.order.push(key);
                    }
                    let child = schema.children.entry(key).or_default();
                    Arc::get_mut(child).expect("nothing is shared before every row is added")
                }
            };
        }
        schema.attribute = Some(attribute);
    }

    /// Gives a `pre_start` hook the attributes of a service that it may have,
    /// before its own.
    fn share_with_hooks(&mut self) {
        let services = self.children.get_mut("services").and_then(Arc::get_mut);
        let Some(service) = services.and_then(|services| services.any.as_deref_mut()) else {
            return;
        };
        let shared = |key: &&&'static str| !hooks::NOT_IN_PRE_START.contains(*key);
        let order: Vec<_> = service.order.iter().filter(shared).copied().collect();
        let mut children = Vec::with_capacity(order.len());
        for key in &order {
            children.extend(
                service
                    .children
                    .get(key)
                    .map(|child| (*key, Arc::clone(child))),
            );
        }
        let hooks = service.children.get_mut("pre_start").and_then(Arc::get_mut);
        if let Some(hook) = hooks.and_then(|hooks| hooks.item.as_deref_mut()) {
            let own = std::mem::replace(&mut hook.order, order);
            hook.order.extend(own);
            hook.children.extend(children);
        }
    }
}

/// A hash of keys that only we choose: the table's. Cheaper than one that
/// withstands hostile keys.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
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

//! Builds of one run that need each other: what each came to, where they wait
//! for one another, and which would wait for ever.
//!
//! What a build does is not known here.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex};

use crate::build::Error;
use crate::build::platforms::{self, Part, Turn};
use crate::build::request::{BuildRequest, Cancel};
use crate::build::shared::{lock, look};
use crate::image::Image;
use crate::oci::Platform;

/// What the builds of a run came to, for those that need it.
pub(super) struct Results<'a> {
    parts: &'a [Part],
    done: Mutex<platforms::Done>,
    changed: Condvar,
}

impl<'a> Results<'a> {
    /// Nothing has been built yet.
    pub(super) fn new(parts: &'a [Part]) -> Self {
        Self {
            parts,
            done: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Tells what a part came to; no image when it failed.
    pub(super) fn put(&self, part: &Part, image: Option<Image>) {
        lock(&self.done).put(&part.request, image);
        self.changed.notify_all();
    }

    /// Waits for the image that another build of the run makes.
    pub(super) fn wait(
        &self,
        name: &str,
        platform: &Platform,
        cancel: &Cancel,
    ) -> Result<Image, Error> {
        let platform = platforms::wanted(self.parts, name, platform);
        let mut done = lock(&self.done);
        loop {
            if let Some(found) = done.find(name, platform, cancel) {
                return found;
            }
            done = look(&self.changed, done);
        }
    }

    /// Waits until all parts of a request have come as far as this one.
    pub(super) fn meet(&self, part: &Part, turn: Turn, cancel: &Cancel) -> Result<(), Error> {
        let mut done = lock(&self.done);
        done.arrive(part, turn);
        self.changed.notify_all();
        while !done.have_met(part, turn) {
            if cancel.is_set() {
                return Err(Error::Cancelled);
            }
            done = look(&self.changed, done);
        }
        Ok(())
    }
}

/// Builds that wait for each other, by name, the first one last again.
pub(super) fn cycle(requests: &[BuildRequest]) -> Option<Vec<String>> {
    fn visit<'a>(
        name: &'a str,
        needs: &HashMap<&'a str, Vec<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut HashSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|other| *other == name) {
            let mut cycle: Vec<String> = way
                .iter()
                .skip(start)
                .map(|name| (*name).to_owned())
                .collect();
            cycle.push(name.to_owned());
            return Some(cycle);
        }
        if !done.insert(name) {
            return None;
        }
        way.push(name);
        let found = needs
            .get(name)
            .into_iter()
            .flatten()
            .find_map(|next| visit(next, needs, way, done));
        way.pop();
        found
    }
    let needs: HashMap<&str, Vec<&str>> = requests
        .iter()
        .map(|request| (request.name.as_str(), platforms::needs(request).collect()))
        .collect();
    let mut done = HashSet::new();
    requests
        .iter()
        .find_map(|request| visit(&request.name, &needs, &mut Vec::new(), &mut done))
}

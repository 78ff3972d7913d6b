//! Containers of other projects on the networks that this project uses.
//!
//! Their claims tell who they are. The folders are watched, and what was read
//! is kept: the zone is rebuilt with every start and end, and reading every
//! claim each time would cost the square of their number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::ProjectName;
use crate::store::{Claims, NetworkStore, Owner, Root};
use crate::supervisor::host::Host;
use crate::sys::poll;
use crate::sys::watch::Watch;
use crate::topology::Member;

/// Changes that come together are read together: those of a project that
/// comes up, above all our own.
const PAUSE: Duration = Duration::from_millis(20);
/// How often the claims are read where folders can't be watched.
const PAUSE_UNWATCHED: Duration = Duration::from_millis(500);

/// What the claims on the project's networks said when they were last read.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// None where the user has no watches left (inotify(7)).
    watch: Option<Arc<Watch>>,
    networks: BTreeMap<String, Network>,
}

/// Claims on one network by name: a member of another project, or None for
/// one of this project's own.
type Network = BTreeMap<String, Option<Member>>;

impl Neighbours {
    pub(crate) fn new() -> Self {
        let watch = Watch::new();
        if let Err(error) = &watch {
            tracing::warn!(%error, "claims of other projects are read by the clock");
        }
        Self {
            watch: watch.ok().map(Arc::new),
            networks: BTreeMap::new(),
        }
    }

    /// The members of other projects on `used` networks, by their names on
    /// the host. A network is read when it is met for the first time.
    pub(crate) fn members(
        &mut self,
        root: &Root,
        project: &ProjectName,
        used: &BTreeSet<String>,
    ) -> Vec<Member> {
        self.networks.retain(|name, _| used.contains(name));
        for name in used {
            if !self.networks.contains_key(name) {
                self.read(root, project, name);
            }
        }
        let claims = self.networks.values().flat_map(BTreeMap::values);
        claims.flatten().cloned().collect()
    }

    /// Reads the known networks again; true if a neighbour came, went or
    /// changed.
    fn reread(&mut self, root: &Root, project: &ProjectName) -> bool {
        let names: Vec<String> = self.networks.keys().cloned().collect();
        let mut is_changed = false;
        for name in names {
            is_changed |= self.read(root, project, &name);
        }
        is_changed
    }

    /// Reads one network's claims. Own ones are read once: their names don't
    /// matter here. One that isn't there yet is met again later.
    fn read(&mut self, root: &Root, project: &ProjectName, name: &str) -> bool {
        let former = self.networks.remove(name).unwrap_or_default();
        let Ok(claims) = NetworkStore::new(root).claims(name) else {
            return false;
        };
        // Before the reading, so that nothing falls between the two. A folder
        // that was removed and made again is another one.
        let is_watched = match &self.watch {
            Some(watch) => watch.add(claims.folder()).is_ok(),
            None => claims.folder().is_dir(),
        };
        if !is_watched {
            return former.values().any(Option::is_some);
        }
        let found = read(&claims, project, name, &former);
        let foreign =
            |network: &Network| -> Vec<Member> { network.values().flatten().cloned().collect() };
        let is_changed = foreign(&found) != foreign(&former);
        self.networks.insert(name.to_owned(), found);
        is_changed
    }
}

fn read(claims: &Claims, project: &ProjectName, network: &str, former: &Network) -> Network {
    let names = claims.names().unwrap_or_default();
    let mut found = Network::new();
    for name in names {
        let member = match former.get(&name) {
            Some(None) => None,
            // A foreign one may have been released and taken again.
            Some(Some(_)) | None => match claims.owner(&name) {
                Ok(Some(owner)) => member(network, &name, &owner, project),
                // Gone since, or half a claim: not a neighbour.
                Ok(None) | Err(_) => continue,
            },
        };
        found.insert(name, member);
    }
    found
}

fn member(network: &str, address: &str, owner: &Owner, project: &ProjectName) -> Option<Member> {
    if owner.project == *project {
        return None;
    }
    let (first, aliases) = owner.names.split_first()?;
    let (ipv4, ipv6) = match address.parse().ok()? {
        IpAddr::V4(address) => (Some(address), None),
        IpAddr::V6(address) => (None, Some(address)),
    };
    Some(Member {
        network: network.to_owned(),
        name: first.clone(),
        aliases: aliases.to_vec(),
        ipv4,
        ipv6,
    })
}

/// Keeps the zone in step with the neighbours, until it is dropped.
pub(crate) async fn follow(host: Rc<Host>) {
    let watch = host.neighbours.borrow().watch.clone();
    let mut changes = watch.and_then(announce);
    loop {
        match &mut changes {
            None => tokio::time::sleep(PAUSE_UNWATCHED).await,
            Some(changes) => {
                if changes.recv().await.is_none() {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        let is_changed = {
            let mut neighbours = host.neighbours.borrow_mut();
            neighbours.reread(&host.root, host.store.name())
        };
        if is_changed {
            host.refresh_zone();
        }
    }
}

/// Tells of changes in the watched folders, from a thread that waits for
/// them. It ends with the process: nothing holds it up.
fn announce(watch: Arc<Watch>) -> Option<mpsc::Receiver<()>> {
    let (changed, changes) = mpsc::channel(1);
    let waiting = move || {
        while poll::wait_readable(watch.as_ref(), None).is_ok() && watch.clear().is_ok() {
            // One that waits to be heard stands for this one too.
            if let Err(mpsc::error::TrySendError::Closed(())) = changed.try_send(()) {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("claims".to_owned());
    thread.spawn(waiting).ok().map(|_detached| changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContainerId;

    struct Case {
        dir: tempfile::TempDir,
        root: Root,
        neighbours: Neighbours,
    }

    impl Case {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
            Self {
                dir,
                root,
                neighbours: Neighbours::new(),
            }
        }

        fn claims(&self) -> Claims {
            NetworkStore::new(&self.root).claims("shared").unwrap()
        }

        fn take(&self, address: &str, project: &str, names: &[&str]) {
            let owner = Owner {
                project: project.parse().unwrap(),
                container: ContainerId::from_random([address.len().try_into().unwrap(); 32]),
                names: names.iter().map(|&name| name.to_owned()).collect(),
            };
            self.claims().take(address, &owner, &|_| false).unwrap();
        }

        fn names(&mut self) -> Vec<String> {
            let used = BTreeSet::from(["shared".to_owned()]);
            let project = "own".parse().unwrap();
            let members = self.neighbours.members(&self.root, &project, &used);
            members.into_iter().map(|member| member.name).collect()
        }

        fn reread(&mut self) -> bool {
            self.neighbours.reread(&self.root, &"own".parse().unwrap())
        }
    }

    #[test]
    fn others_are_neighbours_and_own_containers_are_not() {
        let mut case = Case::new();
        assert_eq!(case.names(), [""; 0], "no folder yet");
        case.take("10.0.0.2", "own", &["own-a-1"]);
        case.take("10.0.0.30", "other", &["other-b-1", "b"]);
        assert_eq!(case.names(), ["other-b-1"]);
        case.take("10.0.0.4", "other", &["other-c-1"]);
        assert_eq!(case.names(), ["other-b-1"], "nothing is read again unasked");
        assert!(case.reread());
        assert_eq!(case.names(), ["other-b-1", "other-c-1"]);
        assert!(!case.reread());
    }

    #[test]
    fn who_leaves_is_no_neighbour() {
        let mut case = Case::new();
        case.take("10.0.0.2", "other", &["other-b-1"]);
        assert_eq!(case.names(), ["other-b-1"]);
        std::fs::remove_file(case.claims().folder().join("10.0.0.2")).unwrap();
        assert!(case.reread());
        assert_eq!(case.names(), [""; 0]);
    }

    #[test]
    fn a_network_that_is_made_again_is_watched_again() {
        let mut case = Case::new();
        case.take("10.0.0.2", "other", &["other-b-1"]);
        assert_eq!(case.names(), ["other-b-1"]);
        std::fs::remove_dir_all(case.claims().folder()).unwrap();
        assert!(case.reread());
        case.take("10.0.0.3", "other", &["other-c-1"]);
        assert_eq!(case.names(), ["other-c-1"]);
        let watch = case.neighbours.watch.as_ref().unwrap();
        watch.clear().unwrap();
        case.take("10.0.0.20", "other", &["other-d-1"]);
        assert!(case.neighbours.watch.as_ref().unwrap().clear().unwrap());
        assert!(case.dir.path().exists());
    }
}

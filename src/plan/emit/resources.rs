//! Networks and volumes: made at once, or anew between the stops of those
//! that use them and the starts.

use crate::model::ResourceKey;
use crate::plan::dag::OpId;
use crate::plan::emit::{Emitter, existing_of};
use crate::plan::operation::{
    CreateNetwork, CreateVolume, Operation, RemoveNetwork, RemoveVolume, WhenUsed,
};
use crate::plan::resources::{is_attached, mounts};

impl Emitter<'_, '_> {
    pub(super) fn fresh_resources(&mut self) {
        for (key, making) in &self.resources.networks {
            if !making.again {
                let operation = create_network(key, making.name);
                let id = self.plan.push(operation, making.cause.clone(), &[]);
                self.networks.insert(key, id);
            }
        }
        for (key, making) in &self.resources.volumes {
            if !making.again {
                let operation = create_volume(key, making.name);
                let id = self.plan.push(operation, making.cause.clone(), &[]);
                self.volumes.insert(key, id);
            }
        }
    }

    pub(super) fn recreated_volumes(&mut self) {
        for (key, making) in &self.resources.volumes {
            if !making.again {
                continue;
            }
            let mut after = Vec::new();
            for old in self
                .departing
                .iter()
                .copied()
                .chain(existing_of(self.fates))
            {
                if mounts(old, making.name) {
                    after.extend(self.freed.get(&old.record.name));
                    after.extend(self.stopped.get(&old.record.id));
                }
            }
            let remove = Operation::RemoveVolume(RemoveVolume {
                name: making.name.to_owned(),
                when_used: WhenUsed::Fail,
            });
            let removed = self.plan.push(remove, making.cause.clone(), &after);
            let create = create_volume(key, making.name);
            let id = self.plan.push(create, making.cause.clone(), &[removed]);
            self.volumes.insert(key, id);
        }
    }

    pub(super) fn recreated_networks(&mut self) {
        for (key, making) in &self.resources.networks {
            if !making.again {
                continue;
            }
            let all = self
                .departing
                .iter()
                .copied()
                .chain(existing_of(self.fates));
            let attached = all.filter(|old| is_attached(old, key, making.name));
            let after: Vec<OpId> = attached
                .filter_map(|old| self.stopped.get(&old.record.id).copied())
                .collect();
            let remove = Operation::RemoveNetwork(RemoveNetwork {
                name: making.name.to_owned(),
                when_used: WhenUsed::Fail,
            });
            let removed = self.plan.push(remove, making.cause.clone(), &after);
            let create = create_network(key, making.name);
            let id = self.plan.push(create, making.cause.clone(), &[removed]);
            self.networks.insert(key, id);
        }
    }
}

fn create_network(key: &ResourceKey, name: &str) -> Operation {
    Operation::CreateNetwork(CreateNetwork {
        key: key.clone(),
        name: name.to_owned(),
    })
}

fn create_volume(key: &ResourceKey, name: &str) -> Operation {
    Operation::CreateVolume(CreateVolume {
        key: key.clone(),
        name: name.to_owned(),
    })
}

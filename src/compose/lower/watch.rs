//! `develop.watch`. Paths are absolute by now, and their links resolved.

use std::path::PathBuf;

use crate::compose::lower::{Lower, read};
use crate::compose::node::Node;
use crate::model::{WatchAction, WatchRule};

impl Lower<'_> {
    pub(super) fn watches(&mut self, service: &Node) -> Vec<WatchRule> {
        let Some(develop) = service.get("develop") else {
            return Vec::new();
        };
        let rules = develop.items_at("watch").iter();
        rules.filter_map(|rule| self.watch(rule)).collect()
    }

    fn watch(&mut self, rule: &Node) -> Option<WatchRule> {
        let action = match rule.text_at("action")? {
            "rebuild" => WatchAction::Rebuild,
            "restart" => WatchAction::Restart,
            "sync+restart" => WatchAction::SyncRestart,
            "sync+exec" => WatchAction::SyncExec,
            _ => WatchAction::Sync,
        };
        let exec = rule
            .get("exec")
            .map(read::hook)
            .filter(|hook| !hook.command.is_empty());
        if action == WatchAction::SyncExec && exec.is_none() {
            self.fault_with(
                "no-watch-command",
                "develop.watch: sync+exec without a command".to_owned(),
                rule,
                "add exec: {command: [...]}",
            );
        }
        Some(WatchRule {
            path: PathBuf::from(rule.text_at("path")?),
            action,
            target: read::text(rule, "target")
                .filter(|_| action.copies())
                .map(PathBuf::from),
            ignore: read::text_or_texts(rule, "ignore"),
            include: read::text_or_texts(rule, "include"),
            exec,
            initial_sync: read::flag(rule, "initial_sync"),
        })
    }
}

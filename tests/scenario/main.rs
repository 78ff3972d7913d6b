//! Scenarios: intents of a user, in steps, with real containers.
//!
//! Each scenario runs on a machine of its own: mount, network and pid
//! namespaces, a fake uplink, a root folder. What it leaves there at its end
//! is a failure. See `docs/testing.md`.

mod addresses;
mod answers;
mod attributes;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod build;
mod build_cache;
mod build_git;
mod build_git_web;
mod build_input;
mod build_platforms;
mod build_project;
mod build_section;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod environment;
#[cfg(test)]
mod example;
mod formats;
#[cfg(test)]
mod hardship;
mod harness;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod images;
mod interrupts;
mod lifetimes;
mod limits;
mod menu;
#[cfg(test)]
mod network;
#[cfg(test)]
mod nouns;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod registry_access;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod runtime;
mod small_print;
#[cfg(test)]
mod storms;
#[cfg(test)]
mod supervisor;
#[cfg(test)]
mod support;
#[cfg(test)]
mod ties;
#[cfg(test)]
mod verbs;
#[cfg(test)]
mod volumes;
mod watch;
mod yardstick;

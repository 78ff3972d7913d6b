//! Observe the world, make containers' records and bundles, carry plans out.
//!
//! [`observe`] reads what exists, [`create`] and [`bundle`] lower a service
//! and an image to what the runtime starts, and [`execute`] runs a plan's
//! operations against a [`World`], each the moment that what it waits for is
//! done. [`networks`] makes and removes bridges with their records; [`files`]
//! reaches into containers; [`gc`] finds what crashes left. Nothing is decided
//! here; `plan` did.

pub mod bundle;
pub mod create;
pub mod execute;
pub mod files;
pub mod gc;
pub mod networks;
pub mod observe;
mod world;

pub use world::{Outcome, Patience, World};

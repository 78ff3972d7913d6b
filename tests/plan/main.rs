//! The plan against a world that exists only as a value: fixtures that a
//! person can read, and laws that hold for any project.

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod project;
#[cfg(test)]
mod records;
#[cfg(test)]
mod world;

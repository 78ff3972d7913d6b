//! Observed state in docker's shapes: what `ps`, `ls`, `inspect` and `events`
//! show, as values.
//!
//! Pure: the moment and the time zone come in, strings and serialisable rows
//! go out. Columns, colours and templates are the surface's.

pub mod units;

//! The command line from outside: words, streams and exit codes.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod words;
#[cfg(test)]
mod yardstick;

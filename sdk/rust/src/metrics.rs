//! Figures of the program, by name, for whoever watches it: a node shows those of its application
//! at `/metrics`, as `pando_guest_counter_total{name="jobs.done"}` and so on.
//!
//! A metric comes to be when it is first recorded, belongs to the whole program, and each kind has
//! names of its own. Recording never waits and never fails: what finds no room, has a name longer
//! than 256 bytes, or is no finite number is dropped, and the node counts how often.
//!
//! ```no_run
//! use pando::metrics::{Counter, Histogram};
//!
//! const DONE: Counter = Counter("jobs.done");
//! const SECONDS: Histogram = Histogram("jobs.seconds");
//!
//! DONE.increment();
//! SECONDS.record(0.25);
//! ```

use crate::abi::metrics as abi;

/// A number that only grows, from 0; it stops at `u64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter<'a>(pub &'a str);

impl Counter<'_> {
    /// Adds 1.
    pub fn increment(self) {
        // SAFETY: the name is read during the call.
        unsafe { abi::increment_counter(self.0.as_ptr(), self.0.len() as u32) };
    }

    /// Adds `value`.
    pub fn add(self, value: u64) {
        // SAFETY: as above.
        unsafe { abi::counter(self.0.as_ptr(), self.0.len() as u32, value) };
    }
}

/// A number that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge<'a>(pub &'a str);

impl Gauge<'_> {
    /// Makes it `value`.
    pub fn set(self, value: f64) {
        // SAFETY: the name is read during the call.
        unsafe { abi::gauge(self.0.as_ptr(), self.0.len() as u32, value) };
    }

    /// Adds `value`; one that was never set begins at 0.
    pub fn add(self, value: f64) {
        // SAFETY: as above.
        unsafe { abi::increment_gauge(self.0.as_ptr(), self.0.len() as u32, value) };
    }

    /// Takes `value` from it.
    pub fn subtract(self, value: f64) {
        // SAFETY: as above.
        unsafe { abi::decrement_gauge(self.0.as_ptr(), self.0.len() as u32, value) };
    }
}

/// How many values there were of which size, in buckets each four times as wide as the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram<'a>(pub &'a str);

impl Histogram<'_> {
    /// Records one value. Take the unit into the name: `jobs.seconds`.
    pub fn record(self, value: f64) {
        // SAFETY: the name is read during the call.
        unsafe { abi::histogram(self.0.as_ptr(), self.0.len() as u32, value) };
    }
}

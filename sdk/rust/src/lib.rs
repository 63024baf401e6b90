//! What Pando gives its guests, for Rust. No dependencies; Rust 1.63 and later, `wasm32-wasip1`
//! (or `wasm32-wasi`, its former name).
//!
//! A guest is a set of *processes*. Each runs one function in a memory of its own, has a mailbox,
//! and is known by its [`Pid`]. [`process`] starts, watches, calls and ends them; [`receive`] takes
//! what arrives.
//!
//! ```no_run
//! fn adder(_argument: u64) {
//!     loop {
//!         if let Some(pando::Received::Message(message)) = pando::receive(pando::FOREVER) {
//!             let sum: u64 = message.numbers().sum();
//!             message.reply(&sum.to_le_bytes()).ok();
//!         }
//!     }
//! }
//!
//! fn main() {
//!     let adder = pando::process::spawn_link(1, adder, 0).unwrap();
//!     let question = [20u64.to_le_bytes(), 22u64.to_le_bytes()].concat();
//!     let answer = adder.call(0, &question, std::time::Duration::from_secs(5)).unwrap();
//!     println!("{}", answer.numbers().sum::<u64>());
//! }
//! ```
//!
//! **Beside the crate `lunatic`.** Both may be used in one guest: this crate has what `lunatic` has
//! not, and its pids are the same (`Pid(process.id())`). Let one of them receive at a time: a
//! message that `lunatic` serialized is bytes for this crate, and the other way round `lunatic` may
//! not understand what it reads.
//!
//! **Functions of processes** are plain `fn(u64)`: nothing is shared, so nothing can be captured.
//! What a process must know travels in its argument and in messages. A panic ends the process, and
//! links and monitors are told.
//!
//! **Mistakes** end the process with a trap whose text says what was wrong: a text of no UTF-8, an
//! id that is none, a right that is missing. What can happen to a correct program is a `Result`.
#![warn(missing_docs)]

mod abi;
pub mod config;
mod error;
pub mod group;
pub mod info;
pub mod kv;
mod message;
pub mod metrics;
pub mod module;
pub mod names;
pub mod net;
pub mod process;
pub mod sqlite;
pub mod supervisor;

use std::time::Duration;

pub use error::Error;
pub use message::{
    receive, receive_tags, send_after, CallError, Caller, Death, Message, Notice, Reason, Received,
    SendError, Timer,
};
pub use process::Pid;

/// A timeout that never ends.
pub const FOREVER: Duration = Duration::MAX;

/// As the functions of Pando take it: milliseconds, rounded up; all ones never end.
fn milliseconds(time: Duration) -> u64 {
    let rounded = time.saturating_add(Duration::from_nanos(999_999));
    u64::try_from(rounded.as_millis()).unwrap_or(u64::MAX)
}

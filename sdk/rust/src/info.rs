//! What a process may know about itself and its world. None of these waits or fails.

use std::time::Duration;

use crate::abi;

macro_rules! figures {
    ($($(#[$text:meta])* $name:ident = $import:ident;)*) => {$(
        $(#[$text])*
        pub fn $name() -> u64 {
            // SAFETY: takes nothing.
            unsafe { abi::info::$import() }
        }
    )*};
}

figures! {
    /// Units of fuel used, about one an instruction, as of the end of the last slice.
    fuel_used = fuel_used;
    /// Units of fuel that it may use; 0 is unlimited.
    fuel_limit = fuel_limit;
    /// Bytes of its linear memory.
    memory_size = memory_size;
    /// What they may grow to.
    memory_limit = memory_limit;
    /// Messages in its mailbox that were not received yet.
    message_count = message_count;
    /// Messages that ever arrived.
    received_count = received;
    /// Live processes of the environment, this one included.
    process_count = process_count;
}

/// Monotonic time from an arbitrary beginning; virtual under `pando run --seed`.
pub fn now() -> Duration {
    // SAFETY: takes nothing.
    Duration::from_nanos(unsafe { abi::info::now_ns() })
}

//! Names of processes: 1 to 255 bytes of UTF-8, others trap. A name goes with its process.
//! [`Spawn::get_or_start`](crate::process::Spawn::get_or_start) finds or starts by a name.

use crate::{abi, Pid};

/// Why a name was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// Another process has it.
    Taken,
    /// Nobody has this pid.
    NoProcess,
    /// The limit of names is reached.
    Full,
}

impl std::fmt::Display for NameError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            NameError::Taken => "another process has this name",
            NameError::NoProcess => "there is no such process",
            NameError::Full => "there are too many names",
        })
    }
}

impl std::error::Error for NameError {}

/// Gives a process a name, unless another has it.
pub fn register(name: &str, pid: Pid) -> Result<(), NameError> {
    // SAFETY: the name is read during the call.
    match unsafe { abi::registry::register(name.as_ptr(), name.len() as u32, pid.0) } {
        0 => Ok(()),
        1 => Err(NameError::Taken),
        2 => Err(NameError::NoProcess),
        _ => Err(NameError::Full),
    }
}

/// Gives a process a name, and takes it from whoever has it.
pub fn register_over(name: &str, pid: Pid) {
    // SAFETY: the name is read during the call.
    unsafe { abi::registry::put(name.as_ptr(), name.len() as u32, 0, pid.0) };
}

/// Who has the name.
pub fn whereis(name: &str) -> Option<Pid> {
    let mut pid = 0;
    // SAFETY: the name is read and `pid` written during the call.
    let code = unsafe { abi::registry::whereis(name.as_ptr(), name.len() as u32, &mut pid) };
    if code == 0 {
        Some(Pid(pid))
    } else {
        None
    }
}

/// Forgets the name. False: nobody had it.
pub fn unregister(name: &str) -> bool {
    // SAFETY: the name is read during the call.
    unsafe { abi::registry::unregister(name.as_ptr(), name.len() as u32) == 0 }
}

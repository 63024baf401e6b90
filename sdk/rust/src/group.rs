//! Named sets of processes: 1 to 255 bytes of UTF-8, others trap. A member leaves when it ends; an
//! empty group does not exist.

use crate::{abi, message, Pid};

/// What became of [`join`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// This process is a member now.
    New,
    /// It was one already.
    Already,
    /// The limit of memberships is reached.
    Full,
}

/// Whom [`broadcast`] reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broadcast {
    /// Members that got it.
    pub reached: u32,
    /// Members whose mailbox is full.
    pub skipped: u32,
}

/// Makes this process a member.
pub fn join(name: &str) -> Joined {
    // SAFETY: the name is read during the call.
    match unsafe { abi::group::join(name.as_ptr(), name.len() as u32) } {
        0 => Joined::New,
        1 => Joined::Already,
        _ => Joined::Full,
    }
}

/// Leaves it. False: this process was no member.
pub fn leave(name: &str) -> bool {
    // SAFETY: the name is read during the call.
    unsafe { abi::group::leave(name.as_ptr(), name.len() as u32) == 0 }
}

/// The members, the oldest first.
pub fn members(name: &str) -> Vec<Pid> {
    let mut pids: Vec<u64> = vec![0; 16];
    loop {
        let room = pids.len();
        // SAFETY: no more pids are written than there is room for.
        let count = unsafe {
            abi::group::members(name.as_ptr(), name.len() as u32, pids.as_mut_ptr(), room as u32)
        } as usize;
        pids.resize(count, 0);
        if count <= room {
            return pids.into_iter().map(Pid).collect();
        }
    }
}

/// Sends a message to each member, this process included if it is one.
pub fn broadcast(name: &str, tag: u64, bytes: &[u8]) -> Broadcast {
    let mut skipped = 0;
    message::create(tag, bytes);
    // SAFETY: the name is read and `skipped` written during the call.
    let reached =
        unsafe { abi::group::broadcast(name.as_ptr(), name.len() as u32, &mut skipped) };
    Broadcast { reached, skipped }
}

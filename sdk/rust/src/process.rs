//! Starting, watching and ending processes.
//!
//! Linked processes share their fate: when one ends other than normally, so does the other, unless
//! it traps that ([`trap_exit`]). Monitors only tell, and one side only.

use std::fmt;
use std::time::Duration;

use crate::config::Config;
use crate::{abi, milliseconds, Error, Reason};

/// A process: a number that no other one ever has, within a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub u64);

impl fmt::Display for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What [`Pid::monitor`] began, by which its notice is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monitor(pub u64);

/// All that can be said about a new process.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'config> {
    link_tag: u64,
    config: Option<&'config Config>,
}

impl<'config> Spawn<'config> {
    /// With the parent's rights, not linked.
    pub fn new() -> Self {
        Spawn { link_tag: 0, config: None }
    }

    /// Linked to the parent, who sees this tag (not 0) if it traps exits.
    pub fn link(mut self, tag: u64) -> Self {
        self.link_tag = tag;
        self
    }

    /// With the rights, directories, arguments and variables of a configuration.
    pub fn config(mut self, config: &'config Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Starts `function(argument)` as a process.
    pub fn start(self, function: fn(u64), argument: u64) -> Result<Pid, Error> {
        self.start_export(abi::INHERIT, abi::ENTRY, &abi::params(function, argument))
    }

    pub(crate) fn start_export(
        self,
        module: u64,
        function: &str,
        params: &[u8],
    ) -> Result<Pid, Error> {
        let mut id = 0;
        // SAFETY: name and parameters are read during the call, `id` is written.
        let code = unsafe {
            abi::process::spawn(
                self.link_tag,
                self.config.map_or(abi::INHERIT, Config::id),
                module,
                function.as_ptr(),
                function.len() as u32,
                params.as_ptr(),
                params.len() as u32,
                &mut id,
            )
        };
        if code == 0 {
            Ok(Pid(id))
        } else {
            Err(Error::take(id))
        }
    }

    /// The process that has this name, or a new one that gets it: never two, however many ask at
    /// once. True: it is new.
    pub fn get_or_start(
        self,
        name: &str,
        function: fn(u64),
        argument: u64,
    ) -> Result<(Pid, bool), Error> {
        let params = abi::params(function, argument);
        let (mut node, mut id) = (0, 0);
        // SAFETY: names and parameters are read during the call, `node` and `id` are written.
        let code = unsafe {
            abi::process::get_or_spawn(
                name.as_ptr(),
                name.len() as u32,
                self.link_tag,
                self.config.map_or(abi::INHERIT, Config::id),
                abi::INHERIT,
                abi::ENTRY.as_ptr(),
                abi::ENTRY.len() as u32,
                params.as_ptr(),
                params.len() as u32,
                &mut node,
                &mut id,
            )
        };
        match code {
            0 => Ok((Pid(id), true)),
            1 => Err(Error::take(id)),
            _ => Ok((Pid(id), false)),
        }
    }
}

impl Default for Spawn<'_> {
    fn default() -> Self {
        Spawn::new()
    }
}

/// Starts `function(argument)` as a process with this one's rights, not linked.
pub fn spawn(function: fn(u64), argument: u64) -> Result<Pid, Error> {
    Spawn::new().start(function, argument)
}

/// The same, linked to this process.
pub fn spawn_link(tag: u64, function: fn(u64), argument: u64) -> Result<Pid, Error> {
    Spawn::new().link(tag).start(function, argument)
}

/// This process.
pub fn id() -> Pid {
    // SAFETY: takes nothing.
    Pid(unsafe { abi::process::process_id() })
}

/// The world of pids and names that this process lives in.
pub fn environment() -> u64 {
    // SAFETY: takes nothing.
    unsafe { abi::process::environment_id() }
}

/// Does nothing for a while; messages arrive meanwhile.
pub fn sleep(time: Duration) {
    // SAFETY: takes a number alone.
    unsafe { abi::process::sleep_ms(milliseconds(time)) };
}

/// Whether the ends of linked processes, and [`Pid::exit`], arrive as notices instead of ending
/// this process. A kill cannot be trapped.
pub fn trap_exit(traps: bool) {
    // SAFETY: takes a number alone.
    unsafe { abi::process::trap_exit(traps.into()) };
}

/// Ends this process for a reason that links and monitors see. `text`: up to 4,096 bytes.
pub fn exit(reason: Reason, text: &str) -> ! {
    // SAFETY: the text is read during the call, which does not return.
    unsafe { abi::process::exit_self(reason.number(), text.as_ptr(), text.len() as u32) };
    unreachable!("exit_self returned")
}

impl Pid {
    /// Alive right now? It may not be when you read the answer: prefer a monitor.
    pub fn exists(self) -> bool {
        // SAFETY: takes a number alone.
        unsafe { abi::process::exists(self.0) != 0 }
    }

    /// Shares fate with it; both see `tag` (not 0). Nobody there: as if it died at once.
    pub fn link(self, tag: u64) {
        // SAFETY: takes numbers alone.
        unsafe { abi::process::link(tag, self.0) };
    }

    /// Shares it no longer.
    pub fn unlink(self) {
        // SAFETY: takes a number alone.
        unsafe { abi::process::unlink(self.0) };
    }

    /// Lets this process be told of its end, once. Nobody there: told at once, as
    /// [`Reason::NoProcess`]. `None`: the limit of monitors is reached.
    pub fn monitor(self) -> Option<Monitor> {
        // SAFETY: takes a number alone.
        match unsafe { abi::process::monitor(self.0) } {
            0 => None,
            reference => Some(Monitor(reference)),
        }
    }

    /// Asks it to end, as if a process linked to it had ended for this reason: it may trap that,
    /// and ignores [`Reason::Normal`].
    pub fn exit(self, reason: Reason, text: &str) {
        // SAFETY: the text is read during the call.
        unsafe {
            abi::process::exit(self.0, reason.number(), text.as_ptr(), text.len() as u32);
        }
    }

    /// Ends it now, whatever it traps.
    pub fn kill(self) {
        // SAFETY: takes a number alone.
        unsafe { abi::process::kill(self.0) };
    }
}

impl Monitor {
    /// Ends it, and takes a notice that has arrived out of the mailbox. True: none had.
    pub fn stop(self) -> bool {
        // SAFETY: takes numbers alone.
        unsafe { abi::process::demonitor(self.0, 1) != 0 }
    }
}

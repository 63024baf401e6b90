//! Trees of processes that Pando starts, watches and restarts.
//!
//! Describe one with [`Supervisor`], start it, and go on by the [`Running`] that this gives. A
//! supervisor is a process itself, but runs no guest code and cannot crash. More than the allowed
//! number of restarts within a period, and it gives up: it stops its children and fails.

use std::time::Duration;

use crate::config::Config;
use crate::{abi, milliseconds, Error, Pid};

/// Who is restarted when a child ends and is to be restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// It alone.
    OneForOne = 0,
    /// All children.
    OneForAll = 1,
    /// It and those that were added after it.
    RestForOne = 2,
    /// It alone; any number of children, all alike, started one by one ([`Running::start_child`]).
    Dynamic = 3,
}

/// When a child is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent = 0,
    /// Unless it ended with `Normal` or `Shutdown`.
    Transient = 1,
    /// Never; forgotten when it ends.
    Temporary = 2,
}

/// When the end of children that are significant ends the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoShutdown {
    /// Never.
    Never = 0,
    /// When one of them ends.
    AnySignificant = 1,
    /// When all of them have.
    AllSignificant = 2,
}

/// One child: permanent, with five seconds to shut down, unless said otherwise.
#[derive(Debug)]
pub struct Child<'child> {
    id: &'child str,
    params: abi::Params,
    config: Option<&'child Config>,
    restart: Restart,
    stop: Duration,
    flags: u32,
    ready: Duration,
}

impl<'child> Child<'child> {
    /// `function(argument)` as a child. `id`: 1 to 255 bytes, of this supervisor alone.
    pub fn new(id: &'child str, function: fn(u64), argument: u64) -> Self {
        Child {
            id,
            params: abi::params(function, argument),
            config: None,
            restart: Restart::Permanent,
            stop: Duration::from_secs(5),
            flags: 0,
            ready: Duration::ZERO,
        }
    }

    /// With these rights instead of the parent's.
    pub fn config(mut self, config: &'child Config) -> Self {
        self.config = Some(config);
        self
    }

    /// When it is restarted.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long it may take to shut down; zero: it is killed at once.
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.stop = time;
        self
    }

    /// It traps exits and ends when it is told to.
    pub fn handles_shutdown(mut self) -> Self {
        self.flags |= 1;
        self
    }

    /// Its end may end the supervisor: [`AutoShutdown`].
    pub fn significant(mut self) -> Self {
        self.flags |= 2;
        self
    }

    /// It counts as started when it has called [`ready`], within this time.
    pub fn ready_within(mut self, time: Duration) -> Self {
        self.ready = time;
        self
    }
}

/// A description, which starting consumes.
#[derive(Debug)]
pub struct Supervisor(u64);

impl Supervisor {
    /// Up to `restarts` within `period`; 3 in 5 s is usual.
    pub fn new(strategy: Strategy, restarts: u32, period: Duration) -> Self {
        // SAFETY: takes numbers alone.
        Supervisor(unsafe {
            abi::supervisor::create(strategy as u32, restarts, milliseconds(period))
        })
    }

    /// Its name in reports and in `pando ps`.
    pub fn name(self, name: &str) -> Self {
        // SAFETY: the name is read during the call.
        unsafe { abi::supervisor::set_name(self.0, name.as_ptr(), name.len() as u32) };
        self
    }

    /// How many children there may be at once, 65,536 unless said; when it ends by itself.
    pub fn limits(self, children_max: u32, auto_shutdown: AutoShutdown) -> Self {
        // SAFETY: takes numbers alone.
        unsafe { abi::supervisor::set_limits(self.0, children_max, auto_shutdown as u32) };
        self
    }

    /// Adds a child; of a dynamic supervisor, says what all its children are like.
    pub fn child(self, child: &Child<'_>) -> Self {
        // SAFETY: texts and parameters are read during the call.
        unsafe {
            abi::supervisor::add_worker(
                self.0,
                child.id.as_ptr(),
                child.id.len() as u32,
                child.config.map_or(abi::INHERIT, Config::id),
                abi::INHERIT,
                abi::ENTRY.as_ptr(),
                abi::ENTRY.len() as u32,
                child.params.as_ptr(),
                child.params.len() as u32,
                child.restart as u32,
                child.flags,
                milliseconds(child.stop),
            );
            if child.ready > Duration::ZERO {
                abi::supervisor::set_ready(self.0, milliseconds(child.ready));
            }
        }
        self
    }

    /// Adds a supervisor below, which stops as long as it takes.
    pub fn supervisor(self, id: &str, child: Supervisor, restart: Restart) -> Self {
        let spec = child.0;
        std::mem::forget(child); // the call consumes its description
        // SAFETY: the id is read during the call.
        unsafe {
            abi::supervisor::add_supervisor(
                self.0,
                spec,
                id.as_ptr(),
                id.len() as u32,
                restart as u32,
                u64::MAX,
            );
        }
        self
    }

    /// Starts it, linked to this process under `link_tag` (0: not linked), and waits until its
    /// first children have started.
    pub fn start(self, link_tag: u64) -> Result<Running, Error> {
        let spec = self.0;
        std::mem::forget(self); // the call consumes its description
        let mut out = 0;
        // SAFETY: `out` is written during the call.
        match unsafe { abi::supervisor::start(spec, link_tag, &mut out) } {
            0 => Ok(Running(Pid(out))),
            _ => Err(Error::take(out)),
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // SAFETY: takes a number alone.
        unsafe { abi::supervisor::drop(self.0) };
    }
}

/// How many children there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All that the supervisor knows, the stopped ones included.
    pub described: u32,
    /// Those that run, start, stop or wait for a restart.
    pub active: u32,
    /// Those with a process.
    pub live: u32,
    /// Requests that wait for the operation in progress.
    pub requests: u32,
}

/// A supervisor that runs, by its pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Running(pub Pid);

fn answered(code: u32, out: u64) -> Result<Pid, Error> {
    match code {
        0 => Ok(Pid(out)),
        1 => Err(Error::take(out)),
        _ => Err(Error::timed_out()),
    }
}

impl Running {
    /// Starts a child of a dynamic supervisor. When no answer comes in time it may still start.
    pub fn start_child(
        self,
        function: fn(u64),
        argument: u64,
        timeout: Duration,
    ) -> Result<Pid, Error> {
        let params = abi::params(function, argument);
        let mut out = 0;
        // SAFETY: the parameters are read and `out` written during the call.
        let code = unsafe {
            abi::supervisor::start_child(
                self.0 .0,
                params.as_ptr(),
                params.len() as u32,
                milliseconds(timeout),
                &mut out,
            )
        };
        answered(code, out)
    }

    /// Stops the child with this pid. It stays stopped; a dynamic supervisor forgets it.
    pub fn stop_child(self, child: Pid, timeout: Duration) -> Result<(), Error> {
        let mut out = 0;
        // SAFETY: `out` is written during the call.
        let code = unsafe {
            abi::supervisor::stop_child(self.0 .0, child.0, milliseconds(timeout), &mut out)
        };
        answered(code, out).map(|_| ())
    }

    /// Starts a child that was stopped.
    pub fn restart_child(self, id: &str, timeout: Duration) -> Result<Pid, Error> {
        let mut out = 0;
        // SAFETY: the id is read and `out` written during the call.
        let code = unsafe {
            abi::supervisor::restart_child(
                self.0 .0,
                id.as_ptr(),
                id.len() as u32,
                milliseconds(timeout),
                &mut out,
            )
        };
        answered(code, out)
    }

    /// Forgets a child that was stopped.
    pub fn delete_child(self, id: &str, timeout: Duration) -> Result<(), Error> {
        let mut out = 0;
        // SAFETY: the id is read and `out` written during the call.
        let code = unsafe {
            abi::supervisor::delete_child(
                self.0 .0,
                id.as_ptr(),
                id.len() as u32,
                milliseconds(timeout),
                &mut out,
            )
        };
        answered(code, out).map(|_| ())
    }

    /// Counts its children.
    pub fn count(self, timeout: Duration) -> Result<Counts, Error> {
        let mut counts = [0; 4];
        let mut out = 0;
        // SAFETY: four counts and `out` are written during the call.
        let code = unsafe {
            abi::supervisor::count(
                self.0 .0,
                counts.as_mut_ptr(),
                milliseconds(timeout),
                &mut out,
            )
        };
        let [described, active, live, requests] = counts;
        answered(code, out).map(|_| Counts { described, active, live, requests })
    }

    /// Stops it and all below it, in order, and waits until it has ended. The link to it is taken
    /// away first, so as not to be told of what one asked for.
    pub fn stop(self, timeout: Duration) -> Result<(), Error> {
        self.end(0, timeout)
    }

    /// The same, but kills them.
    pub fn kill(self, timeout: Duration) -> Result<(), Error> {
        self.end(1, timeout)
    }

    fn end(self, is_brutal: u32, timeout: Duration) -> Result<(), Error> {
        let mut out = 0;
        self.0.unlink();
        // SAFETY: `out` is written during the call.
        let code = unsafe {
            abi::supervisor::stop(self.0 .0, is_brutal, milliseconds(timeout), &mut out)
        };
        answered(code, out).map(|_| ())
    }
}

/// Tells one's own supervisor that the work can begin: [`Child::ready_within`].
pub fn ready() {
    // SAFETY: takes nothing.
    unsafe { abi::supervisor::ready() };
}

//! What a child may do and what it starts with. Rights only shrink: granting what one does not have
//! ends the process with [`Reason::Denied`](crate::Reason::Denied).

use crate::{abi, Error};

/// Begins with no permission, directory, argument or variable, and with this process's own limits.
/// Children keep what they were started with; dropping it changes nothing for them.
#[derive(Debug)]
pub struct Config(u64);

impl Config {
    /// `None`: this process may not make configurations.
    pub fn new() -> Option<Config> {
        // SAFETY: takes nothing.
        match unsafe { abi::process::create_config() } {
            u64::MAX => None,
            id => Some(Config(id)),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.0
    }

    /// Bytes of linear memory: what passes this fails to grow.
    pub fn max_memory(&mut self, bytes: u64) -> &mut Self {
        // SAFETY: takes numbers alone.
        unsafe { abi::process::config_set_max_memory(self.0, bytes) };
        self
    }

    /// Fuel, in portions of 100,000 instructions; 0 is unlimited. Who has used it up ends.
    pub fn max_fuel(&mut self, portions: u64) -> &mut Self {
        // SAFETY: takes numbers alone.
        unsafe { abi::process::config_set_max_fuel(self.0, portions) };
        self
    }

    /// May it compile modules?
    pub fn can_compile(&mut self, can: bool) -> &mut Self {
        // SAFETY: takes numbers alone.
        unsafe { abi::process::config_set_can_compile_modules(self.0, can.into()) };
        self
    }

    /// May it make configurations?
    pub fn can_configure(&mut self, can: bool) -> &mut Self {
        // SAFETY: takes numbers alone.
        unsafe { abi::process::config_set_can_create_configs(self.0, can.into()) };
        self
    }

    /// May it start processes?
    pub fn can_spawn(&mut self, can: bool) -> &mut Self {
        // SAFETY: takes numbers alone.
        unsafe { abi::process::config_set_can_spawn_processes(self.0, can.into()) };
        self
    }

    /// Lets it touch keys of the store that begin with `prefix`.
    pub fn allow_kv(&mut self, prefix: impl AsRef<[u8]>) -> &mut Self {
        let prefix = prefix.as_ref();
        // SAFETY: the prefix is read during the call.
        unsafe { abi::kv::config_allow(self.0, prefix.as_ptr(), prefix.len() as u32) };
        self
    }

    /// What it may reach of the network: `"none"`, `"local"`, `"all"`, or a list such as
    /// `"api.example:443,10.0.0.0/8"`. It begins with this process's own right; an error: the text
    /// is none of these, or more than that.
    pub fn allow_network(&mut self, right: &str) -> Result<&mut Self, Error> {
        let mut error = 0;
        // SAFETY: the text is read during the call, `error` is written.
        let code = unsafe {
            abi::net::config_allow(self.0, right.as_ptr(), right.len() as u32, &mut error)
        };
        match code {
            0 => Ok(self),
            _ => Err(Error::take(error)),
        }
    }

    /// Sets an environment variable. Traps: an empty name, or '=' in it.
    pub fn variable(&mut self, name: &str, value: &str) -> &mut Self {
        // SAFETY: the texts are read during the call.
        unsafe {
            abi::process::config_add_environment_variable(
                self.0,
                name.as_ptr(),
                name.len() as u32,
                value.as_ptr(),
                value.len() as u32,
            );
        }
        self
    }

    /// Appends an argument; the first one is the program's name.
    pub fn argument(&mut self, text: &str) -> &mut Self {
        // SAFETY: the text is read during the call.
        unsafe {
            abi::process::config_add_command_line_argument(
                self.0,
                text.as_ptr(),
                text.len() as u32,
            );
        }
        self
    }

    /// Hands on a directory: one of this process's own, by the path that it has here.
    pub fn directory(&mut self, path: &str) -> &mut Self {
        // SAFETY: the path is read during the call.
        unsafe { abi::process::config_preopen_dir(self.0, path.as_ptr(), path.len() as u32) };
        self
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: takes a number alone.
        unsafe { abi::process::drop_config(self.0) };
    }
}

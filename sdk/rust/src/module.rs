//! WebAssembly modules that are compiled at run time, to start processes of them.

use std::fmt;

use crate::process::Spawn;
use crate::{abi, Error, Pid};

/// A compiled module. Processes that run it keep it; dropping it changes nothing for them.
///
/// ```no_run
/// use pando::module::{Module, Param};
/// use pando::process::Spawn;
///
/// let module = Module::compile(&std::fs::read("plugin.wasm").unwrap()).unwrap();
/// module.start(Spawn::new().link(1), "run", &[Param::I64(7)]).unwrap();
/// ```
#[derive(Debug)]
pub struct Module(u64);

/// Why a module was not compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompileError {
    /// This process may not compile modules.
    Denied,
    /// These are no module, or one that cannot run here.
    Invalid(Error),
}

impl fmt::Display for CompileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Denied => formatter.write_str("this process may not compile modules"),
            CompileError::Invalid(why) => why.fmt(formatter),
        }
    }
}

impl std::error::Error for CompileError {}

/// A parameter of an exported function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Param {
    /// An `i32`.
    I32(i32),
    /// An `i64`.
    I64(i64),
    /// An `f32`.
    F32(f32),
    /// An `f64`.
    F64(f64),
}

impl Param {
    /// A byte of its type and 16 of its value.
    fn put(self, bytes: &mut Vec<u8>) {
        let (kind, value) = match self {
            Param::I32(value) => (0x7f, u64::from(value as u32)),
            Param::I64(value) => (0x7e, value as u64),
            Param::F32(value) => (0x7d, u64::from(value.to_bits())),
            Param::F64(value) => (0x7c, value.to_bits()),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&u128::from(value).to_le_bytes());
    }
}

impl Module {
    /// Compiles a binary module. The work is done elsewhere: this process alone waits for it.
    pub fn compile(bytes: &[u8]) -> Result<Module, CompileError> {
        let mut id = 0;
        // SAFETY: the bytes are read during the call, `id` is written.
        match unsafe { abi::process::compile_module(bytes.as_ptr(), bytes.len() as u32, &mut id) } {
            0 => Ok(Module(id)),
            1 => Err(CompileError::Invalid(Error::take(id))),
            _ => Err(CompileError::Denied),
        }
    }

    /// Starts a process of it, which begins with this exported function.
    pub fn start(&self, spawn: Spawn<'_>, function: &str, params: &[Param]) -> Result<Pid, Error> {
        let mut bytes = Vec::with_capacity(17 * params.len());
        params.iter().for_each(|param| param.put(&mut bytes));
        spawn.start_export(self.0, function, &bytes)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: takes a number alone.
        unsafe { abi::process::drop_module(self.0) };
    }
}

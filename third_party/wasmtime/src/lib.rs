//! Re-exports Wasmtime's C API, so that a static library carries its symbols.
pub use wasmtime_c_api::*;

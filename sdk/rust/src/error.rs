use crate::abi;

/// What went wrong, in words: of spawning, supervising, compiling, rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// Reads the words of an error id, and drops it: 4,096 are kept at most.
    pub(crate) fn take(id: u64) -> Error {
        // SAFETY: to_string writes string_size bytes, for which there is room.
        let bytes = unsafe {
            let mut bytes = vec![0; abi::error::string_size(id) as usize];
            abi::error::to_string(id, bytes.as_mut_ptr());
            abi::error::drop(id);
            bytes
        };
        Error(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    pub(crate) fn timed_out() -> Error {
        Error("no answer in time".into())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

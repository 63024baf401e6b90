//! `lunatic` 0.14: the tests stand in ../../suite.rs.
#![cfg(test)]

macro_rules! set_children {
    ($config:ident, $($argument:expr),+) => {
        $config.set_args(($($argument,)+))
    };
}

#[path = "../../suite.rs"]
mod suite;

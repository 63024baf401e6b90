//! `lunatic` 0.13: the tests stand in ../../suite.rs.
#![cfg(test)]

macro_rules! set_children {
    ($config:ident, $($argument:expr),+) => {
        $config.children_args(($(($argument, None),)+))
    };
}

#[path = "../../suite.rs"]
mod suite;

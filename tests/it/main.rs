//! The tests of the library from outside, in one binary: modules mirror `src/`.

mod broker;
mod tidy;

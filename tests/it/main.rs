//! The tests of the library from outside, in one binary: modules mirror `src/`.

mod broker;
mod concurrency;
mod dealer_router;
mod devices;
mod lifecycle;
mod matrix;
mod pair;
mod pipeline;
mod publish;
mod request_reply;
mod service;
mod session;
mod stack;
mod stress;
mod support;
mod tidy;
#[cfg(feature = "zeromq")]
mod zeromq;

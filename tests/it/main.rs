//! The tests of the library from outside, in one binary: a module for each pattern, layer or behaviour.

mod broker;
mod concurrency;
mod dealer_router;
mod devices;
mod inproc;
#[cfg(unix)]
mod ipc;
mod lifecycle;
mod manual;
mod matrix;
mod monitor;
mod options;
mod pair;
mod peers;
mod pipeline;
mod publish;
mod request_reply;
mod service;
mod session;
mod stack;
mod stress;
mod support;
mod tcp;
mod tidy;
mod types;
#[cfg(feature = "zeromq")]
mod zeromq;

//! The tests of the library from outside, in one binary: a module for each pattern, layer or behaviour.

mod attention;
mod broker;
mod budget;
mod cancellation;
mod chaos;
mod concurrency;
mod conformance;
mod dealer_router;
mod devices;
mod expiry;
mod guard;
mod heartbeat;
mod inproc;
#[cfg(unix)]
mod ipc;
mod lifecycle;
mod limits;
mod load;
mod manual;
mod matrix;
mod monitor;
mod options;
mod options_table;
mod pair;
mod peers;
mod permit;
mod pipeline;
mod publish;
mod receipts;
mod request_reply;
mod rows;
mod service;
mod session;
mod slow;
mod soak;
mod stack;
mod starving;
mod stress;
mod support;
mod tcp;
mod tidy;
mod types;
mod writes;
#[cfg(feature = "zeromq")]
mod zeromq;

//! Signals, thousands in a second, while messages are on their way.

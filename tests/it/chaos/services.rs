//! Calls over wires that go wrong.

//! The program `pushsub`: the devices of the library from the command line.

fn main() {}

//! A REP asks nothing.

fn main() {
    pushsub::Rep::new().request("m");
}

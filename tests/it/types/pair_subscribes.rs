//! A PAIR has no topics.

fn main() {
    pushsub::Pair::new().subscribe("t");
}

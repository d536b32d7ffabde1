//! A PUSH has no topics.

fn main() {
    pushsub::Push::new().subscribe("t");
}

//! A PUB does not subscribe.

fn main() {
    pushsub::Pub::new().subscribe("t");
}

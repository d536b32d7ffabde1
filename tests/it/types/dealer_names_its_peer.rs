//! Only a ROUTER knows peers by name.

fn main() {
    pushsub::Dealer::new().connect_as("tcp://127.0.0.1:1", todo!());
}

//! A SUB receives only.

fn main() {
    pushsub::Sub::new().try_send("m");
}

//! A SUB receives only.

fn main() {
    pushsub::Sub::new().send("m");
}

//! A PULL receives only (PL01).

fn main() {
    pushsub::Pull::new().try_send("m");
}

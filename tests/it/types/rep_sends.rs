//! A REP sends nothing that it was not asked for (RP01).

fn main() {
    pushsub::Rep::new().send("m");
}

//! A PUB never delivers what subscribers send (PB05, PB11).

fn main() {
    pushsub::Pub::new().recv();
}

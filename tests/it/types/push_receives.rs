//! A PUSH sends only (PS01).

fn main() {
    pushsub::Push::new().recv();
}

//! A PUSH sends only (PS01).

fn main() {
    pushsub::Push::new().recv_many(&mut Vec::new(), 1);
}

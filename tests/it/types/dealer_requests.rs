//! A DEALER does not wait for the reply to a request.

fn main() {
    pushsub::Dealer::new().request("m");
}

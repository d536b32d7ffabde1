//! A ROUTER does not wait for the reply to a request.

fn main() {
    pushsub::Router::new().request("m");
}

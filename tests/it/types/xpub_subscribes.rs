//! An XPUB is subscribed to, and does not subscribe.

fn main() {
    pushsub::XPub::new().subscribe("t");
}

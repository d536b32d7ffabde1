//! A REQ sends nothing whose reply it does not wait for (RQ01).

fn main() {
    pushsub::Req::new().send("m");
}

//! A request has one reply (RP01).

fn main() {
    let _ = answer;
}

fn answer(responder: pushsub::Responder) {
    let _ = responder.send("one");
    let _ = responder.send("two");
}

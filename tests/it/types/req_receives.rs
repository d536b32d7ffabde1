//! A REQ receives nothing that it did not ask for (RQ01).

fn main() {
    pushsub::Req::new().recv();
}

//! A good peer of the socket under attack, which has to go on as if nothing were.

use std::time::Duration;

use pushsub::{Message, SocketType};
use tokio::time::timeout;

use super::Result;
use super::victim::{Victim, partner, soon};

/// The good peer.
pub(crate) struct Canary {
    peer: Victim,
    trips: u64,
}

/// After this time a message is taken to have gone to another peer, whose turn it was.
const MISSED: Duration = Duration::from_millis(50);

impl Canary {
    /// A good peer at the endpoint where the victim listens. PAIR has room for none.
    pub(crate) async fn at(
        kind: SocketType,
        victim: &Victim,
        endpoint: &str,
    ) -> Result<Option<Self>> {
        if kind == SocketType::Pair {
            return Ok(None);
        }
        let peer = Victim::new(partner(kind), pushsub::Options::default())?;
        if let Victim::Sub(socket) = &peer {
            socket.subscribe("canary");
        }
        if let Victim::Sub(socket) = victim {
            socket.subscribe("canary");
        }
        if let Victim::XSub(socket) = victim {
            socket.subscribe("canary");
        }
        peer.connect(endpoint)?;
        let mut canary = Self { peer, trips: 0 };
        canary.first_trip(victim).await?;
        Ok(Some(canary))
    }

    /// A publication is lost until the subscription has come through.
    async fn first_trip(&mut self, victim: &Victim) -> Result {
        for _ in 0..200 {
            if self.round_trip(victim).await.is_ok() {
                return Ok(());
            }
        }
        Err("the canary never got through".into())
    }

    /// There and, where the pattern has a way back, back.
    pub(crate) async fn round_trip(&mut self, victim: &Victim) -> Result {
        self.trips += 1;
        let text = format!("canary {}", self.trips);
        let sent = Message::from(text.clone());
        match (&self.peer, victim) {
            (Victim::Push(peer), Victim::Pull(_)) => {
                peer.send(sent).await?;
                received(victim, &text).await
            }
            (Victim::Dealer(peer), Victim::Router(router)) => {
                peer.send(sent).await?;
                let request = soon("a request", router.recv()).await??;
                router.send(request).await?;
                same(&soon("its answer", peer.recv()).await??, &text)
            }
            (Victim::Dealer(peer), Victim::Dealer(_)) => {
                peer.send(sent).await?;
                received(victim, &text).await
            }
            (Victim::Req(peer), Victim::Rep(rep)) => {
                let asking = peer.request(sent);
                let answering = async {
                    let (request, responder) = soon("a request", rep.recv()).await??;
                    Ok::<_, Box<dyn std::error::Error>>(responder.send(request)?)
                };
                let (reply, answered) = tokio::join!(soon("a reply", asking), answering);
                answered?;
                same(&reply??, &text)
            }
            (Victim::Rep(peer), Victim::Req(req)) => request(peer, req, &text).await,
            (Victim::Pull(peer), Victim::Push(_)) => sent_on(peer.recv(), victim, sent).await,
            (Victim::Sub(peer), Victim::Pub(_) | Victim::XPub(_)) => {
                while victim.try_recv().is_some() {}
                victim.try_send(sent);
                same(&timeout(MISSED, peer.recv()).await??, &text)
            }
            (Victim::Pub(peer), Victim::Sub(_) | Victim::XSub(_)) => {
                peer.send(sent).await?;
                received_within(victim, &text, MISSED).await
            }
            _ => Err("no such pair of canary and victim".into()),
        }
    }
}

fn same(message: &Message, text: &str) -> Result {
    if message.frames() == [text] {
        return Ok(());
    }
    Err(format!("{message:?} in place of {text}").into())
}

async fn received(victim: &Victim, text: &str) -> Result {
    received_within(victim, text, Duration::from_secs(1)).await
}

/// The victim gets the message; what an attacker was let send comes by on the way.
async fn received_within(victim: &Victim, text: &str, limit: Duration) -> Result {
    let receiving = async {
        loop {
            let message = victim.recv().await?;
            if message.frames() == [text] {
                return Ok(());
            }
        }
    };
    timeout(limit, receiving)
        .await
        .map_err(|_| "the canary's message did not come")?
}

/// PUSH serves its peers in turn: those before the canary may be attackers.
async fn sent_on(
    receiving: impl Future<Output = std::result::Result<Message, pushsub::RecvError>>,
    victim: &Victim,
    message: Message,
) -> Result {
    let sending = async {
        loop {
            if !victim.try_send(message.clone()) {
                return;
            }
            timeout(MISSED, std::future::pending::<()>()).await.ok();
        }
    };
    tokio::select! {
        message = soon("a message of the PUSH", receiving) => {
            message??;
            Ok(())
        }
        () = async { sending.await; std::future::pending::<()>().await } => Ok(()),
    }
}

/// REQ asks its peers in turn, too; one that does not answer is given up.
async fn request(peer: &pushsub::Rep, victim: &pushsub::Req, text: &str) -> Result {
    let answering = async {
        loop {
            let (request, responder) = peer.recv().await?;
            responder.send(request)?;
        }
    };
    let asking = async {
        for _ in 0..8 {
            if let Ok(reply) = timeout(MISSED, victim.request(text.to_owned())).await {
                return same(&reply?, text);
            }
        }
        Err("no reply in eight attempts".into())
    };
    tokio::select! {
        result = asking => result,
        result = answering => result,
    }
}

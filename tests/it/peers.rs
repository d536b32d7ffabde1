//! Who is at the other end: metadata, whom a message came by, and the peer table of a ROUTER.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use pushsub::{
    Dealer, Endpoint, Identity, LinkError, Message, Monitor, Options, OptionsError, PeerInfo, Pub,
    Pull, Push, Rep, Req, Router, SendError, Sub, TrySendError, XPub, testing,
};
use tokio::task::yield_now;

use crate::support::order::Order;
use crate::support::peer::{Peer, command, frame, greeting};
use crate::support::{
    Result, connected, disconnected, event, in_virtual_time, memory_name, on_every_transport,
};

on_every_transport! {
    each_end_is_told_what_the_other_says_of_itself;
    a_message_names_the_connection_that_it_came_by_after_its_end;
    messages_of_a_replaced_connection_keep_its_name;
    every_receiving_socket_says_whom_a_message_came_by;
}

fn about(value: &'static str) -> Options {
    Options::default().metadata("X-Life", value)
}

fn life(peer: &PeerInfo) -> &[u8] {
    peer.property("x-lIFE").map_or(b"", |value| &value[..])
}

/// N05, N07, N12.
async fn each_end_is_told_what_the_other_says_of_itself(endpoint: String) -> Result {
    let identity = Identity::new("ann")?;
    let router = Router::with_options(about("server").metadata("X-Zone", ""))?;
    let dealer = Dealer::with_options(about("client").identity(identity))?;
    let (mut there, mut here) = (router.monitor(), dealer.monitor());
    let endpoint = router.bind(&endpoint).await?;
    dealer.connect(&endpoint)?;
    connected(&mut there).await;
    connected(&mut here).await;
    let [client] = &router.peers()[..] else {
        return Err("one peer".into());
    };
    let [server] = &dealer.peers()[..] else {
        return Err("one peer".into());
    };
    let said = client.properties();
    let said: Vec<_> = said.map(|(name, value)| (name, &value[..])).collect();
    let expected = [
        ("Socket-Type", &b"DEALER"[..]),
        ("Identity", b"ann"),
        ("X-Life", b"client"),
    ];
    assert_eq!(said, expected);
    assert_eq!(client.identity, "ann");
    assert_eq!(life(server), b"server");
    assert!(
        server
            .property("X-Zone")
            .is_some_and(|zone| zone.is_empty())
    );
    assert!(client.accepted && !server.accepted);
    assert_eq!((&client.endpoint, &server.endpoint), (&endpoint, &endpoint));
    Ok(())
}

/// The connection has ended, and its messages still wait.
async fn a_message_names_the_connection_that_it_came_by_after_its_end(endpoint: String) -> Result {
    let pull = Pull::new();
    let mut monitor = pull.monitor();
    let endpoint = pull.bind(&endpoint).await?;
    for value in ["first", "second"] {
        let push = Push::with_options(about(value))?;
        push.connect(&endpoint)?;
        push.send(value).await?;
        push.send(value).await?;
        assert_eq!(push.close(Duration::from_secs(10)).await.unsent, 0);
        disconnected(&mut monitor).await;
    }
    assert!(pull.peers().is_empty());
    let mut seen = BTreeMap::new();
    for _ in 0..4 {
        let (message, peer) = pull.recv_from().await?;
        assert_eq!(message.first(), life(&peer));
        *seen.entry(peer.connection).or_insert(0) += 1;
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), [2, 2]);
    assert!(pull.try_recv_from().is_err());
    Ok(())
}

/// One endpoint, three connections, and messages of all of them in one queue.
async fn messages_of_a_replaced_connection_keep_its_name(endpoint: String) -> Result {
    let pull = Pull::with_options(
        Options::default().reconnect(Duration::from_millis(1), Duration::from_millis(1)),
    )?;
    let mut monitor = pull.monitor();
    let mut bound = None;
    for (value, count) in [("first", 3), ("none", 0), ("second", 2), ("third", 2)] {
        let push = Push::with_options(about(value))?;
        match &bound {
            Some(endpoint) => drop(push.bind(endpoint).await?),
            None => {
                let endpoint = push.bind(&endpoint).await?;
                pull.connect(&endpoint)?;
                bound = Some(endpoint);
            }
        }
        connected(&mut monitor).await;
        for number in 0..count {
            push.send(format!("{value} {number}")).await?;
        }
        if value == "third" {
            return check(&pull, &[("first", 3), ("second", 2), ("third", 2)]).await;
        }
        assert_eq!(push.close(Duration::from_secs(10)).await.unsent, 0);
        disconnected(&mut monitor).await;
    }
    Ok(())
}

async fn check(pull: &Pull, expected: &[(&str, usize)]) -> Result {
    let mut connections = Vec::new();
    for (value, count) in expected {
        for number in 0..*count {
            let (message, peer) = pull.recv_from().await?;
            assert_eq!(message.first(), format!("{value} {number}").as_bytes());
            assert_eq!(life(&peer), value.as_bytes());
            connections.push(peer.connection);
        }
    }
    assert!(connections.is_sorted());
    connections.dedup();
    assert_eq!(connections.len(), expected.len());
    Ok(())
}

async fn every_receiving_socket_says_whom_a_message_came_by(endpoint: String) -> Result {
    let router = Router::with_options(about("router"))?;
    let bound = router.bind(&endpoint).await?;
    let dealer = Dealer::with_options(about("dealer"))?;
    dealer.connect(&bound)?;
    dealer.send("question").await?;
    let (question, peer) = router.recv_from().await?;
    assert_eq!(
        (life(&peer), &question.first()[..]),
        (&b"dealer"[..], &peer.identity[..])
    );
    router.send(question).await?;
    assert_eq!(life(&dealer.recv_from().await?.1), b"router");
    router.close(Duration::ZERO).await;
    dealer.close(Duration::ZERO).await;

    let rep = Rep::new();
    rep.bind(&bound).await?;
    let req = Req::with_options(about("req"))?;
    req.connect(&bound)?;
    let (reply, ()) = tokio::join!(req.request("question"), async {
        let (question, responder, peer) = rep.recv_from().await.expect("open");
        assert_eq!(
            (life(&peer), &question.first()[..]),
            (&b"req"[..], &b"question"[..])
        );
        responder.send("answer").expect("it is there");
    });
    assert_eq!(reply?.first(), "answer");
    rep.close(Duration::ZERO).await;
    req.close(Duration::ZERO).await;

    let publisher = XPub::with_options(about("publisher"))?;
    publisher.bind(&bound).await?;
    let sub = Sub::with_options(about("subscriber"))?;
    sub.subscribe("a");
    sub.connect(&bound)?;
    let (shown, peer) = publisher.recv_from().await?;
    assert_eq!(
        (&shown.first()[..], life(&peer)),
        (&b"\x01a"[..], &b"subscriber"[..])
    );
    publisher.send("a").await?;
    assert_eq!(life(&sub.recv_from().await?.1), b"publisher");
    Ok(())
}

/// N04, N06, N12, BI-47.
#[test]
fn a_socket_is_not_made_with_a_property_that_no_peer_would_take() {
    for options in [
        Options::default().metadata("Socket-Type", "PULL"),
        Options::default().metadata("X-a b", ""),
        Options::default().metadata("X-large", vec![0; 8_192]),
    ] {
        let refused = Push::with_options(options).expect_err("it is refused");
        let OptionsError::OutOfRange { option, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!(option, "metadata");
    }
    let most = Options::default()
        .identity(Identity::new(vec![1; 255]).expect("the longest"))
        .metadata("X-large", vec![0; 7_680 - 12]);
    assert!(Pub::with_options(most).is_ok());
}

/// BI-47: the longest metadata and the longest identity fit what every peer of ours takes.
#[test]
fn the_most_that_a_socket_may_say_fits_the_handshake() -> Result {
    in_virtual_time(async {
        let router = Router::new();
        let mut monitor = router.monitor();
        let endpoint = router.bind(format!("memory://{}", memory_name())).await?;
        let most = Options::default()
            .identity(Identity::new(vec![1; 255])?)
            .metadata("X-large", vec![7; 7_680 - 12]);
        let dealer = Dealer::with_options(most)?;
        dealer.connect(&endpoint)?;
        connected(&mut monitor).await;
        let peers = router.peers();
        let large = peers[0].property("X-Large").ok_or("it is not there")?;
        assert_eq!(large.len(), 7_668);
        Ok(())
    })
}

/// The READY of a DEALER that says this of itself as well.
fn ready_with(properties: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [&[("Socket-Type", &b"DEALER"[..])], properties].concat() {
        body.push(u8::try_from(name.len()).expect("a short name"));
        body.extend(name.as_bytes());
        body.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
        body.extend(value);
    }
    command(&body)
}

/// N05, N12, N13, BI-47: a Resource is accepted whatever it names, unknown
/// properties are kept for the application, and a name twice ends the handshake.
#[test]
fn a_scripted_peer_is_known_by_all_that_it_says_and_refused_if_it_says_it_twice() -> Result {
    in_virtual_time(async {
        let router = Router::new();
        let mut monitor = router.monitor();
        let name = memory_name();
        router.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::new(testing::dial(&name)?);
        peer.write(&greeting(1)).await?;
        let said = [
            ("Resource", &b"a/b/c"[..]),
            ("Unknown", b"?"),
            ("x-color", b"red"),
        ];
        peer.write(&ready_with(&said)).await?;
        peer.write(&frame(false, b"hello")).await?;
        let (_, info) = router.recv_from().await?;
        for (name, value) in said {
            assert_eq!(info.property(&name.to_uppercase()), Some(&value.into()));
        }
        let mut peer = Peer::new(testing::dial(&name)?);
        peer.write(&greeting(1)).await?;
        peer.write(&ready_with(&[("X-Color", b"red"), ("x-color", b"red")]))
            .await?;
        event(&mut monitor, |event| {
            matches!(
                event,
                pushsub::Event::Refused {
                    reason: LinkError::Handshake(_),
                    ..
                }
            )
        })
        .await;
        Ok(())
    })
}

/// A peer of the crowd: its life is what it says of itself.
struct Member {
    socket: Either,
    life: String,
    name: Option<String>,
    connected: bool,
}

enum Either {
    Dealer(Dealer),
    Req(Req),
}

/// What a connection has said so far.
#[derive(Debug, PartialEq)]
enum Said {
    Hello,
    Gone,
}

/// One ROUTER, its crowd, and what is known of both.
struct Crowd {
    router: Router,
    monitor: Monitor,
    order: Order,
    endpoint: Endpoint,
    members: Vec<Member>,
    /// By connection.
    said: BTreeMap<u64, Said>,
    handed_over: usize,
    random: Rng,
    lives: usize,
}

impl Crowd {
    async fn new(endpoint: String, seed: u64) -> Result<Self> {
        let options = Options::default()
            .mandatory(true)
            .handover(true)
            .disconnect_message("gone");
        let router = Router::with_options(options)?;
        let monitor = router.monitor();
        let endpoint = router.bind(endpoint).await?;
        Ok(Self {
            router,
            monitor,
            order: Order::default(),
            endpoint,
            members: Vec::new(),
            said: BTreeMap::new(),
            handed_over: 0,
            random: Rng::with_seed(seed),
            lives: 0,
        })
    }

    async fn step(&mut self) -> Result {
        let place = (!self.members.is_empty()).then(|| self.random.usize(..self.members.len()));
        match (self.random.u8(..8), place) {
            (0, Some(place)) => drop(self.members.swap_remove(place)),
            (1, Some(place)) => {
                // A REQ and a DEALER that are told to end, in order or at once.
                let linger = Duration::from_millis(self.random.u64(..2));
                match self.members.swap_remove(place).socket {
                    Either::Dealer(dealer) => drop(dealer.close(linger).await),
                    Either::Req(req) => drop(req.close(linger).await),
                }
            }
            (2 | 3, Some(place)) => {
                let member = &mut self.members[place];
                member.connected = !member.connected;
                match (&member.socket, member.connected) {
                    (Either::Dealer(dealer), true) => dealer.connect(&self.endpoint)?,
                    (Either::Req(req), true) => req.connect(&self.endpoint)?,
                    (Either::Dealer(dealer), false) => drop(dealer.disconnect(&self.endpoint)),
                    (Either::Req(req), false) => drop(req.disconnect(&self.endpoint)),
                }
                // Who comes back under a name that another has by now takes it.
                if member.connected
                    && let Some(name) = member.name.clone()
                {
                    let member = self.members.swap_remove(place);
                    self.take_over(&name, member).await?;
                }
            }
            (4, Some(place)) => self.route(place),
            (_, _) if self.members.len() < 30 => self.join().await?,
            _ => {}
        }
        self.settle().await
    }

    async fn join(&mut self) -> Result {
        self.lives += 1;
        let life = self.lives.to_string();
        let name = (self.random.u8(..4) > 0).then(|| format!("name {}", self.random.u8(..40)));
        let mut options = Options::default().metadata("X-Life", life.clone());
        if let Some(name) = &name {
            options = options.identity(Identity::new(name.clone())?);
        }
        let socket = if self.random.bool() {
            let dealer = Dealer::with_options(options.hello("hello"))?;
            dealer.connect(&self.endpoint)?;
            Either::Dealer(dealer)
        } else {
            let req = Req::with_options(options.probe_router(true))?;
            req.connect(&self.endpoint)?;
            Either::Req(req)
        };
        let member = Member {
            socket,
            life,
            name: name.clone(),
            connected: true,
        };
        match name {
            Some(name) => self.take_over(&name, member).await,
            None => {
                self.members.push(member);
                Ok(())
            }
        }
    }

    /// A member comes under a name. Whoever has it talks on until it is cut, and goes.
    async fn take_over(&mut self, name: &str, newcomer: Member) -> Result {
        let same = |member: &Member| member.connected && member.name.as_deref() == Some(name);
        if let Some(former) = self.members.iter().position(same) {
            self.handed_over += 1;
            let former = self.members.swap_remove(former);
            let here = |peer: &Arc<PeerInfo>| life(peer) == newcomer.life.as_bytes();
            while !self.router.peers().iter().any(here) {
                if let Either::Dealer(dealer) = &former.socket {
                    drop(dealer.try_send(former.life.clone()));
                }
                self.look();
                yield_now().await;
            }
            if let Either::Dealer(dealer) = &former.socket {
                drop(dealer.try_send(former.life));
            }
        }
        self.members.push(newcomer);
        Ok(())
    }

    /// A mandatory ROUTER reaches who is in its table, and nobody else.
    fn route(&mut self, place: usize) {
        let member = &self.members[place];
        let Some(name) = &member.name else { return };
        let mut message = Message::from(name.clone());
        message.push_back("for you");
        let sent = self.router.try_send(message);
        let unknown = matches!(sent, Err(TrySendError::Refused(SendError::Unroutable(_))));
        let mut there = self.members.iter().filter(|member| member.connected);
        let known = there.any(|member| member.name.as_ref() == Some(name));
        assert_eq!(unknown, !known, "{name}");
    }

    /// Takes all that the router has, and holds it against what it may have.
    fn look(&mut self) {
        while let Ok((message, peer)) = self.router.try_recv_from() {
            assert!(!message.first().is_empty(), "nobody has no name");
            assert_eq!(message.first(), &peer.identity[..]);
            let said = self.said.get(&peer.connection);
            match &message[1][..] {
                b"gone" => {
                    assert_eq!(said, Some(&Said::Hello), "{peer:?}");
                    self.said.insert(peer.connection, Said::Gone);
                }
                b"hello" | b"" => {
                    assert_eq!(said, None, "{peer:?}");
                    self.said.insert(peer.connection, Said::Hello);
                }
                life_of => {
                    assert_eq!(life_of, life(&peer));
                    assert_eq!(said, Some(&Said::Hello));
                }
            }
        }
        self.order.drain(&mut self.monitor);
        self.order.assert_peers(&self.router.peers());
    }

    /// Lets everybody run until the table is the truth.
    async fn settle(&mut self) -> Result {
        for _ in 0..10_000 {
            self.look();
            let peers = self.router.peers();
            let mut shown: Vec<_> = peers.iter().map(|peer| life(peer)).collect();
            let there = self.members.iter().filter(|member| member.connected);
            let mut there: Vec<_> = there.map(|member| member.life.as_bytes()).collect();
            shown.sort_unstable();
            there.sort_unstable();
            let greeted = |peer: &Arc<PeerInfo>| self.said.contains_key(&peer.connection);
            if shown == there && peers.iter().all(greeted) {
                return Ok(());
            }
            yield_now().await;
        }
        Err("the table does not become the truth".into())
    }
}

/// A11.
async fn crowd(endpoint: String, steps: usize) -> Result {
    let mut crowd = Crowd::new(endpoint, 11).await?;
    for step in 0..steps {
        crowd
            .step()
            .await
            .map_err(|error| format!("step {step}: {error}"))?;
    }
    crowd.members.clear();
    crowd.settle().await?;
    assert!(crowd.handed_over > steps / 100, "{}", crowd.handed_over);
    assert!(crowd.order.connected > steps / 4);
    // Each said hello once, and gone once unless another had taken its name.
    assert_eq!(crowd.said.len(), crowd.order.connected);
    let gone = crowd.said.values().filter(|said| **said == Said::Gone);
    assert_eq!(gone.count() + crowd.handed_over, crowd.order.connected);
    Ok(())
}

#[test]
fn the_peer_table_is_the_truth_after_ten_thousand_random_steps_within_the_process() -> Result {
    in_virtual_time(crowd(format!("inproc://{}", memory_name()), 10_000))
}

#[test]
fn the_peer_table_is_the_truth_after_two_thousand_random_steps_over_a_wire() -> Result {
    in_virtual_time(crowd(format!("memory://{}", memory_name()), 2_000))
}

//! A client and a worker written from `docs/protocol.md` with bare sockets.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pushsub::{Broker, Dealer, Message, Push, Sub};

pub(super) const REQUEST: u8 = 0x01;
pub(super) const RESPONSE: u8 = 0x02;
pub(super) const ERROR: u8 = 0x05;
pub(super) const CANCEL: u8 = 0x06;
pub(super) const PROBE: u8 = 0x08;
pub(super) const HELLO: u8 = 0x09;
pub(super) const GOODBYE: u8 = 0x0A;

/// The control frame, as far as the tests need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) kind: u8,
    pub(super) idempotent: bool,
    pub(super) hops: u8,
    pub(super) attempt: u16,
    pub(super) nonce: u64,
    pub(super) counter: u64,
    pub(super) sequence: u64,
    pub(super) epoch: u64,
    pub(super) time_left: u64,
    pub(super) status: u16,
    pub(super) window: u32,
    pub(super) service: Bytes,
    pub(super) key: Bytes,
}

impl Control {
    pub(super) fn new(kind: u8, nonce: u64, counter: u64) -> Self {
        Self {
            kind,
            idempotent: false,
            hops: 8,
            attempt: 0,
            nonce,
            counter,
            sequence: 0,
            epoch: 0,
            time_left: u64::MAX,
            status: 0,
            window: 0,
            service: Bytes::from_static(b"geo"),
            key: Bytes::new(),
        }
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(&[1, self.kind, 0, u8::from(self.idempotent), 0, self.hops]);
        out.put_u16(self.attempt);
        for field in [
            self.nonce,
            self.counter,
            self.sequence,
            self.epoch,
            self.time_left,
            0,
        ] {
            out.put_u64(field);
        }
        out.put_u16(self.status);
        out.put_u16(0);
        out.put_u32(self.window);
        out.put_u64(0);
        out.put_u8(self.service.len() as u8);
        out.put_slice(&self.service);
        out.put_u8(0);
        out.put_u16(self.key.len() as u16);
        out.put_slice(&self.key);
        out.freeze()
    }

    fn decode(frame: &Bytes) -> Self {
        let mut rest = frame.clone();
        assert_eq!(rest.get_u8(), 1, "version");
        let kind = rest.get_u8();
        let idempotent = rest.get_u16() == 1;
        let _codec = rest.get_u8();
        let hops = rest.get_u8();
        let attempt = rest.get_u16();
        let [nonce, counter, sequence, epoch, time_left, _stamp] =
            std::array::from_fn(|_| rest.get_u64());
        let status = rest.get_u16();
        rest.advance(2);
        let window = rest.get_u32();
        rest.advance(8);
        let length = usize::from(rest.get_u8());
        let service = rest.split_to(length);
        let length = usize::from(rest.get_u8());
        rest.advance(length);
        let length = usize::from(rest.get_u16());
        let key = rest.split_to(length);
        assert!(rest.is_empty(), "octets after the key");
        Self {
            kind,
            idempotent,
            hops,
            attempt,
            nonce,
            counter,
            sequence,
            epoch,
            time_left,
            status,
            window,
            service,
            key,
        }
    }
}

/// A message of the protocol.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) topic: Bytes,
    pub(super) control: Control,
    pub(super) payload: Bytes,
}

impl Said {
    fn encode(&self) -> Message {
        let frames = vec![
            self.topic.clone(),
            self.control.encode(),
            Bytes::new(),
            self.payload.clone(),
        ];
        Message::from_frames(frames).expect("four frames")
    }

    fn decode(message: &Message) -> Self {
        assert_eq!(message.frames().len(), 4);
        Self {
            topic: message[0].clone(),
            control: Control::decode(&message[1]),
            payload: message[3].clone(),
        }
    }
}

/// A client handle of one instance.
pub(super) struct Client {
    push: Push,
    sub: Sub,
    topic: Bytes,
    nonce: u64,
    pub(super) counter: u64,
}

impl Client {
    /// Connects, and probes until the hello is back.
    pub(super) async fn connect(broker: &Broker, id: &str, nonce: u64) -> Self {
        let topic = Bytes::from(format!("{id}\0"));
        let (push, sub) = (Push::new(), Sub::new());
        sub.subscribe(topic.clone());
        sub.connect(broker.front().responses).expect("an endpoint");
        push.connect(broker.front().requests).expect("an endpoint");
        let mut client = Self {
            push,
            sub,
            topic,
            nonce,
            counter: 0,
        };
        loop {
            client.counter += 1;
            client.say(client.control(PROBE), "").await;
            let wait = std::time::Duration::from_millis(50);
            if let Ok(said) = tokio::time::timeout(wait, client.hear()).await {
                assert_eq!(said.control.kind, HELLO);
                return client;
            }
        }
    }

    /// A control frame about the client's present counter.
    pub(super) fn control(&self, kind: u8) -> Control {
        Control::new(kind, self.nonce, self.counter)
    }

    pub(super) async fn say(&self, control: Control, payload: &'static str) {
        let said = Said {
            topic: self.topic.clone(),
            control,
            payload: Bytes::from_static(payload.as_bytes()),
        };
        self.push.send(said.encode()).await.expect("open");
    }

    /// Pushes a request and returns its counter.
    pub(super) async fn request(&mut self, key: &'static str, idempotent: bool) -> u64 {
        self.counter += 1;
        let control = Control {
            idempotent,
            key: Bytes::from_static(key.as_bytes()),
            ..self.control(REQUEST)
        };
        self.say(control, "where?").await;
        self.counter
    }

    /// The next that comes, whatever it is.
    pub(super) async fn hear(&self) -> Said {
        Said::decode(&self.sub.recv().await.expect("open"))
    }

    /// The next response or error: counter, status, sequence.
    pub(super) async fn answer(&self) -> (u64, u16, u64) {
        loop {
            let control = self.hear().await.control;
            if control.kind == RESPONSE || control.kind == ERROR {
                return (control.counter, control.status, control.sequence);
            }
        }
    }
}

/// A worker that says nothing by itself but its first hello.
pub(super) struct Worker {
    dealer: Dealer,
    pub(super) epoch: u64,
}

impl Worker {
    /// Connects, says hello, and waits for the broker's.
    pub(super) async fn connect(broker: &Broker, epoch: u64, credit: u32) -> Self {
        let dealer = Dealer::new();
        dealer.connect(broker.back()).expect("an endpoint");
        let worker = Self { dealer, epoch };
        worker.hello(credit).await;
        assert_eq!(worker.hear().await.control.kind, HELLO);
        worker
    }

    pub(super) async fn hello(&self, credit: u32) {
        let control = Control {
            window: credit,
            ..Control::new(HELLO, 0, 1)
        };
        self.say(control).await;
    }

    pub(super) async fn say(&self, control: Control) {
        let said = Said {
            topic: Bytes::new(),
            control: Control {
                epoch: self.epoch,
                ..control
            },
            payload: Bytes::new(),
        };
        self.dealer.send(said.encode()).await.expect("open");
    }

    pub(super) async fn hear(&self) -> Said {
        Said::decode(&self.dealer.recv().await.expect("open"))
    }

    /// The next request.
    pub(super) async fn request(&self) -> Said {
        loop {
            let said = self.hear().await;
            if said.control.kind == REQUEST {
                return said;
            }
        }
    }

    /// Sends a request back as its response.
    pub(super) async fn respond(&self, mut request: Said) {
        request.control.kind = RESPONSE;
        request.control.epoch = self.epoch;
        self.dealer.send(request.encode()).await.expect("open");
    }

    /// Cuts the link.
    pub(super) async fn die(self) {
        self.dealer.close(std::time::Duration::ZERO).await;
    }
}

//! Octets for a socket of either implementation: good ones, every kind of offence, and mutants.

use fastrand::Rng;
use pushsub::SocketType;
use pushsub::SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};

use crate::mutate::mutant;
use crate::octets::{
    COMMAND, LONG, MORE, command, frame, greeting, greeting_of, header, ping, property,
    property_claiming, ready, ready_with, session, session_as,
};

/// What is said to a socket of a type.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) kind: SocketType,
    pub(super) octets: Vec<u8>,
}

/// The type of a peer that a socket of this type talks to.
fn partner(kind: SocketType) -> SocketType {
    match kind {
        Pair => Pair,
        Pub | XPub => Sub,
        Sub | XSub => Pub,
        Push => Pull,
        Pull => Push,
        Req => Rep,
        Rep => Req,
        Dealer => Router,
        Router => Dealer,
    }
}

fn case(name: impl Into<String>, kind: SocketType, pieces: &[&[u8]]) -> Case {
    Case {
        name: name.into(),
        kind,
        octets: pieces.concat(),
    }
}

/// A case of a peer, which says this behind its handshake.
fn peer(name: impl Into<String>, kind: SocketType, said: &[u8]) -> Case {
    case(name, kind, &[&session(partner(kind)), said])
}

/// The cases that are known by their names.
pub(super) fn table() -> Vec<Case> {
    let mut cases = good();
    cases.extend(greetings());
    cases.extend(handshakes());
    cases.extend(properties());
    cases.extend(framing());
    cases.extend(commands());
    cases.extend(patterns());
    cases
}

/// Mutants of the good cases.
pub(super) fn mutants(count: u64) -> Vec<Case> {
    let good = good();
    let mutant = |seed: u64| {
        let mut random = Rng::with_seed(seed);
        let base = &good[random.usize(..good.len())];
        Case {
            name: format!("mutant {seed} of {}", base.name),
            kind: base.kind,
            octets: mutant(&base.octets, &mut random),
        }
    };
    (0..count).map(mutant).collect()
}

fn good() -> Vec<Case> {
    let three = [frame(MORE, b"one"), frame(MORE, b""), frame(0, b"three")].concat();
    let request = [frame(MORE, b""), frame(0, b"question")].concat();
    let said = |kind| match kind {
        Req | Rep => request.clone(),
        Pub | XPub => command("SUBSCRIBE", b"news."),
        Push => Vec::new(),
        _ => three.clone(),
    };
    let mut cases: Vec<_> = SocketType::ALL
        .into_iter()
        .map(|kind| peer(format!("good {kind}"), kind, &said(kind)))
        .collect();
    for (major, minor) in [(3, 0), (3, 2), (4, 0), (255, 255)] {
        let name = format!("version {major}.{minor}");
        cases.push(case(
            name,
            Pull,
            &[&greeting_of(major, minor), &ready(Push), &three],
        ));
    }
    let sizes: Vec<u8> = [0, 1, 255, 256, 9_000]
        .iter()
        .flat_map(|size| frame(0, &vec![b's'; *size]))
        .collect();
    cases.push(peer("sizes", Pull, &sizes));
    let long = [&header(0, 3)[..], b"one", &header(MORE, 0), &header(0, 0)].concat();
    cases.push(peer("long form", Pull, &long));
    let between = [frame(MORE, b"one"), ping(0, b"between"), frame(0, b"two")].concat();
    cases.push(peer("ping between frames", Pull, &between));
    let hops = [frame(MORE, b"hop"), frame(MORE, b"hop"), request.clone()].concat();
    cases.push(case("two hops", Rep, &[&session(Dealer), &hops]));
    cases.push(case(
        "named",
        Router,
        &[&session_as(Dealer, b"named"), &three],
    ));
    cases.push(case(
        "subscribes as 3.0",
        XPub,
        &[
            &greeting_of(3, 0),
            &ready(Sub),
            &frame(0, b"\x01news."),
            &frame(0, b"\0news."),
        ],
    ));
    cases
}

fn altered(at: usize, octets: &[u8]) -> Vec<u8> {
    let mut greeting = greeting();
    greeting[at..at + octets.len()].copy_from_slice(octets);
    greeting
}

fn greetings() -> Vec<Case> {
    let rest = [ready(Push), frame(0, b"sneaky")].concat();
    let named = |name: &str, greeting: &[u8]| case(name, Pull, &[greeting, &rest]);
    let mut cases = vec![
        named("padding", &altered(1, b"\xa5\x5a\x01\xff\x80\x7f\x10\x99")),
        named("as-server", &altered(32, b"\x01")),
        named("filler", &altered(33, &[0xa5; 31])),
        named("tenth octet even", &altered(9, b"\x7e")),
        named("tenth octet odd", &altered(9, b"\x01")),
        named("first octet", &altered(0, b"\xfe")),
        named("greeting twice", &[greeting(), greeting()].concat()),
        case("a PING for a greeting", Pull, &[]),
        case("half a greeting", Pull, &[&greeting()[..30]]),
        case(
            "http",
            Pull,
            &[b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"],
        ),
        case(
            "tls",
            Pull,
            &[b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", &[b'r'; 70]],
        ),
        case("1.0", Pull, &[b"\x01\0\x07\0sneaky"]),
        case("1.0 named", Pull, &[b"\x05\0name\x07\0sneaky"]),
        case(
            "2.0",
            Pull,
            &[b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x08\0\0\0\x06sneaky"],
        ),
    ];
    for (major, minor) in [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)] {
        let name = format!("version {major}.{minor} in 64 octets");
        cases.push(named(&name, &greeting_of(major, minor)));
    }
    for mechanism in ["PLAIN", "CURVE", "XYZZY", "null", "NULL\0junk", "NULLNULL"] {
        let mut field = [0; 20];
        field[..mechanism.len()].copy_from_slice(mechanism.as_bytes());
        let name = format!("mechanism {}", mechanism.escape_default());
        cases.push(named(&name, &altered(12, &field)));
    }
    cases.push(named("no mechanism", &altered(12, &[0; 20])));
    cases
}

fn handshakes() -> Vec<Case> {
    let message = frame(0, b"sneaky");
    let early =
        |name: &str, said: &[u8]| case(name, Pull, &[&greeting(), said, &ready(Push), &message]);
    let flagged = |name: &str, flags: u8| {
        let mut ready = ready(Push);
        ready[0] = flags;
        case(name, Pull, &[&greeting(), &ready, &message])
    };
    vec![
        case("no READY", Pull, &[&greeting()]),
        early("message before READY", &frame(0, b"early")),
        early("empty message before READY", &frame(0, b"")),
        early("PING before READY", &ping(0, b"")),
        early("SUBSCRIBE before READY", &command("SUBSCRIBE", b"")),
        early("unknown before READY", &command("WHATEVER", b"")),
        early("HELLO before READY", &command("HELLO", &[0; 200])),
        early("INITIATE before READY", &command("INITIATE", &[b'i'; 300])),
        early("ERROR before READY", &command("ERROR", b"\x02no")),
        early(
            "ERROR that is cut before READY",
            &command("ERROR", b"\x09no"),
        ),
        early("empty command before READY", &frame(COMMAND, b"")),
        early("nameless before READY", &frame(COMMAND, b"\0")),
        early("READY of 1 TiB", &header(COMMAND, 1 << 40)),
        flagged("READY as a message", 0),
        flagged("READY with MORE", COMMAND | MORE),
        flagged("READY with a reserved bit", COMMAND | 8),
        peer(
            "READY twice",
            Pull,
            &[ready(Push), message.clone()].concat(),
        ),
        peer(
            "ERROR after READY",
            Pull,
            &[command("ERROR", b"\x02no"), message].concat(),
        ),
    ]
}

fn properties() -> Vec<Case> {
    let with = |name: &str, rest: &[u8]| {
        let octets = ready_with(b"PUSH", rest);
        case(name, Pull, &[&greeting(), &octets, &frame(0, b"one")])
    };
    let of = |name: &str, kind, metadata: &[u8]| {
        case(name, kind, &[&greeting(), &command("READY", metadata)])
    };
    let many = |count: usize| -> Vec<u8> {
        (0..count)
            .flat_map(|number| property(format!("X-{number}").as_bytes(), b""))
            .collect()
    };
    let identity = |name: &str, kind, value: &[u8]| {
        let octets = session_as(Dealer, value);
        case(name, kind, &[&octets, &frame(0, b"one")])
    };
    vec![
        with("an X- property", &property(b"X-Zone", b"eu")),
        with("an empty value", &property(b"X-Zone", b"")),
        with("a name of 255", &property(&[b'X'; 255], b"eu")),
        with("64 properties", &many(63)),
        with("65 properties", &many(64)),
        with("9 KiB of metadata", &property(b"X", &[b'v'; 9 << 10])),
        with(
            "a name twice",
            &[property(b"X-A", b"1"), property(b"x-a", b"2")].concat(),
        ),
        with("the type twice", &property(b"socket-type", b"PULL")),
        with("a name of nothing", &property(b"", b"v")),
        with("a name with a space", &property(b"X A", b"v")),
        with("a name of no letters", &property(b"\xff\0", b"v")),
        with(
            "a value that claims one more",
            &property_claiming(b"X", 2, b"v"),
        ),
        with(
            "a value that claims 2^31",
            &property_claiming(b"X", 1 << 31, b"v"),
        ),
        with(
            "a value that claims 2^32 - 1",
            &property_claiming(b"X", u32::MAX, b"v"),
        ),
        with("a name that is cut", b"\x05X"),
        with("one octet more", b"\x01"),
        of("no properties", Pull, b""),
        of("an empty type", Pull, &property(b"Socket-Type", b"")),
        of(
            "a type in lower case",
            Pull,
            &property(b"Socket-Type", b"push"),
        ),
        of(
            "the name in lower case",
            Pull,
            &property(b"socket-type", b"PUSH"),
        ),
        of("an unknown type", Pull, &property(b"Socket-Type", b"PUSHY")),
        of("a draft type", Router, &property(b"Socket-Type", b"CLIENT")),
        of("PULL and PULL", Pull, &property(b"Socket-Type", b"PULL")),
        of("PUB and PULL", Pull, &property(b"Socket-Type", b"PUB")),
        of("REQ and REQ", Req, &property(b"Socket-Type", b"REQ")),
        of("REP and ROUTER", Router, &property(b"Socket-Type", b"REP")),
        of(
            "PAIR and DEALER",
            Dealer,
            &property(b"Socket-Type", b"PAIR"),
        ),
        identity("an empty identity", Router, b""),
        identity("an identity of 255", Router, &[b'i'; 255]),
        identity("an identity of 256", Router, &[b'i'; 256]),
        identity("an identity that begins with 0", Router, b"\0one"),
        identity("an identity of 256 to a DEALER", Dealer, &[b'i'; 256]),
    ]
}

fn framing() -> Vec<Case> {
    let good = frame(0, b"good");
    let after = |name: String, said: &[u8]| peer(name, Pull, &[&good, said, &good].concat());
    let parts = |count: usize| [frame(MORE, b"").repeat(count - 1), frame(0, b"")].concat();
    let mut cases: Vec<_> = (3..8)
        .map(|bit| after(format!("reserved bit {bit}"), &frame(1 << bit, b"x")))
        .collect();
    cases.push(after("all reserved bits".into(), &frame(0xf8, b"x")));
    cases.push(after(
        "a command with MORE".into(),
        &frame(COMMAND | MORE, b"\x04PONG"),
    ));
    for (name, length) in [
        ("2^63", 1 << 63),
        ("2^64 - 1", u64::MAX),
        ("20 MiB", 20 << 20),
    ] {
        cases.push(after(format!("a message of {name}"), &header(0, length)));
    }
    cases.push(after(
        "a command of 65 KiB".into(),
        &command("X", &vec![0; 65 << 10]),
    ));
    cases.push(after(
        "a command of 2^64 - 1".into(),
        &header(COMMAND, u64::MAX),
    ));
    cases.push(after("1,024 frames".into(), &parts(1_024)));
    cases.push(after("1,025 frames".into(), &parts(1_025)));
    cases.push(after("a message that is cut".into(), &[MORE, 3, b'o']));
    cases.push(after("a length made of what follows".into(), &[LONG, 0, 0]));
    cases
}

fn commands() -> Vec<Case> {
    let good = frame(0, b"good");
    let said = |name: &str, octets: &[u8]| peer(name, Pull, &[octets, &good].concat());
    vec![
        said("an unknown command", &command("WHATEVER", b"data")),
        said("JOIN", &command("JOIN", b"group")),
        said("an empty command", &frame(COMMAND, b"")),
        said("a command without a name", &frame(COMMAND, b"\0")),
        said(
            "a name longer than its command",
            &frame(COMMAND, b"\x09PING"),
        ),
        said("a name of no letters", &command("P-NG", b"\0\0")),
        said("PING with a ttl", &ping(u16::MAX, b"")),
        said("PING with 16 octets", &ping(0, &[b'c'; 16])),
        said("PING with 17 octets", &ping(0, &[b'c'; 17])),
        said("PING with 300 octets", &ping(0, &[b'c'; 300])),
        said("PING without a ttl", &command("PING", b"")),
        said("PING with half a ttl", &command("PING", b"\0")),
        said("PONG", &command("PONG", b"")),
        said("PONG with 300 octets", &command("PONG", &[b'c'; 300])),
        said("ERROR that is cut", &command("ERROR", b"\x09no")),
        said("SUBSCRIBE to a PULL", &command("SUBSCRIBE", b"")),
        said("CANCEL to a PULL", &command("CANCEL", b"")),
        peer(
            "SUBSCRIBE to a ROUTER",
            Router,
            &[command("SUBSCRIBE", b"a"), good.clone()].concat(),
        ),
        peer(
            "SUBSCRIBE to a SUB",
            Sub,
            &[command("SUBSCRIBE", b"a"), good.clone()].concat(),
        ),
    ]
}

fn patterns() -> Vec<Case> {
    let good = frame(0, b"good");
    let topic = |name: &str, said: &[u8]| peer(name, XPub, said);
    let asked = |name: &str, frames: &[&[u8]]| {
        let request = [frame(MORE, b""), frame(0, b"good")].concat();
        let last = frames.len() - 1;
        let said: Vec<u8> = frames
            .iter()
            .enumerate()
            .flat_map(|(place, body)| frame(u8::from(place < last), body))
            .collect();
        case(name, Rep, &[&session(Dealer), &said, &request])
    };
    let hops = |count: usize| [vec![&b"hop"[..]; count], vec![b"", b"far"]].concat();
    vec![
        topic(
            "subscribes twice, cancels once",
            &[
                command("SUBSCRIBE", b"a").repeat(2),
                command("CANCEL", b"a"),
            ]
            .concat(),
        ),
        topic("cancels what it never wanted", &command("CANCEL", b"a")),
        topic("subscribes by a message", &frame(0, b"\x01a")),
        topic(
            "cancels by a message",
            &[frame(0, b"\x01a"), frame(0, b"\0a")].concat(),
        ),
        topic(
            "subscribes by two frames",
            &[frame(MORE, b"\x01a"), frame(0, b"b")].concat(),
        ),
        topic("says something to an XPUB", &frame(0, b"\x02a")),
        topic("says nothing to an XPUB", &frame(0, b"")),
        topic(
            "a topic of 65 KiB",
            &command("SUBSCRIBE", &vec![b't'; (64 << 10) + 100]),
        ),
        case(
            "subscribes by a command as 3.0",
            XPub,
            &[&greeting_of(3, 0), &ready(Sub), &command("SUBSCRIBE", b"a")],
        ),
        peer("says something to a PUB", Pub, &good),
        peer("says something to a PUSH", Push, &good),
        peer(
            "answers before it is asked",
            Req,
            &[frame(MORE, b""), good.clone()].concat(),
        ),
        peer("answers without a delimiter", Req, &good),
        asked("no delimiter", &[b"one", b"two"]),
        asked("one frame to a REP", &[b"one"]),
        asked("only a delimiter", &[b""]),
        asked("an empty request", &[b"", b""]),
        asked("16 hops", &hops(16)),
        asked("17 hops", &hops(17)),
        peer("a topic that nobody wants", XSub, &good),
    ]
}

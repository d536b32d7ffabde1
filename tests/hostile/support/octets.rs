//! What goes on the wire, right or wrong: written by hand, so that it can say what no codec would.

use pushsub::SocketType;

pub(crate) const MORE: u8 = 1;
pub(crate) const LONG: u8 = 2;
pub(crate) const COMMAND: u8 = 4;

/// A sound greeting of ZMTP 3.1 with the mechanism NULL.
pub(crate) fn greeting() -> Vec<u8> {
    greeting_of(3, 1)
}

/// The same, of another version.
pub(crate) fn greeting_of(major: u8, minor: u8) -> Vec<u8> {
    let mut octets = vec![0; 64];
    octets[0] = 0xFF;
    octets[9] = 0x7F;
    octets[10..12].copy_from_slice(&[major, minor]);
    octets[12..16].copy_from_slice(b"NULL");
    octets
}

/// A frame whose header tells the truth, in the form that its length wants.
pub(crate) fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    match u8::try_from(body.len()) {
        Ok(length) => [&[flags, length], body].concat(),
        Err(_) => [header(flags, body.len() as u64), body.to_vec()].concat(),
    }
}

/// The header of a long frame, whatever follows it.
pub(crate) fn header(flags: u8, length: u64) -> Vec<u8> {
    [&[flags | LONG][..], &length.to_be_bytes()].concat()
}

/// A command frame: a name and its data.
pub(crate) fn command(name: &str, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    frame(COMMAND, &[&[length], name.as_bytes(), data].concat())
}

/// A property of a READY.
pub(crate) fn property(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("a short value");
    property_claiming(name, length, value)
}

/// A property whose value claims another length than it has.
pub(crate) fn property_claiming(name: &[u8], length: u32, value: &[u8]) -> Vec<u8> {
    let name_length = u8::try_from(name.len()).expect("a short name");
    [&[name_length], name, &length.to_be_bytes(), value].concat()
}

/// A READY of a peer of this type.
pub(crate) fn ready(socket_type: SocketType) -> Vec<u8> {
    ready_with(socket_type.name().as_bytes(), &[])
}

/// A READY with further properties.
pub(crate) fn ready_with(socket_type: &[u8], rest: &[u8]) -> Vec<u8> {
    command(
        "READY",
        &[property(b"Socket-Type", socket_type), rest.to_vec()].concat(),
    )
}

/// All that a good peer of this type says until its messages.
pub(crate) fn session(socket_type: SocketType) -> Vec<u8> {
    [greeting(), ready(socket_type)].concat()
}

/// As [`session`], with an identity.
pub(crate) fn session_as(socket_type: SocketType, identity: &[u8]) -> Vec<u8> {
    let identity = property(b"Identity", identity);
    [
        greeting(),
        ready_with(socket_type.name().as_bytes(), &identity),
    ]
    .concat()
}

/// A PING with its time to live in tenths of a second.
pub(crate) fn ping(ttl: u16, context: &[u8]) -> Vec<u8> {
    command("PING", &[&ttl.to_be_bytes(), context].concat())
}

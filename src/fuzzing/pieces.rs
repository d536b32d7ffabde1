//! The pieces in which octets come: whole, one by one, and as chance has it.

use fastrand::Rng;

/// Octet by octet, only what is not longer than this.
const OCTETS: usize = 256;

/// Some ways to cut these octets. The same octets are cut the same each time.
pub(super) fn deliveries(octets: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut random = Rng::with_seed(fingerprint(octets));
    let mut deliveries = vec![vec![octets]];
    if octets.len() <= OCTETS {
        deliveries.push(octets.chunks(1).collect());
    }
    for most in [8, 300] {
        deliveries.push(cut(octets, most, &mut random));
    }
    deliveries
}

/// Pieces of at most so many octets.
fn cut<'a>(mut octets: &'a [u8], most: usize, random: &mut Rng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !octets.is_empty() {
        let (piece, rest) = octets.split_at(random.usize(1..=most).min(octets.len()));
        pieces.push(piece);
        octets = rest;
    }
    pieces
}

/// FNV-1a: what is drawn depends on all octets, and on nothing else.
pub(super) fn fingerprint(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

//! Mutations of octets that were good: the same for the same seed.

use fastrand::Rng;

/// Lengths that are lies more often than not, and flags that mean something.
const LIES: [u64; 16] = [
    0,
    1,
    2,
    3,
    4,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// These octets with one to three mutations.
pub(crate) fn mutant(octets: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut octets = octets.to_vec();
    for _ in 0..random.usize(1..=3) {
        mutate(&mut octets, random);
    }
    octets
}

fn mutate(octets: &mut Vec<u8>, random: &mut Rng) {
    if octets.is_empty() {
        octets.push(random.u8(..));
        return;
    }
    let range = some_range(octets.len(), random);
    match random.u8(0..9) {
        0 => octets[range.start] ^= 1 << random.u8(0..8),
        1 => octets[range.start] = random.u8(..),
        2 => drop(octets.drain(range)),
        3 => {
            let copy = octets[range.clone()].to_vec();
            octets.splice(range.start..range.start, copy);
        }
        4 => swap(octets, random),
        5 => {
            let noise: Vec<_> = range.clone().map(|_| random.u8(..)).collect();
            octets.splice(range.start..range.start, noise);
        }
        6 => octets.truncate(range.start),
        _ => lie(octets, range.start, random),
    }
}

/// A range that is not empty, and short more often than not.
fn some_range(length: usize, random: &mut Rng) -> std::ops::Range<usize> {
    let start = random.usize(..length);
    let most = [1, 4, 16, 128][random.usize(..4)];
    start..(start + random.usize(1..=most)).min(length)
}

/// Two pieces that follow each other change places.
fn swap(octets: &mut [u8], random: &mut Rng) {
    let range = some_range(octets.len(), random);
    let at = random.usize(..range.len());
    octets[range].rotate_left(at);
}

/// A number of one, two, four or eight octets where one may have been.
fn lie(octets: &mut [u8], at: usize, random: &mut Rng) {
    let lie = LIES[random.usize(..LIES.len())].to_be_bytes();
    let size = 1 << random.usize(..4);
    let number = &lie[8 - size..];
    for (octet, lie) in octets[at..].iter_mut().zip(number) {
        *octet = *lie;
    }
}

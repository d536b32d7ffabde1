//! Rendezvous hashing: the same key has the same owner in every process.
//!
//! The owner of a key is the target with the highest
//! `mix(fnv1a(key) + mix(fnv1a(name)))`, where `fnv1a` is FNV-1a with 64 bits,
//! the sum wraps, and `mix` is the finaliser of MurmurHash3. When a target
//! leaves, only its own keys move; when one joins, keys move to it alone.

/// FNV-1a of the octets.
pub(super) fn hash(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What a target scores for a key, from the hashes of both.
pub(super) fn score(key: u64, name: u64) -> u64 {
    mix(key.wrapping_add(mix(name)))
}

/// FNV-1a leaves the high bits of short inputs alike: this spreads them.
fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::{hash, score};

    /// From the FNV reference, draft-eastlake-fnv, appendix C.
    #[test]
    fn fnv_1a_is_the_one_of_the_reference() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    /// Computed apart, in Python: another version of this library must agree.
    #[test]
    fn the_score_never_changes() {
        let score = score(hash(b"Fenian Street"), hash(b"worker-1"));
        assert_eq!(score, 0x5189_d08f_f5d4_8a8a);
    }

    #[test]
    fn similar_names_share_similar_keys_evenly() {
        let names: Vec<u64> = (0..5)
            .map(|n| hash(format!("worker-{n}").as_bytes()))
            .collect();
        let mut owned = [0_u32; 5];
        for key in 0..10_000 {
            let key = hash(format!("station-{key}").as_bytes());
            let owner = (0..5).max_by_key(|index| score(key, names[*index]));
            owned[owner.expect("five names")] += 1;
        }
        assert!(
            owned.iter().all(|count| (1_800..2_200).contains(count)),
            "{owned:?}"
        );
    }
}

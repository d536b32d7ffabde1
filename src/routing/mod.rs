//! Which pipe a message goes to, and which one is read next: the policies that a socket is
//! composed of.
//!
//! | policy | who uses it |
//! |---|---|
//! | [`round_robin`] | out of PUSH, DEALER, REQ |
//! | [`fair_queue`] | into everything that receives |
//! | [`subscriptions`] | out of PUB and XPUB; what a SUB has asked for |
//! | [`identities`] | out of ROUTER and REP |
//! | [`lockstep`] | into REQ |
//!
//! It never holds a pipe or a message, never waits, and never takes a lock: pipes are keys
//! here, and the socket that owns the policies owns the pipes.

pub(crate) mod fair_queue;
pub(crate) mod identities;
pub(crate) mod lockstep;
#[cfg(test)]
mod property;
pub(crate) mod round_robin;
pub(crate) mod subscriptions;

pub(crate) use fair_queue::FairQueue;
pub(crate) use identities::Identities;
pub(crate) use lockstep::{End, Lockstep};
pub(crate) use round_robin::RoundRobin;
pub(crate) use subscriptions::{Canceled, Subscribed, Subscriptions};

#[cfg(test)]
mod random {
    //! Numbers that look random and are the same in each run.

    /// xorshift64*: good enough to walk a policy and its model through their states.
    pub(super) struct Random(pub(super) u64);

    impl Random {
        /// A number below `bound`.
        pub(super) fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
        }
    }
}

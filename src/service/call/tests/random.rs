//! Clients under random deaths, losses, goodbyes and silences, with fixed seeds: the promise of a call holds.

use std::collections::HashMap;
use std::time::Duration;

use super::{NONCE, Script};
use crate::service::call::PeerId;
use crate::service::outcome::CallError;
use crate::service::wire::{Kind, RequestId, Status};

/// Instances that execute what reaches them, and the fates that meet them.
struct World {
    script: Script,
    chance: u64,
    /// The present life of each instance, and the number of its last answer; `None`: it is down.
    lives: HashMap<PeerId, Option<(u64, u64)>>,
    /// What each life has and has not answered.
    unanswered: Vec<(PeerId, u64, RequestId)>,
    last_epoch: u64,
    submitted: Vec<(RequestId, bool)>,
    cancelled: Vec<RequestId>,
    executed: HashMap<RequestId, u32>,
    ended: HashMap<RequestId, Result<(), CallError>>,
}

#[test]
fn every_call_ends_once_and_as_it_was() {
    for seed in 1..=60 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
            world.observe();
        }
        world.settle();
        world.check();
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            script: Script::new(),
            chance: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            lives: HashMap::new(),
            unanswered: Vec::new(),
            last_epoch: 0,
            submitted: Vec::new(),
            cancelled: Vec::new(),
            executed: HashMap::new(),
            ended: HashMap::new(),
        };
        for number in 1..=3 {
            world.script.add(PeerId(number));
            world.begin(PeerId(number));
        }
        world.script.calls.set_live(true);
        world.observe();
        world
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 33) % below
    }

    fn begin(&mut self, peer: PeerId) {
        self.last_epoch += 1;
        self.lives.insert(peer, Some((self.last_epoch, 0)));
    }

    fn step(&mut self) {
        let peer = PeerId(self.draw(3) + 1);
        match self.draw(20) {
            0..=6 => {
                let key = ["", "a", "b"][usize::try_from(self.draw(3)).unwrap_or(0)];
                let idempotent = self.draw(2) == 0;
                let id = self.script.submit("call", key, idempotent);
                self.submitted.push((id, idempotent));
            }
            7..=13 => self.answer(true),
            // The answer is lost on the way.
            14 => self.answer(false),
            15 => {
                let time = Duration::from_millis(self.draw(1_500));
                self.script.pass(time);
            }
            16 => {
                // It dies, and another life begins or does not.
                self.lives.insert(peer, None);
                self.script.calls.link_cut(peer, self.script.now);
                if self.draw(3) > 0 {
                    self.begin(peer);
                }
            }
            17 => self.cancel(),
            18 => self.say(peer, Kind::Goodbye),
            _ if self.lives[&peer].is_none() => self.begin(peer),
            _ => {}
        }
        self.script.drain();
    }

    /// Looks at what went out: probes are answered, requests executed, ends noted.
    fn observe(&mut self) {
        loop {
            for ended in std::mem::take(&mut self.script.ended) {
                let before = self.ended.insert(ended.id, ended.outcome.map(drop));
                assert_eq!(before, None, "{} ended twice", ended.id);
            }
            let sent = std::mem::take(&mut self.script.sent);
            if sent.is_empty() {
                return;
            }
            for (peer, envelope) in sent {
                let control = envelope.control;
                let Some((epoch, sequence)) = self.lives[&peer] else {
                    continue;
                };
                match control.kind {
                    Kind::Probe => {
                        let mut hello = self.script.answer(control.id, Kind::Hello, epoch);
                        hello.window = 3;
                        hello.sequence = sequence;
                        self.script.receive(hello, "");
                    }
                    Kind::Request if control.epoch == epoch => {
                        *self.executed.entry(control.id).or_default() += 1;
                        self.unanswered.push((peer, epoch, control.id));
                    }
                    _ => {}
                }
            }
        }
    }

    /// An instance publishes an answer, which arrives or does not.
    fn answer(&mut self, arrives: bool) {
        if self.unanswered.is_empty() {
            return;
        }
        let which = self.draw(self.unanswered.len() as u64);
        let (peer, epoch, id) = self
            .unanswered
            .swap_remove(usize::try_from(which).unwrap_or(0));
        let Some(Some((alive, sequence))) = self.lives.get_mut(&peer) else {
            return;
        };
        if *alive != epoch {
            return;
        }
        *sequence += 1;
        let mut response = self.script.answer(id, Kind::Response, epoch);
        response.sequence = *sequence;
        response.status = Status::OK;
        if arrives {
            self.script.receive(response, "value");
        }
    }

    fn say(&mut self, peer: PeerId, kind: Kind) {
        let Some((epoch, sequence)) = self.lives[&peer] else {
            return;
        };
        let id = RequestId {
            nonce: NONCE,
            counter: 0,
        };
        let mut control = self.script.answer(id, kind, epoch);
        control.sequence = sequence;
        self.script.receive(control, "");
    }

    fn cancel(&mut self) {
        if self.submitted.is_empty() {
            return;
        }
        let which = self.draw(self.submitted.len() as u64);
        let (id, _) = self.submitted[usize::try_from(which).unwrap_or(0)];
        if self.script.calls.cancel(id.counter).is_some() {
            self.cancelled.push(id);
        }
    }

    /// Everybody is well, and everything is answered.
    fn settle(&mut self) {
        for _ in 0..60 {
            for peer in (1..=3).map(PeerId) {
                if self.lives[&peer].is_none() {
                    self.begin(peer);
                }
            }
            while !self.unanswered.is_empty() {
                self.answer(true);
                self.observe();
            }
            self.script.pass(Duration::from_millis(250));
            self.observe();
        }
    }

    fn check(&self) {
        assert_eq!(self.script.calls.outstanding(), 0);
        assert_eq!(
            self.ended.len() + self.cancelled.len(),
            self.submitted.len()
        );
        for (id, idempotent) in &self.submitted {
            let executed = self.executed.get(id).copied().unwrap_or(0);
            assert!(
                *idempotent || executed <= 1,
                "{id} was executed {executed} times"
            );
            match self.ended.get(id) {
                Some(Ok(())) => assert!(executed > 0, "{id} has a value of nobody"),
                Some(Err(CallError::Rejected(_))) => assert_eq!(executed, 0, "{id}"),
                Some(Err(_)) => {}
                None => assert!(self.cancelled.contains(id), "{id} never ended"),
            }
        }
        let values = self
            .ended
            .values()
            .filter(|outcome| outcome.is_ok())
            .count();
        assert!(
            values > self.submitted.len() / 3,
            "{values} of {}",
            self.submitted.len()
        );
    }
}

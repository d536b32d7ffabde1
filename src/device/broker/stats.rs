//! What a broker counts.

use crate::service::wire::Status;

/// What a broker holds and has done, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerStats {
    /// The services that have or had a worker, by name.
    pub services: Vec<ServiceStats>,
    /// The workers that are registered now, in the order of their registration.
    pub workers: Vec<WorkerStats>,
    /// The client handles that were heard lately.
    pub clients: usize,
    /// Requests that were taken on: neither rejected at once nor repeats.
    pub accepted: u64,
    /// Requests that were answered by a worker.
    pub answered: u64,
    /// Requests that were withdrawn by their client, or whose client is gone.
    pub cancelled: u64,
    /// Requests that were handed out again because their worker was lost or stopped.
    pub sent_again: u64,
    /// Requests with an id that was in progress or answered already: not handed out again.
    pub repeats: u64,
    /// Answers to requests that their worker did not have any more: dropped.
    pub late: u64,
    /// Messages under an epoch that is fenced or was never registered: dropped.
    pub fenced: u64,
    /// Messages that are none of this protocol, or of a kind without meaning here: dropped.
    pub ignored: u64,
    /// Requests answered with an error of the broker's own, by reason.
    pub refused: Refused,
}

/// Requests that a broker answered itself, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The queue of the service was full: never executed.
    pub overloaded: u64,
    /// The deadline passed in the queue: never executed.
    pub expired: u64,
    /// The service never had a worker: never executed.
    pub no_such_service: u64,
    /// The request cannot be read: never executed.
    pub malformed: u64,
    /// The request is of another version of the protocol: never executed.
    pub version_mismatch: u64,
    /// The broker was stopping: never executed.
    pub stopping: u64,
    /// The request passed too many brokers: never executed.
    pub too_many_hops: u64,
    /// The worker was lost with a request that must not run twice: may have executed.
    pub worker_lost: u64,
    /// The deadline passed after a worker was lost with it: may have executed.
    pub deadline_passed: u64,
}

/// What a broker holds for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceStats {
    /// The service's name.
    pub name: String,
    /// Workers that take work.
    pub workers: usize,
    /// Requests that wait for credit.
    pub queued: usize,
    /// The octets of those.
    pub queued_bytes: usize,
}

/// What a broker knows of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// The name that the worker gave, or one made of its epoch.
    pub name: String,
    /// The service that it serves.
    pub service: String,
    /// How many requests it takes at once.
    pub credit: usize,
    /// How many it has.
    pub in_flight: usize,
    /// How many answers were accepted from it.
    pub handled: u64,
    /// It said goodbye, and only answers what it has.
    pub stopping: bool,
}

impl Refused {
    pub(super) fn count(&mut self, status: Status) {
        let counter = match status {
            Status::OVERLOADED => &mut self.overloaded,
            Status::EXPIRED => &mut self.expired,
            Status::NO_SUCH_SERVICE => &mut self.no_such_service,
            Status::VERSION_MISMATCH => &mut self.version_mismatch,
            Status::STOPPING => &mut self.stopping,
            Status::TOO_MANY_HOPS => &mut self.too_many_hops,
            Status::WORKER_LOST => &mut self.worker_lost,
            Status::DEADLINE_PASSED => &mut self.deadline_passed,
            _ => &mut self.malformed,
        };
        *counter += 1;
    }
}

//! What a socket can be told about its transports, and who may come in over them.

use std::fmt;
use std::net::IpAddr;

use super::Options;

/// Options of the transports.
#[derive(Clone, Debug)]
pub(crate) struct TransportOptions {
    pub(crate) backlog: u32,
    pub(crate) accepted: Filters,
}

/// Who is let in; an empty list lets in everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    users: Vec<u32>,
    groups: Vec<u32>,
}

/// Where a peer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A host: tcp.
    Host(IpAddr),
    /// A process on this machine, if the system says which: ipc.
    Process(Option<Credentials>),
    /// This process.
    Here,
}

impl Origin {
    pub(crate) fn credentials(self) -> Option<Credentials> {
        match self {
            Self::Process(credentials) => credentials,
            Self::Host(_) | Self::Here => None,
        }
    }
}

/// Who an ipc peer was when it connected or listened, as the system vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// Its user id.
    pub user: u32,
    /// Its group id.
    pub group: u32,
    /// Its process id, where the system tells it.
    pub process: Option<i32>,
}

impl Credentials {
    pub(crate) fn new(user: u32, group: u32, process: Option<i32>) -> Self {
        Self {
            user,
            group,
            process,
        }
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(process) = self.process {
            write!(formatter, "process {process} of ")?;
        }
        write!(formatter, "user {}", self.user)
    }
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            backlog: 1_024,
            accepted: Filters::default(),
        }
    }
}

impl Filters {
    /// Whether a peer from there may come in.
    pub(crate) fn admit(&self, origin: &Origin) -> bool {
        match origin {
            Origin::Process(credentials) => self.admit_process(*credentials),
            Origin::Host(_) | Origin::Here => true,
        }
    }

    /// With lists of users and of groups, being in one of them is enough.
    fn admit_process(&self, credentials: Option<Credentials>) -> bool {
        if self.users.is_empty() && self.groups.is_empty() {
            return true;
        }
        credentials.is_some_and(|peer| {
            self.users.contains(&peer.user) || self.groups.contains(&peer.group)
        })
    }
}

impl Options {
    /// Connections that the system keeps until they are accepted (`ZMQ_BACKLOG`);
    /// it may have a lower limit of its own. Default 1,024; 0 counts as 1.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.transport.backlog = connections.max(1);
        self
    }

    /// Lets in only ipc peers whose process runs as one of these user ids, or
    /// in one of the [groups](Self::accept_groups) (`ZMQ_IPC_FILTER_UID`). The
    /// mode of a socket file, 0600, keeps out other users but root; an abstract
    /// name has none. Default: everybody who can connect.
    #[must_use]
    pub fn accept_users(mut self, users: impl IntoIterator<Item = u32>) -> Self {
        self.transport.accepted.users.extend(users);
        self
    }

    /// Lets in only ipc peers whose process runs in one of these group ids, or
    /// as one of the [users](Self::accept_users) (`ZMQ_IPC_FILTER_GID`).
    /// Default: everybody who can connect.
    #[must_use]
    pub fn accept_groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.transport.accepted.groups.extend(groups);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Options, Origin};

    /// B2.
    #[test]
    fn a_filter_of_users_and_groups_admits_who_is_in_either() {
        let filters = Options::default()
            .accept_users([1_000])
            .accept_groups([20])
            .transport
            .accepted;
        for (user, group, admitted) in [(1_000, 1, true), (1, 20, true), (1, 1, false)] {
            let peer = Credentials::new(user, group, None);
            assert_eq!(filters.admit(&Origin::Process(Some(peer))), admitted);
        }
        assert!(
            !filters.admit(&Origin::Process(None)),
            "who is not known is not in it"
        );
        assert!(
            Options::default()
                .transport
                .accepted
                .admit(&Origin::Process(None))
        );
    }
}

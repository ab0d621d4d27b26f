//! Where the last connections of layer 4 went, for who must know which target a failed one was for: a client
//! that was reset before it was answered cannot tell.

use crate::clock::Millis;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// How many are remembered: at a thousand new connections a second, those of the last minute.
const REMEMBERED: usize = 65_536;

/// The last connections by their client.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    by_client: HashMap<SocketAddr, Visit>,
    /// Oldest first. A client that came again stands here twice.
    order: VecDeque<(SocketAddr, Millis)>,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Visit {
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) at: Millis,
    /// Where it was sent; none if there was no target, or a security group was in the way.
    pub(crate) target: Option<SocketAddr>,
}

impl Visits {
    /// Remembers one and forgets the oldest.
    pub(crate) fn remember(&mut self, client: SocketAddr, visit: Visit) {
        if self.order.len() >= REMEMBERED
            && let Some((oldest, at)) = self.order.pop_front()
            && self.by_client.get(&oldest).is_some_and(|it| it.at == at)
        {
            self.by_client.remove(&oldest);
        }
        self.order.push_back((client, visit.at));
        self.by_client.insert(client, visit);
    }

    /// The last connection of a client.
    pub(crate) fn last(&self, client: SocketAddr) -> Option<Visit> {
        self.by_client.get(&client).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: usize) -> SocketAddr {
        let [.., high, low] = number.to_be_bytes();
        let middle = u8::try_from(number >> 16 & 255).unwrap();
        SocketAddr::from(([10, middle, high, low], 1))
    }

    fn visit(at: Millis) -> Visit {
        Visit { at, target: None }
    }

    #[test]
    fn the_oldest_are_forgotten_and_a_client_s_last_counts() {
        let mut visits = Visits::default();
        visits.remember(client(0), visit(1));
        visits.remember(client(1), visit(2));
        visits.remember(client(0), visit(3));
        for number in 2..REMEMBERED {
            visits.remember(client(number), visit(4));
        }
        assert_eq!(visits.last(client(0)), Some(visit(3)), "came again");
        assert_eq!(visits.last(client(1)), Some(visit(2)));
        visits.remember(client(REMEMBERED), visit(5));
        assert_eq!(visits.last(client(1)), None, "forgotten");
        assert_eq!(visits.order.len(), REMEMBERED);
    }
}

//! Where the last connections of layer 4 went, for who must know which target a failed one was for: a client
//! that was reset before it was answered cannot tell.

use crate::clock::Millis;
use serde::Serialize;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// How many are remembered: at a thousand new connections a second, those of the last minute.
const REMEMBERED: usize = 65_536;

/// The last connections by their client.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    /// Oldest first: an address and port are soon used again.
    by_client: HashMap<SocketAddr, VecDeque<Visit>>,
    /// Oldest first.
    order: VecDeque<SocketAddr>,
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
        if self.order.len() >= REMEMBERED {
            self.forget_oldest();
        }
        self.order.push_back(client);
        self.by_client.entry(client).or_default().push_back(visit);
    }

    fn forget_oldest(&mut self) {
        let Some(client) = self.order.pop_front() else {
            return;
        };
        if let Entry::Occupied(mut its) = self.by_client.entry(client) {
            its.get_mut().pop_front();
            if its.get().is_empty() {
                its.remove();
            }
        }
    }

    /// The last connection of a client that was accepted until then.
    pub(crate) fn last(&self, client: SocketAddr, until: Millis) -> Option<Visit> {
        let its = self.by_client.get(&client)?.iter().rev();
        its.copied().find(|visit| visit.at <= until)
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
    fn a_connection_is_found_by_its_client_and_its_time() {
        let mut visits = Visits::default();
        visits.remember(client(0), visit(1));
        visits.remember(client(1), visit(2));
        visits.remember(client(0), visit(3));
        let found = |number, until| visits.last(client(number), until).map(|visit| visit.at);
        assert_eq!(found(0, 0), None, "not yet");
        assert_eq!((found(0, 1), found(0, 2)), (Some(1), Some(1)));
        assert_eq!(found(0, 3), Some(3), "came again");
        assert_eq!(found(1, 9), Some(2));
        assert_eq!(found(2, 9), None, "never came");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut visits = Visits::default();
        visits.remember(client(0), visit(1));
        visits.remember(client(1), visit(2));
        visits.remember(client(0), visit(3));
        for number in 3..=REMEMBERED {
            visits.remember(client(number), visit(4));
        }
        assert_eq!(visits.last(client(0), 2), None, "its first is forgotten");
        assert_eq!(
            visits.last(client(0), 3),
            Some(visit(3)),
            "its second is not"
        );
        visits.remember(client(2), visit(5));
        assert_eq!(visits.last(client(1), 5), None);
        assert!(!visits.by_client.contains_key(&client(1)));
        assert_eq!(visits.order.len(), REMEMBERED);
    }
}

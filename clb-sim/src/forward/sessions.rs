//! Session persistence: a client's next connection goes where its last one went, by source address
//! and for `SessionExpireTime` after its last connection began. Pure; time is a parameter.

use super::pick::Seat;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Clients remembered per listener; more are served without persistence. Some 6 MB.
const MOST: usize = 65_536;

/// Who went where.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    clients: HashMap<IpAddr, Session>,
    /// Before this nothing expires, so that a full table is not searched in vain.
    quiet_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    seat: Seat,
    until: Instant,
}

impl Sessions {
    /// Where the client went last, if that still counts.
    pub(super) fn of(&self, client: IpAddr, now: Instant) -> Option<Seat> {
        let session = self.clients.get(&client)?;
        (now < session.until).then_some(session.seat)
    }

    /// Remembers where the client goes now.
    pub(super) fn remember(&mut self, client: IpAddr, seat: Seat, life: Duration, now: Instant) {
        if !self.clients.contains_key(&client) && !self.has_room(now) {
            return;
        }
        let until = now + life;
        self.clients.insert(client, Session { seat, until });
        self.quiet_until = self.quiet_until.map(|quiet| quiet.min(until));
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let full = self.clients.len() >= MOST;
        if full && self.quiet_until.is_none_or(|quiet| quiet <= now) {
            self.clients.retain(|_, session| now < session.until);
            let ends = self.clients.values().map(|session| session.until);
            self.quiet_until = ends.min();
        }
        self.clients.len() < MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};

    const LIFE: Duration = Duration::from_secs(30);

    fn seat(number: u8) -> Seat {
        Seat {
            address: SocketAddr::from(([10, 0, 0, number], 80)),
            generation: u64::from(number),
        }
    }

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_remembered_until_its_time_is_over() {
        let mut sessions = Sessions::default();
        let start = Instant::now();
        sessions.remember(client(1), seat(1), LIFE, start);
        let late = start + LIFE - Duration::from_millis(1);
        assert_eq!(sessions.of(client(1), late), Some(seat(1)));
        assert_eq!(sessions.of(client(2), late), None);
        assert_eq!(sessions.of(client(1), start + LIFE), None);
        sessions.remember(client(1), seat(2), LIFE, late);
        assert_eq!(sessions.of(client(1), start + LIFE), Some(seat(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_makes_room_only_when_someone_s_time_is_over() {
        let mut sessions = Sessions::default();
        let start = Instant::now();
        let most = u32::try_from(MOST).unwrap();
        for number in 0..most {
            sessions.remember(client(number), seat(1), LIFE, start);
        }
        sessions.remember(client(most), seat(1), LIFE, start);
        assert_eq!(sessions.of(client(most), start), None);
        sessions.remember(client(0), seat(2), LIFE, start);
        assert_eq!(
            sessions.of(client(0), start),
            Some(seat(2)),
            "known ones may change"
        );
        let later = start + LIFE;
        sessions.remember(client(most), seat(1), LIFE, later);
        assert_eq!(sessions.of(client(most), later), Some(seat(1)));
        assert_eq!(sessions.clients.len(), 1);
    }
}

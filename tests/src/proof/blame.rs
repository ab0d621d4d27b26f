//! Which failures a crash explains: those on connections to what was killed, from the kill until the CLB sent
//! it nothing more. Every other one is unexplained. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::tally::{Failure, in_seconds};

/// Something that was killed. Times are since the arm's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wound {
    /// What was done.
    pub what: String,
    /// To which pod.
    pub pod: String,
    /// Its target at the CLB.
    pub target: SocketAddr,
    /// When.
    #[serde(serialize_with = "in_seconds")]
    pub from: Duration,
    /// When the CLB sent it nothing more, or should have known.
    #[serde(serialize_with = "in_seconds")]
    pub until: Duration,
    /// When whoever was connected at the kill has noticed: the CLB cuts nothing, so this does not end earlier
    /// where the CLB knew at once, or sent it nothing new even before.
    #[serde(serialize_with = "in_seconds")]
    pub live_until: Duration,
    /// Whether the CLB was seen to take it out.
    pub seen_out: bool,
}

/// Finds what explains each failure.
pub fn assign(failures: &mut [Failure], wounds: &[Wound]) {
    for failure in failures {
        let wound = wounds.iter().find(|wound| explains(wound, failure));
        failure.because = wound.map(|wound| wound.what.clone());
    }
}

/// A request on a connection to what was killed, whose client learnt of it after the kill, and which was sent
/// before the CLB knew; over a connection that was there before the kill, before it could know at the latest.
fn explains(wound: &Wound, failure: &Failure) -> bool {
    let there = failure.target == Some(wound.target) && failure.known >= wound.from;
    let live = failure.connected.is_some_and(|at| at <= wound.from);
    let until = if live { wound.live_until } else { wound.until };
    there && failure.due <= until
}

/// Those that nothing explains.
pub fn unexplained(failures: &[Failure]) -> impl Iterator<Item = &Failure> {
    failures.iter().filter(|failure| failure.because.is_none())
}

#[cfg(test)]
mod tests {
    use super::super::tally::{Cause, Kind};
    use super::*;

    fn failure(target: Option<&str>, due: u64, known: u64) -> Failure {
        Failure {
            kind: Kind::Fresh,
            cause: Cause::Reset,
            due: Duration::from_secs(due),
            known: Duration::from_secs(known),
            connected: None,
            client: None,
            target: target.map(|target| target.parse().unwrap()),
            pod: None,
            because: None,
        }
    }

    #[test]
    fn only_what_was_killed_explains_and_only_until_the_clb_knew() {
        let killed = "10.0.0.1:80";
        let wound = Wound {
            what: "kill -9".to_owned(),
            pod: "web-1".to_owned(),
            target: killed.parse().unwrap(),
            from: Duration::from_secs(10),
            until: Duration::from_secs(13),
            live_until: Duration::from_secs(18),
            seen_out: true,
        };
        let at = |seconds| Some(Duration::from_secs(seconds));
        let cases = [
            (Some(killed), 9, 10, None, true, "on its way at the kill"),
            (Some(killed), 13, 21, at(13), true, "before the CLB knew"),
            (Some(killed), 14, 14, at(14), false, "when the CLB knew"),
            (Some(killed), 14, 22, at(9), true, "connected before"),
            (Some(killed), 19, 27, at(9), false, "connected, too late"),
            (Some(killed), 5, 9, at(5), false, "failed before"),
            (Some("10.0.0.2:80"), 12, 12, at(12), false, "another target"),
            (None, 12, 12, at(12), false, "nobody knows where it went"),
        ];
        for (target, due, known, connected, explained, why) in cases {
            let failure = Failure {
                connected,
                ..failure(target, due, known)
            };
            let mut failures = [failure];
            assign(&mut failures, std::slice::from_ref(&wound));
            assert_eq!(unexplained(&failures).count() == 0, explained, "{why}");
        }
    }
}

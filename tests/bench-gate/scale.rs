//! How many pods, behind how many load balancers, over how long. Pure.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use serde::Serialize;

/// Pods' addresses begin here: a range that the simulator's VPC knows and where nobody answers.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 32, 0);
/// The port of their container.
pub(crate) const POD_PORT: u16 = 8080;
/// Targets that a listener of the test host may have.
const TARGETS: u16 = 1_000;
/// Load balancers in one call that asks for health.
pub(crate) const A_CALL: u16 = 30;

/// A run's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Scale {
    /// Pods, evenly behind the load balancers.
    pub(crate) pods: u16,
    /// Load balancers, each with one Service and one listener.
    pub(crate) load_balancers: u16,
    /// Over which the pods turn healthy, evenly.
    pub(crate) seconds: u16,
}

impl Scale {
    /// The same, if a listener may have so many targets.
    pub(crate) fn checked(self) -> Result<Self> {
        let each = self.pods.div_ceil(self.load_balancers);
        ensure!(
            each <= TARGETS,
            "--pods {} behind --load-balancers {} is {each} a listener; accepted are up to {TARGETS}, the quota of the \
             test host",
            self.pods,
            self.load_balancers
        );
        Ok(self)
    }

    /// All pods, by number.
    pub(crate) fn all(self) -> std::ops::Range<u16> {
        0..self.pods
    }

    /// The number of the load balancer that a pod is behind: next to each other, so that all of them are
    /// busy all the time.
    pub(crate) fn load_balancer(self, pod: u16) -> u16 {
        pod % self.load_balancers
    }

    /// How long after the first pod this one turns healthy, in milliseconds.
    pub(crate) fn after(self, pod: u16) -> i64 {
        i64::from(pod) * i64::from(self.seconds) * 1000 / i64::from(self.pods)
    }

    /// Calls that ask for the health of all load balancers once.
    pub(crate) fn calls(self) -> u16 {
        self.load_balancers.div_ceil(A_CALL)
    }
}

/// A pod's name.
pub(crate) fn name(pod: u16) -> String {
    format!("pod-{pod:05}")
}

/// Whose name it is.
pub(crate) fn number(name: &str) -> Option<u16> {
    name.strip_prefix("pod-")?.parse().ok()
}

/// A pod's target, as the CLB names it.
pub(crate) fn target(pod: u16) -> SocketAddr {
    let ip = Ipv4Addr::from_bits(FIRST.to_bits() + 1 + u32::from(pod));
    SocketAddr::from((ip, POD_PORT))
}

/// A Service's name, which its pods have as their label `app`.
pub(crate) fn app(load_balancer: u16) -> String {
    format!("gate-{load_balancer:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Scale = Scale {
        pods: 6_000,
        load_balancers: 10,
        seconds: 60,
    };

    #[test]
    fn pods_turn_one_after_the_other_over_the_whole_time() {
        let times: Vec<_> = FULL.all().map(|pod| FULL.after(pod)).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 10));
        assert_eq!((times[0], times[5_999]), (0, 59_990));
    }

    #[test]
    fn every_load_balancer_has_its_share_at_any_time() {
        let first: Vec<_> = (0..20).map(|pod| FULL.load_balancer(pod)).collect();
        let twice: Vec<_> = (0..10).chain(0..10).collect();
        assert_eq!(first, twice);
    }

    #[test]
    fn names_and_addresses_are_each_pods_own() {
        assert_eq!(number(&name(5_999)), Some(5_999));
        assert_eq!(number("marker"), None);
        assert_eq!(target(0), "198.18.32.1:8080".parse().unwrap());
        assert_eq!(target(7_999), "198.18.63.64:8080".parse().unwrap());
    }

    #[test]
    fn more_than_a_listener_may_have_is_refused_by_name() {
        assert!(FULL.checked().is_ok());
        let refused = Scale {
            load_balancers: 5,
            ..FULL
        };
        let error = refused.checked().unwrap_err().to_string();
        assert!(error.starts_with("--pods 6000 behind --load-balancers 5 is 1200"));
    }

    #[test]
    fn a_call_asks_for_thirty_load_balancers() {
        let calls = [1, 10, 30, 31, 60].map(|load_balancers| {
            let scale = Scale {
                load_balancers,
                ..FULL
            };
            scale.calls()
        });
        assert_eq!(calls, [1, 1, 1, 2, 2]);
    }
}

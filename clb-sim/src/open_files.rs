//! File descriptors: every forwarded connection takes two, and the usual soft limit is 1024.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Connections forwarded at a time, if the machine allows it.
const CONNECTIONS: u64 = 20_000;
/// What probes, the API and files need besides.
const RESERVED: u64 = 4_000;
const PER_CONNECTION: u64 = 2;
const FEWEST: u64 = 100;

/// Raises the soft limit as far as is useful and allowed; answers how many connections fit.
pub(crate) fn connections() -> usize {
    let wanted = CONNECTIONS * PER_CONNECTION + RESERVED;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let raised = wanted.min(hard);
    let limit = if raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() {
        raised
    } else {
        soft
    };
    let fit = limit.saturating_sub(RESERVED) / PER_CONNECTION;
    usize::try_from(fit.clamp(FEWEST, CONNECTIONS)).unwrap_or(1)
}

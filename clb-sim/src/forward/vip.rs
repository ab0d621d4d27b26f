//! VIPs as addresses of a network interface, where the machine does not have them already.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Command;
use tracing::{info, warn};

/// The addresses this process has added; it takes them away again.
pub(crate) struct Vips {
    interface: String,
    added: BTreeSet<Ipv4Addr>,
}

impl Vips {
    pub(crate) fn new(interface: String) -> Self {
        Self {
            interface,
            added: BTreeSet::new(),
        }
    }

    /// Makes the interface have these VIPs and none of our earlier ones.
    pub(crate) fn set(&mut self, wanted: &BTreeSet<Ipv4Addr>) {
        for gone in self.added.difference(wanted) {
            run(&self.interface, "del", *gone);
        }
        // What could not be added is tried again with the next change.
        let kept = self.added.intersection(wanted).copied();
        let new = wanted.difference(&self.added).copied();
        let added = new.filter(|vip| run(&self.interface, "replace", *vip));
        self.added = kept.chain(added).collect();
    }
}

impl Drop for Vips {
    fn drop(&mut self) {
        self.set(&BTreeSet::new());
    }
}

fn run(interface: &str, verb: &str, vip: Ipv4Addr) -> bool {
    let address = format!("{vip}/32");
    let result = Command::new("ip")
        .args(["addr", verb, &address, "dev", interface])
        .output();
    let failure = match result {
        Ok(output) if output.status.success() => {
            info!("ip addr {verb} {address} dev {interface}");
            return true;
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    warn!("ip addr {verb} {address} dev {interface}: {failure}");
    false
}

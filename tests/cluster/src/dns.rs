//! A real DNS server for the command and for pods, so that names are resolved as in a real cluster.
//! It knows the simulator and the machine, and asks nobody else.

use anyhow::Result;
use tokio::process::Command;

use crate::network::CORE;
use crate::process::Components;
use crate::{setup, simulator};

/// Starts it on the bridge's address.
pub(crate) fn start(components: &Components) -> Result<()> {
    let program = setup::program("dnsmasq").unwrap_or_else(|| "dnsmasq".into());
    let mut command = Command::new(program);
    command
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
        ])
        .args(["--no-resolv", "--no-hosts", "--bind-interfaces"])
        .args(["--log-facility=-", "--user=root", "--group="])
        .arg(format!("--listen-address={CORE}"))
        .arg(format!("--host-record={},{CORE}", simulator::NAME))
        .arg(format!("--host-record=host,{CORE}"))
        // Nobody to ask: a name it does not know does not exist.
        .arg("--local=/#/");
    components.start("dnsmasq", command)
}

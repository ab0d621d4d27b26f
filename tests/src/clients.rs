//! Where clients are: many addresses of which a load is sent, as clients from the internet have them.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use tokio::process::Command;

/// TEST-NET-3 (RFC 5737), in no cluster's range. It exists in the test host's namespace only.
const NETWORK: &str = "203.0.113.0/24";
/// How many different clients there are.
pub const CLIENTS: u8 = 32;

/// Gives this network namespace the clients' addresses.
pub async fn appear() -> Result<()> {
    let args = ["route", "replace", "local", NETWORK, "dev", "lo"];
    let status = Command::new("ip").args(args).status().await?;
    ensure!(status.success(), "ip {}", args.join(" "));
    Ok(())
}

/// The client of a number; they take turns.
pub fn client(number: u32) -> IpAddr {
    let last = u8::try_from(number % u32::from(CLIENTS)).unwrap_or_default();
    Ipv4Addr::new(203, 0, 113, 1 + last).into()
}

/// Whether an address is a client's.
pub fn is_client(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets().starts_with(&[203, 0, 113]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_turns_and_are_known() {
        assert_eq!(client(0).to_string(), "203.0.113.1");
        assert_eq!(client(31).to_string(), "203.0.113.32");
        assert_eq!(client(32), client(0));
        assert!((0..64).map(client).all(is_client));
        assert!(!is_client("198.18.0.1".parse().unwrap()));
    }
}

//! A probe by ICMP echo, the default for UDP listeners.

use std::io;
use tokio::net::UdpSocket;

/// Types of ICMP messages (RFC 792).
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;

/// Sends one echo and waits for its reply.
pub(super) async fn answered(socket: &UdpSocket) -> io::Result<()> {
    let nonce = uuid::Uuid::new_v4();
    socket.send(&echo(nonce.as_bytes())).await?;
    let mut message = [0; 512];
    loop {
        let length = socket.recv(&mut message).await?;
        let message = message.get(..length).unwrap_or_default();
        if reply(message) == Some(nonce.as_bytes()) {
            return Ok(());
        }
    }
}

/// The nonce tells replies apart, so identifier and sequence may be anything.
fn echo(nonce: &[u8; 16]) -> Vec<u8> {
    let mut message = vec![ECHO, 0, 0, 0, 0x0C, 0x1B, 0, 1];
    message.extend_from_slice(nonce);
    let sum = checksum(&message).to_be_bytes();
    message.splice(2..4, sum);
    message
}

/// The payload of an echo reply, with or without the IP header that raw sockets deliver.
fn reply(message: &[u8]) -> Option<&[u8]> {
    let first = *message.first()?;
    let header = if first >> 4 == 4 {
        usize::from(first & 0xF) * 4
    } else {
        0
    };
    let icmp = message.get(header..)?;
    (*icmp.first()? == ECHO_REPLY)
        .then(|| icmp.get(HEADER..))
        .flatten()
}

/// RFC 1071. The message has an even number of bytes.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks_exact(2);
    let sum: u32 = words
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
        .map(|pair| u32::from(u16::from_be_bytes(pair)))
        .sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    !u16::try_from((folded & 0xFFFF) + (folded >> 16)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_reply_is_read_with_and_without_ip_header(nonce: [u8; 16], words in 5_u8..=15) {
            let mut icmp = echo(&nonce);
            prop_assert_eq!(reply(&icmp), None, "an echo is no reply");
            icmp[0] = ECHO_REPLY;
            prop_assert_eq!(reply(&icmp), Some(&nonce[..]));
            let mut packet = vec![0; usize::from(words) * 4];
            packet[0] = 0x40 | words;
            packet.extend(icmp);
            prop_assert_eq!(reply(&packet), Some(&nonce[..]));
        }

        #[test]
        fn the_sum_over_a_message_with_its_sum_is_none(nonce: [u8; 16]) {
            prop_assert_eq!(checksum(&echo(&nonce)), 0);
        }

        #[test]
        fn nothing_on_the_wire_disturbs(message: Vec<u8>) {
            reply(&message);
        }
    }
}

//! A probe in the operator's words: send something, look at how the answer begins.

use crate::state::custom_check::CustomCheck;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Longer than any `RecvContext`.
const PIECE: usize = 1024;

/// Over a connection: the answer may come in pieces.
pub(super) async fn stream(check: &CustomCheck, mut stream: TcpStream) -> io::Result<bool> {
    // Ends with a reset: thousands of probes leave nothing in TIME_WAIT.
    let _ = stream.set_zero_linger();
    stream.write_all(&check.send).await?;
    let mut answer = Vec::new();
    loop {
        if let Some(verdict) = check.judge(&answer) {
            return Ok(verdict);
        }
        let mut piece = [0; PIECE];
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            return Ok(false);
        }
        answer.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
}

/// As a datagram: one answer, whole.
pub(super) async fn datagram(check: &CustomCheck, socket: &UdpSocket) -> io::Result<bool> {
    socket.send(&check.send).await?;
    let mut answer = [0; PIECE];
    let length = socket.recv(&mut answer).await?;
    let answer = answer.get(..length).unwrap_or_default();
    Ok(check.judge(answer) == Some(true))
}

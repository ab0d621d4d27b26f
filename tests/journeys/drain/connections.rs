//! Connections that began before their pod was asked to go, and last longer than its drain.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clb_gate_tests::frames::{Frame, GOING_AWAY};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stage::PATIENCE;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Every connection may come to any pod: so often one more is tried.
const TRIES: usize = 200;

/// A download and a WebSocket of one pod.
pub(crate) struct Held {
    download: TcpStream,
    begun: Vec<u8>,
    /// How long it is.
    whole: usize,
    websocket: TcpStream,
}

impl Held {
    /// Opens both through the VIP; others that this pod did not take are dropped.
    pub(crate) async fn by(vip: SocketAddr, pod: &str, lasts: Duration) -> Result<Self> {
        let upgrade = format!(
            "GET /socket HTTP/1.1\r\nHost: {vip}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        let (websocket, _, _) = answered_by(vip, &upgrade, pod).await?;
        let ms = lasts.as_millis();
        let request =
            format!("GET /download?ms={ms} HTTP/1.1\r\nHost: {vip}\r\nConnection: close\r\n\r\n");
        let (download, head, begun) = answered_by(vip, &request, pod).await?;
        Ok(Self {
            download,
            begun,
            whole: length(&head).with_context(|| head.clone())?,
            websocket,
        })
    }

    /// Once its pod has been asked to go: the WebSocket still echoes and is told of the end, and the
    /// download comes whole.
    pub(crate) async fn until_it_goes(mut self) -> Result<()> {
        let both = async {
            let (mut body, mut last) = (self.begun, Vec::new());
            let asked = Frame::Text(b"still there?".to_vec());
            self.websocket.write_all(&asked.encode(true)).await?;
            let mut back = vec![0; asked.encode(false).len()];
            self.websocket.read_exact(&mut back).await?;
            ensure!(back == asked.encode(false), "{back:?} came back");
            tokio::try_join!(
                self.download.read_to_end(&mut body),
                self.websocket.read_to_end(&mut last)
            )?;
            ensure!(
                body.len() == self.whole,
                "{} bytes of {} came",
                body.len(),
                self.whole
            );
            let end = Frame::Close(Some(GOING_AWAY)).encode(false);
            ensure!(last == end, "the WebSocket ended with {last:?}");
            Ok(())
        };
        timeout(PATIENCE, both).await.context("no end")?
    }
}

/// A connection on which this pod answered, the head, and what came of the body with it.
async fn answered_by(
    vip: SocketAddr,
    request: &str,
    pod: &str,
) -> Result<(TcpStream, String, Vec<u8>)> {
    let mine = format!("x-pod: {pod}\r\n");
    for _ in 0..TRIES {
        let mut stream = TcpStream::connect(vip).await?;
        stream.write_all(request.as_bytes()).await?;
        let (head, body) = timeout(PATIENCE, head(&mut stream)).await??;
        if head.to_ascii_lowercase().contains(&mine) {
            return Ok((stream, head, body));
        }
    }
    bail!("{pod} took none of {TRIES} connections")
}

fn length(head: &str) -> Option<usize> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.parse().ok()
}

async fn head(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let body = read.split_off(end + 4);
            return Ok((String::from_utf8(read)?, body));
        }
        ensure!(
            stream.read_buf(&mut read).await? > 0,
            "closed without an answer"
        );
    }
}

//! Clients with `WebSocket`s: each says something every second and expects it back. One that is told 1001
//! opens another, as clients do; no request fails by that.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::client::{Line, in_time};
use super::load::Shared;
use super::tally::{Cause, Ended, Kind, Way};
use crate::clients::client;
use crate::frames::{Frame, GOING_AWAY};

/// Between two messages.
const PAUSE: Duration = Duration::from_secs(1);
/// The key of RFC 6455, section 1.3: the sample does not mind.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A WebSocket.
struct Socket {
    line: Line,
    heard: Vec<u8>,
}

/// Opens one WebSocket after the other until it is stopped.
pub(super) async fn talk(shared: Arc<Shared>, number: u32, stopped: watch::Receiver<bool>) {
    // They do not all speak at the same time.
    sleep(PAUSE / 40 * (number % 40)).await;
    while !*stopped.borrow() {
        let due = shared.clock.now();
        match open(&shared, number).await {
            Ok(socket) => {
                shared.note(due, due, Ok(()), &socket.line.way);
                converse(&shared, socket, stopped.clone()).await;
            }
            Err((cause, way)) => {
                shared.note(due, due, Err(cause), &way);
                // The next try is due as the next message would be.
                sleep(PAUSE).await;
            }
        }
    }
}

async fn open(shared: &Shared, number: u32) -> Result<Socket, (Cause, Way)> {
    let mut line = Line::open(client(number), shared.to, shared.clock).await?;
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
        shared.to
    );
    match line.upgrade(request.as_bytes()).await {
        Ok(heard) => Ok(Socket { line, heard }),
        Err(cause) => Err((cause, line.way)),
    }
}

async fn converse(shared: &Shared, mut socket: Socket, mut stopped: watch::Receiver<bool>) {
    let mut due = shared.clock.now() + PAUSE;
    loop {
        let begun = tokio::select! {
            biased;
            () = ended(&mut stopped) => return socket.goodbye().await,
            said = socket.next() => match said {
                // Nothing was asked: what comes now is the end.
                Ok(Frame::Text(_) | Frame::Other) => continue,
                end => return shared.end(due, end, &mut socket).await,
            },
            () = sleep_until(shared.clock.at(due)) => shared.clock.now(),
        };
        match socket.echo().await {
            ControlFlow::Continue(()) => shared.note(due, begun, Ok(()), &socket.line.way),
            ControlFlow::Break(end) => return shared.end(due, end, &mut socket).await,
        }
        due += PAUSE;
    }
}

async fn ended(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

impl Shared {
    /// A WebSocket is over. One that was told 1001 fails nobody.
    async fn end(&self, due: Duration, end: Result<Frame, Cause>, socket: &mut Socket) {
        let cause = match end {
            Ok(Frame::Close(Some(GOING_AWAY))) => {
                self.tally.lock().handed_over += 1;
                return socket.goodbye().await;
            }
            Ok(Frame::Close(status)) => Cause::SocketClosed(status.unwrap_or_default()),
            Ok(Frame::Text(_) | Frame::Other) => Cause::Garbled,
            Err(cause) => cause,
        };
        // An end that comes between two messages is a failure of now.
        let due = due.min(self.clock.now());
        self.note(due, due, Err(cause), &socket.line.way);
    }

    fn note(&self, due: Duration, begun: Duration, outcome: Result<(), Cause>, way: &Way) {
        let over = self.clock.now();
        let pod = || "a WebSocket".to_owned();
        self.tally.lock().count(Ended {
            kind: Kind::Socket,
            due,
            begun,
            over,
            outcome: outcome.map(|()| pod()),
            way: way.clone(),
        });
    }
}

impl Socket {
    /// Says something and waits until it comes back; what came instead.
    async fn echo(&mut self) -> ControlFlow<Result<Frame, Cause>> {
        let said = Frame::Text(b"are you there".to_vec());
        let back = in_time(async {
            let bytes = said.encode(true);
            self.line.stream.write_all(&bytes).await?;
            loop {
                match self.next().await? {
                    Frame::Other => {}
                    frame @ (Frame::Text(_) | Frame::Close(_)) => return Ok(frame),
                }
            }
        });
        match back.await {
            Ok(back) if back == said => ControlFlow::Continue(()),
            other => ControlFlow::Break(other),
        }
    }

    /// The next frame. Nothing is lost if nobody waits for it any more.
    async fn next(&mut self) -> Result<Frame, Cause> {
        loop {
            if let Some((frame, used)) = Frame::decode(&self.heard) {
                self.heard.drain(..used);
                return Ok(frame);
            }
            if self.line.stream.read_buf(&mut self.heard).await? == 0 {
                return Err(Cause::Closed);
            }
        }
    }

    /// Ends it, without waiting for what the other says.
    async fn goodbye(&mut self) {
        let last = Frame::Close(Some(1000)).encode(true);
        let _ = in_time(async { Ok(self.line.stream.write_all(&last).await?) }).await;
    }
}

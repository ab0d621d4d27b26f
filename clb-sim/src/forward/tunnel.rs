//! A connection after its upgrade, such as a WebSocket: bytes both ways until either side ends, the
//! target is deregistered, or nothing has passed for a while.

use super::body::Held;
use super::pulse::Pulse;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio_util::io::InspectReader;

/// `proxy_read_timeout` (documentation "Layer-7 custom configuration").
const IDLE: Duration = Duration::from_mins(1);

/// Carries bytes between a client and a target that have both agreed to it.
pub(super) async fn tunnel(client: OnUpgrade, target: OnUpgrade, held: Held) {
    let (Ok(client), Ok(target)) = tokio::join!(client, target) else {
        return;
    };
    let pulse = Pulse::new(IDLE);
    let (mut client, mut target) = (felt(client, &pulse), felt(target, &pulse));
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut target) => {}
        () = held.served.cut.cancelled() => {}
        () = pulse.stopped() => {}
    }
}

fn felt(side: Upgraded, pulse: &Pulse) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
    let pulse = pulse.clone();
    InspectReader::new(TokioIo::new(side), move |_: &[u8]| pulse.beat())
}

//! The clients: many addresses, every request on a connection of its own, as many requests and as long
//! as was said.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use clb_gate_tests::load;
use futures::StreamExt as _;
use futures::stream;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use clb_gate_tests::clients::{appear, client, is_client};

/// A request without an answer after this failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Who asked.
    pub(crate) client: IpAddr,
    /// Who answered.
    pub(crate) pod: String,
    /// Whose address the pod saw.
    pub(crate) seen: IpAddr,
}

/// A bounded number of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// So many.
    pub(crate) requests: u32,
    /// So many at a time.
    pub(crate) at_a_time: usize,
    /// None is begun after this.
    pub(crate) within: Duration,
}

/// What became of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    /// What was answered.
    pub(crate) answers: Vec<Answer>,
    /// How long each answer took, from the first packet of its connection.
    pub(crate) took: Vec<Duration>,
    /// What was not, by cause.
    pub(crate) failures: BTreeMap<String, u64>,
    /// From the first to the last.
    pub(crate) lasted: Duration,
}

/// Sends requests, each as soon as there is room for it.
pub(crate) async fn send(to: SocketAddr, amount: Amount) -> Load {
    let start = Instant::now();
    let begun = stream::iter(0..amount.requests)
        .take_until(Box::pin(sleep(amount.within)))
        .map(|number| timed(client(number), to));
    let mut ended = pin!(begun.buffer_unordered(amount.at_a_time));
    let mut load = Load::default();
    while let Some((outcome, took)) = ended.next().await {
        load.count(outcome, took);
    }
    load.lasted = start.elapsed();
    load
}

impl Load {
    fn count(&mut self, outcome: Result<Answer, String>, took: Duration) {
        match outcome {
            Ok(answer) => {
                self.answers.push(answer);
                self.took.push(took);
            }
            Err(cause) => *self.failures.entry(cause).or_default() += 1,
        }
    }
}

async fn timed(client: IpAddr, to: SocketAddr) -> (Result<Answer, String>, Duration) {
    let start = Instant::now();
    let outcome = timeout(PATIENCE, load::ask(Some(client), to)).await;
    let body = outcome.unwrap_or_else(|_| Err("timed out".to_owned()));
    (body.and_then(|body| read(client, &body)), start.elapsed())
}

/// The sample's `pod address`.
fn read(client: IpAddr, body: &str) -> Result<Answer, String> {
    let mut words = body.split_whitespace();
    let strange = || format!("not the sample's answer: {body:?}");
    let pod = words.next().ok_or_else(strange)?.to_owned();
    let seen = words.next().and_then(|word| word.parse().ok());
    let seen = seen.ok_or_else(strange)?;
    Ok(Answer { client, pod, seen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_pod_and_what_it_saw() {
        let answer = read(client(0), "web-1 198.18.0.11\n").unwrap();
        assert_eq!(answer.pod, "web-1");
        assert_eq!(answer.seen.to_string(), "198.18.0.11");
        for strange in ["", "web-1", "web-1 nobody"] {
            assert!(read(client(0), strange).is_err(), "{strange}");
        }
    }
}

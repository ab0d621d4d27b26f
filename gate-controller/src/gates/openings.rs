//! Which gates may open now. One that is True is not looked at again, so that where the caches may lack
//! something the API server is asked first.

use std::collections::{BTreeSet, HashMap};

use direct_access::Exposure;
use direct_access::condition::{Condition, Status};
use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::{Gates, Memory};
use crate::fresh::Asking;
use crate::judge::Verdict;
use crate::met::Opening;
use crate::pod::PodRecord;

/// Namespaces read at a time.
const READS: usize = 8;

/// What was read of namespaces during one look; `None`: it could not be read.
pub(super) type Read = HashMap<String, Option<Asking>>;

impl Gates {
    /// An orphan's gate opens only after a fresh read agrees that nothing selects it.
    pub(super) async fn orphans_confirmed(&self, verdict: &Verdict, read: &mut Read) -> bool {
        let orphans = verdict
            .writes
            .iter()
            .filter(|(pod, _)| verdict.unselected.contains(&pod.uid));
        for (pod, _) in orphans {
            match self.asking(&pod.namespace, read).await {
                Some(asking) if !asking.selects(pod) => {}
                Some(_) | None => return false,
            }
        }
        true
    }

    /// A gate opens only where what is exposed was confirmed since it was last listed; and with fewer
    /// exposures than its pod was seen behind only after a fresh read agrees.
    pub(super) async fn hold_openings(
        &self,
        memory: &mut Memory,
        exposures: &[Exposure],
        verdict: &mut Verdict,
        read: &mut Read,
    ) {
        let unselected = &verdict.unselected;
        let opens = |(pod, condition): &(PodRecord, Condition)| {
            condition.status == Status::True && !unselected.contains(&pod.uid)
        };
        let (openings, others) = std::mem::take(&mut verdict.writes)
            .into_iter()
            .partition::<Vec<_>, _>(opens);
        verdict.writes = others;
        self.agree(memory, exposures, &openings, read).await;
        for (pod, condition) in openings {
            let Some(condition) = self.opening(memory, &pod, condition, read).await else {
                continue;
            };
            let known = pod.condition.as_ref();
            if !known.is_some_and(|known| known.says(&condition)) {
                verdict.writes.push((pod, condition));
            }
        }
    }

    /// Asks the API server about the namespaces of these pods that it has not confirmed yet.
    async fn agree(
        &self,
        memory: &mut Memory,
        exposures: &[Exposure],
        openings: &[(PodRecord, Condition)],
        read: &mut Read,
    ) {
        let all = openings.iter().map(|(pod, _)| pod.namespace.as_str());
        let now = Instant::now();
        let due = all.filter(|namespace| memory.agreed.is_due(namespace, now));
        let due: BTreeSet<_> = due.collect();
        let unread = due.iter().filter(|one| !read.contains_key(**one)).copied();
        let reads: Vec<_> = unread.map(|one| self.read(one)).collect();
        let news: Vec<_> = stream::iter(reads).buffer_unordered(READS).collect().await;
        read.extend(news);
        for namespace in due {
            let asking = read.get(namespace).and_then(Option::as_ref);
            if asking.is_some_and(|asking| asking.is_known(exposures)) {
                memory.agreed.confirmed(namespace);
            } else if memory.agreed.unconfirmed(namespace, now) {
                let why = "no gate opens here until a fresh read of Services and Ingresses agrees with the caches";
                tracing::info!(namespace, "{why}");
            }
        }
    }

    /// What the gate should say now; `None`: it is not certain yet.
    async fn opening(
        &self,
        memory: &mut Memory,
        pod: &PodRecord,
        condition: Condition,
        read: &mut Read,
    ) -> Option<Condition> {
        let now = Instant::now();
        let gone = match memory.met.opening(&pod.uid, now) {
            Opening::Held(held) => return Some(held),
            Opening::Free | Opening::Ripe(_) if !memory.agreed.has(&pod.namespace) => return None,
            Opening::Free => return Some(condition),
            Opening::Ripe(gone) => gone,
        };
        let asking = self.asking(&pod.namespace, read).await;
        if asking.is_some_and(|asking| asking.let_go(pod, &gone)) {
            memory.met.forget(&pod.uid, &gone);
            return Some(condition);
        }
        memory.met.restart(&pod.uid, now);
        None
    }

    /// What asks for something in a namespace, read once a look; `None`: it cannot be read.
    async fn asking<'r>(&self, namespace: &str, read: &'r mut Read) -> Option<&'r Asking> {
        if !read.contains_key(namespace) {
            let (namespace, asking) = self.read(namespace).await;
            read.insert(namespace, asking);
        }
        read.get(namespace)?.as_ref()
    }

    async fn read(&self, namespace: &str) -> (String, Option<Asking>) {
        let asking = self.shared.fresh.namespace(namespace).await;
        let asking = asking.inspect_err(|error| {
            tracing::warn!(%error, "no gate opens before the cluster was read again");
        });
        (namespace.to_owned(), asking.ok())
    }
}

//! What an operator does to the calls to come: in a file, at run time, or at random from a seed.

mod draw;
mod fault;
mod plan;

pub(crate) use fault::Fault;
pub(crate) use plan::{Lost, Plan};

use crate::api::{Kind, kind_of};
use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use fault::Live;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The most faults kept at a time.
const FAULTS: usize = 1000;

/// The faults still to come, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Live>);

/// Why a file of faults cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FaultsError {
    /// The file cannot be read.
    #[error("faults file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A fault in it is none.
    #[error("faults file {path}: {message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

/// The faults of a file, a JSON list.
pub(crate) fn load(path: &Path) -> Result<Vec<Fault>, FaultsError> {
    let text = std::fs::read(path).map_err(|source| FaultsError::Io {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|error| FaultsError::Content {
        path: path.to_owned(),
        message: format!("not a JSON list of faults: {error}"),
    })
}

impl Faults {
    /// Takes a fault in, from now on.
    pub(crate) fn add(&mut self, fault: Fault, now: Millis) -> Result<(), Refusal> {
        fault.check()?;
        if self.0.len() >= FAULTS {
            let message = format!("{FAULTS} faults are waiting already");
            return Err(Refusal::new(code::INVALID_PARAMETER, message));
        }
        self.0.push(Live::new(fault, now));
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The faults that wait, and how often each still hits.
    pub(crate) fn show(&self) -> Value {
        json!(self.0.iter().map(Live::show).collect::<Vec<_>>())
    }

    /// The plan for this call: the oldest fault that hits it, which uses up one count.
    pub(crate) fn next(&mut self, action: &str, now: Millis) -> Plan {
        self.0.retain(|fault| !fault.is_over(now));
        let Some(kind) = kind_of(action) else {
            return Plan::default();
        };
        self.0
            .iter_mut()
            .find_map(|fault| fault.hit(action, kind, now))
            .unwrap_or_default()
    }
}

/// Whether a batch call, which answers for each listener.
fn answers_per_listener(action: &str) -> bool {
    ["BatchRegisterTargets", "BatchDeregisterTargets"].contains(&action)
}

/// What a fault can be, and which calls it fits.
fn fits(what: draw::What, action: &str, kind: Kind) -> bool {
    match what {
        draw::What::Partial => answers_per_listener(action),
        draw::What::TaskFailure | draw::What::Silent => kind == Kind::Write,
        draw::What::Error
        | draw::What::Latency
        | draw::What::Throttle
        | draw::What::DropAnswer
        | draw::What::DropRequest => true,
    }
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;

//! The arms of the proof: ways from the CLB to the pods, and what keeps their clients from noticing.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A way from the CLB to the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// The targets are the nodes' ports, `externalTrafficPolicy: Cluster`.
    NodePort,
    /// The same with `Local`.
    Local,
    /// The targets are the pods, which have no gate.
    Direct,
    /// Pods with the gate.
    Gate,
    /// Pods with the gate, which go only once the CLB sends them nothing more.
    Drain,
    /// The same while things crash.
    Crash,
}

impl Arm {
    /// In the order in which they run.
    pub const ALL: [Self; 6] = [
        Self::NodePort,
        Self::Local,
        Self::Direct,
        Self::Gate,
        Self::Drain,
        Self::Crash,
    ];

    /// Its letter in flags and reports.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::NodePort => "a",
            Self::Local => "a2",
            Self::Direct => "b",
            Self::Gate => "c",
            Self::Drain => "d",
            Self::Crash => "e",
        }
    }

    /// What it is, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::NodePort => "NodePort, no gate",
            Self::Local => "NodePort Local, no gate",
            Self::Direct => "direct, no gate",
            Self::Gate => "direct, gate",
            Self::Drain => "direct, gate and drain",
            Self::Crash => "gate and drain, with crashes",
        }
    }

    /// The port of its listener.
    pub const fn port(self) -> u16 {
        match self {
            Self::NodePort => 8401,
            Self::Local => 8402,
            Self::Direct => 8403,
            Self::Gate => 8404,
            Self::Drain => 8405,
            Self::Crash => 8406,
        }
    }

    /// `externalTrafficPolicy` where the CLB goes through a `NodePort`.
    pub(crate) const fn policy(self) -> Option<&'static str> {
        match self {
            Self::NodePort => Some("Cluster"),
            Self::Local => Some("Local"),
            Self::Direct | Self::Gate | Self::Drain | Self::Crash => None,
        }
    }

    /// Whether its pods have the gate.
    pub const fn gated(self) -> bool {
        matches!(self, Self::Gate | Self::Drain | Self::Crash)
    }

    /// Whether its pods wait until the CLB sends them nothing more.
    pub const fn drains(self) -> bool {
        matches!(self, Self::Drain | Self::Crash)
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.letter())
    }
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|arm| arm.letter() == text);
        found.ok_or_else(|| {
            format!("there is no arm {text:?}; there are {}", {
                Self::ALL.map(Self::letter).join(", ")
            })
        })
    }
}

impl Serialize for Arm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arm_is_found_by_its_letter_and_has_its_own_port() {
        for arm in Arm::ALL {
            assert_eq!(arm.letter().parse(), Ok(arm));
        }
        let wrong = "f".parse::<Arm>().unwrap_err();
        assert!(
            wrong.contains("\"f\"") && wrong.contains("a2, b"),
            "{wrong}"
        );
        let mut ports = Arm::ALL.map(Arm::port).to_vec();
        ports.dedup();
        assert_eq!(ports.len(), Arm::ALL.len());
    }
}

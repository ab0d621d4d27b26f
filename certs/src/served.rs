//! What a webhook tells about the leaf it serves, on its admin port. Whoever cannot shake hands with the
//! pod itself, such as a laptop behind the API server's proxy, asks there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::parse::CertFacts;

/// Where on the admin port it is asked for.
pub const PATH: &str = "/leaf";

/// The answer. It holds nothing that a TLS handshake would not show, and no private key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedLeaf {
    /// What is served; `None` while nothing is.
    pub serving: Option<CertFacts>,
    /// The same certificate in PEM.
    pub certificate: Option<String>,
    /// The resourceVersion of the Secret it was read from.
    pub resource_version: Option<String>,
    /// What the Secret holds, if that was refused.
    pub refused: Option<RefusedLeaf>,
}

/// A leaf that is not served although the Secret holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLeaf {
    /// The Secret's resourceVersion.
    pub resource_version: String,
    /// Everything that is wrong with it.
    pub problems: Vec<String>,
    /// When it was first refused.
    pub since: Timestamp,
}

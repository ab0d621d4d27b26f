//! The API's identifiers, each its own type, so that a listener is never passed for a load balancer.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the id as the API or a user wrote it; the API is the judge of its form.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as the API writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A load balancer, `lb-` and eight characters.
    LoadBalancerId
);
id!(
    /// A listener of a load balancer, `lbl-` and eight characters.
    ListenerId
);
id!(
    /// A layer-7 forwarding rule of a listener, `loc-` and eight characters.
    LocationId
);

/// The one load balancer that a call is about, for its errors.
pub(crate) fn only(ids: &[LoadBalancerId]) -> Option<&LoadBalancerId> {
    match ids {
        [one] => Some(one),
        _ => None,
    }
}

//! What happens to one call.

use crate::refusal::Refusal;
use crate::state::Fate;

/// What happens to one call; by default, nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// It is refused before anything is done.
    pub(crate) refusal: Option<Refusal>,
    /// Its answer is that much later.
    pub(crate) late_ms: u64,
    pub(crate) lost: Lost,
    /// What becomes of the write it begins.
    pub(crate) fate: Fate,
}

/// What gets lost on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lost {
    #[default]
    Nothing,
    /// Nothing is done.
    Request,
    /// It is done.
    Answer,
}

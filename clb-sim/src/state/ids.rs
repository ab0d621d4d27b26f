//! Identifiers as the API makes them: a prefix and eight lower-case letters or digits. They come
//! from a seed and a counter, so that the model stays a function of its inputs.

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH: usize = 8;

/// The source of `lb-`, `lbl-`, `loc-` and `eni-` identifiers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ids {
    seed: u64,
    issued: u64,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, issued: 0 }
    }

    /// A fresh identifier such as `lbl-3kq0z8ab`.
    pub(crate) fn next(&mut self, prefix: &str) -> String {
        self.issued += 1;
        format!("{prefix}-{}", letters(mix(self.seed ^ mix(self.issued))))
    }

    /// The id of a request, a UUID as the API gives.
    pub(crate) fn request(&mut self) -> String {
        self.issued += 1;
        let (high, low) = (mix(self.seed ^ mix(self.issued)), mix(self.issued));
        let bytes = uuid::Uuid::from_u64_pair(high, low).into_bytes();
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// The identifier that always belongs to this text, for things the API derives: the network
/// interface of a pod, the unseen rule of a layer-4 listener.
pub(crate) fn derived(prefix: &str, text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{prefix}-{}", letters(mix(hash)))
}

/// `SplitMix64`'s finaliser: neighbours in, strangers out.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn letters(mut value: u64) -> String {
    (0..LENGTH)
        .filter_map(|_| {
            let digit = usize::try_from(value % 36).ok()?;
            value /= 36;
            ALPHABET.get(digit).map(|letter| char::from(*letter))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_have_the_apis_shape_and_differ() {
        let mut ids = Ids::new(7);
        let made: BTreeSet<_> = (0..1000).map(|_| ids.next("lbl")).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| {
            let rest = id.strip_prefix("lbl-").unwrap_or_default();
            rest.len() == 8
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        }));
        assert_eq!(derived("eni", "10.0.0.1"), derived("eni", "10.0.0.1"));
        assert_ne!(derived("eni", "10.0.0.1"), derived("eni", "10.0.0.2"));
    }
}

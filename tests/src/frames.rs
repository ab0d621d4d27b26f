//! Frames of a WebSocket (RFC 6455, section 5): as much as a client that asks and a server that gives back
//! need. Pure; short messages in one frame each.

/// The status with which an endpoint says that it goes away.
pub const GOING_AWAY: u16 = 1001;

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Text(Vec<u8>),
    /// The end, and why; none where no status is given.
    Close(Option<u16>),
    /// Anything else: pings, pongs, parts of messages.
    Other,
}

/// The longest message that is written in one frame here.
const SHORT: usize = 125;
/// A client's frames are masked. The mask hides nothing from anybody, so one will do.
const MASK: [u8; 4] = [7, 83, 19, 211];

impl Frame {
    /// Its bytes; what a client sends is masked. A message that is too long for a short frame is cut.
    pub fn encode(&self, from_client: bool) -> Vec<u8> {
        let (code, body) = match self {
            Self::Text(text) => (1, text.clone()),
            Self::Close(status) => (
                8,
                status.map_or(vec![], |status| status.to_be_bytes().into()),
            ),
            Self::Other => (10, vec![]),
        };
        let length = body.len().min(SHORT);
        let short = u8::try_from(length).unwrap_or_default();
        let mut bytes = vec![0x80 | code, short | u8::from(from_client) << 7];
        let mask = if from_client { MASK } else { [0; 4] };
        if from_client {
            bytes.extend(mask);
        }
        bytes.extend(masked(body.into_iter().take(length), mask));
        bytes
    }

    /// The first whole frame in these bytes and how many it takes; none if there is none yet.
    pub fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (first, rest) = bytes.split_first()?;
        let (second, rest) = rest.split_first()?;
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (mask, rest) = if second & 0x80 == 0 {
            ([0; 4], rest)
        } else {
            let (mask, rest) = rest.split_first_chunk()?;
            (*mask, rest)
        };
        let body = rest.get(..usize::try_from(length).ok()?)?;
        let used = bytes.len() - rest.len() + body.len();
        let body: Vec<u8> = masked(body.iter().copied(), mask).collect();
        let frame = match first {
            0x81 => Self::Text(body),
            0x88 => Self::Close(body.first_chunk().copied().map(u16::from_be_bytes)),
            _ => Self::Other,
        };
        Some((frame, used))
    }
}

fn masked(body: impl Iterator<Item = u8>, mask: [u8; 4]) -> impl Iterator<Item = u8> {
    body.zip(mask.into_iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let plain = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        let hello = Frame::Text(b"Hello".to_vec());
        assert_eq!(Frame::decode(&plain), Some((hello.clone(), 7)));
        let masked = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(Frame::decode(&masked), Some((hello, 11)));
        let mut long = vec![0x82, 0x7e, 0x01, 0x00];
        long.extend([0; 256]);
        assert_eq!(Frame::decode(&long), Some((Frame::Other, 260)));
    }

    #[test]
    fn going_away_is_1001() {
        let bytes = Frame::Close(Some(GOING_AWAY)).encode(false);
        assert_eq!(bytes, [0x88, 2, 0x03, 0xe9]);
        let none = Frame::decode(&[0x88, 0]);
        assert_eq!(none, Some((Frame::Close(None), 2)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_a_part_of_it_is_none(
            text in prop::collection::vec(any::<u8>(), 0..=SHORT), from_client in any::<bool>(),
        ) {
            let frame = Frame::Text(text);
            let bytes = frame.encode(from_client);
            prop_assert_eq!(Frame::decode(&bytes), Some((frame, bytes.len())));
            for part in 0..bytes.len() {
                prop_assert_eq!(Frame::decode(&bytes[..part]), None);
            }
        }
    }
}

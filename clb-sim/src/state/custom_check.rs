//! `CheckType` CUSTOM: what a probe sends and what the answer must begin with.
//!
//! The API reference asks for all three fields, at most 500 characters of visible ASCII, and in HEX
//! for an even number of the digits 0-9 and A-F. It does not say how the answer is compared; here it
//! must begin with `RecvContext`, so that a server may say more.

use super::health_check::HealthCheckFields;
use crate::refusal::{Refusal, code};
use serde::{Deserialize, Serialize};

/// Characters of `SendContext` and of `RecvContext`.
const LONGEST: usize = 500;

/// A probe in the operator's own words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct CustomCheck {
    context: Context,
    pub(crate) send: Vec<u8>,
    /// The answer must begin with this.
    pub(crate) receive: Vec<u8>,
}

/// `ContextType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Context {
    Text,
    Hex,
}

impl CustomCheck {
    pub(super) fn validate(given: &HealthCheckFields) -> Result<Self, Refusal> {
        let context = match given.context_type.as_deref() {
            Some("TEXT") => Context::Text,
            Some("HEX") => Context::Hex,
            other => {
                return Err(invalid(format!(
                    "HealthCheck.ContextType {other:?} is not accepted: CheckType CUSTOM needs TEXT or HEX"
                )));
            }
        };
        Ok(Self {
            context,
            send: context.bytes("SendContext", given.send_context.as_deref())?,
            receive: context.bytes("RecvContext", given.recv_context.as_deref())?,
        })
    }

    pub(super) fn to_fields(&self, base: HealthCheckFields) -> HealthCheckFields {
        HealthCheckFields {
            check_type: Some("CUSTOM".to_owned()),
            context_type: Some(self.context.name().to_owned()),
            send_context: Some(self.context.text(&self.send)),
            recv_context: Some(self.context.text(&self.receive)),
            ..base
        }
    }

    /// Whether the bytes read so far decide: good, bad, or (none) more are needed.
    pub(crate) fn judge(&self, answer: &[u8]) -> Option<bool> {
        if answer.starts_with(&self.receive) {
            return Some(true);
        }
        (!self.receive.starts_with(answer)).then_some(false)
    }
}

impl Context {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Hex => "HEX",
        }
    }

    fn bytes(self, field: &str, given: Option<&str>) -> Result<Vec<u8>, Refusal> {
        let text = given.unwrap_or_default();
        if text.is_empty() || text.len() > LONGEST {
            let message = format!(
                "HealthCheck.{field} has {} characters: CheckType CUSTOM needs 1 to {LONGEST}",
                text.len()
            );
            return Err(Refusal::new(code::LENGTH, message));
        }
        match self {
            Self::Text => visible(field, text),
            Self::Hex => digits(field, text),
        }
    }

    fn text(self, bytes: &[u8]) -> String {
        match self {
            Self::Text => String::from_utf8_lossy(bytes).into_owned(),
            Self::Hex => hex::encode_upper(bytes),
        }
    }
}

fn visible(field: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    let odd = |each: &char| !(each.is_ascii_graphic() || *each == ' ');
    match text.chars().find(odd) {
        None => Ok(text.as_bytes().to_vec()),
        Some(odd) => Err(invalid(format!(
            "HealthCheck.{field} contains {odd:?}: only visible ASCII characters are accepted as TEXT"
        ))),
    }
}

fn digits(field: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    let upper = !text.contains(|each: char| each.is_ascii_lowercase());
    let bytes = hex::decode(text).ok().filter(|_| upper);
    bytes.ok_or_else(|| {
        invalid(format!(
            "HealthCheck.{field} {text:?} is not HEX: an even number of 0123456789ABCDEF is accepted"
        ))
    })
}

fn invalid(message: String) -> Refusal {
    Refusal::new(code::INVALID_VALUE, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(context: &str, send: &str, receive: &str) -> HealthCheckFields {
        HealthCheckFields {
            context_type: Some(context.to_owned()),
            send_context: Some(send.to_owned()),
            recv_context: Some(receive.to_owned()),
            ..HealthCheckFields::default()
        }
    }

    #[rstest::rstest]
    #[case("TEXT", "ping", "pong", b"ping", b"pong")]
    #[case("HEX", "0AFF", "00", &[10, 255], &[0])]
    fn what_is_sent_is_what_was_written(
        #[case] context: &str,
        #[case] send: &str,
        #[case] receive: &str,
        #[case] sent: &[u8],
        #[case] received: &[u8],
    ) {
        let check = CustomCheck::validate(&fields(context, send, receive)).unwrap();
        assert_eq!((&*check.send, &*check.receive), (sent, received));
    }

    #[rstest::rstest]
    #[case("", "a", "b", "ContextType")]
    #[case("TEXT", "", "b", "SendContext has 0")]
    #[case("TEXT", "a", "", "RecvContext has 0")]
    #[case("TEXT", "a", "b\n", "RecvContext contains")]
    #[case("TEXT", "ü", "b", "SendContext contains")]
    #[case("HEX", "0A0", "0A", "SendContext")]
    #[case("HEX", "0A", "0g", "RecvContext")]
    #[case("HEX", "0a", "0A", "SendContext")]
    fn nonsense_is_refused_by_name(
        #[case] context: &str,
        #[case] send: &str,
        #[case] receive: &str,
        #[case] says: &str,
    ) {
        let refusal = CustomCheck::validate(&fields(context, send, receive)).unwrap_err();
        assert!(refusal.message.contains(says), "{}", refusal.message);
    }

    #[test]
    fn five_hundred_characters_are_enough() {
        let long = "x".repeat(LONGEST);
        assert!(CustomCheck::validate(&fields("TEXT", &long, "a")).is_ok());
        let refusal = CustomCheck::validate(&fields("TEXT", &format!("{long}x"), "a"));
        assert_eq!(refusal.unwrap_err().code, code::LENGTH);
    }

    proptest! {
        #[test]
        fn it_is_shown_as_it_was_written(hex: bool, send in "[ -~]{1,40}", receive in "[ -~]{1,40}") {
            let given = if hex {
                fields("HEX", &hex::encode_upper(&send), &hex::encode_upper(&receive))
            } else {
                fields("TEXT", &send, &receive)
            };
            let check = CustomCheck::validate(&given).unwrap();
            let shown = check.to_fields(HealthCheckFields::default());
            prop_assert_eq!(CustomCheck::validate(&shown).unwrap(), check);
            prop_assert_eq!(shown.send_context, given.send_context);
        }

        #[test]
        fn an_answer_is_judged_the_same_however_it_comes_in(receive in "[ab]{1,4}", answer in "[ab]{0,8}") {
            let check = CustomCheck::validate(&fields("TEXT", "x", &receive)).unwrap();
            let first = (0..=answer.len()).find_map(|end| check.judge(&answer.as_bytes()[..end]));
            prop_assert_eq!(first, check.judge(answer.as_bytes()));
            prop_assert_eq!(first == Some(true), answer.starts_with(&receive));
        }
    }
}

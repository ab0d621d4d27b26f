//! From a JSON body to an action's typed parameters, with the API's own complaints.

use crate::refusal::{Refusal, code};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The parameters of one action.
pub(crate) trait Params: DeserializeOwned {
    /// Parameters of the real action that mean nothing to the simulator: accepted and ignored.
    const IGNORED: &'static [&'static str] = &[];
}

/// Reads the body of a call. Unknown, missing and ill-typed parameters are refused by name.
pub(crate) fn read<P: Params>(body: &[u8]) -> Result<P, Refusal> {
    let mut map: Map<String, Value> = if body.is_empty() {
        Map::new()
    } else {
        serde_json::from_slice(body).map_err(|error| {
            Refusal::new(
                code::INVALID_REQUEST,
                format!("the body is not a JSON object: {error}"),
            )
        })?
    };
    map.retain(|name, _| !P::IGNORED.contains(&name.as_str()));
    serde_json::from_value(Value::Object(map)).map_err(|error| complaint(&error.to_string()))
}

/// serde says what is wrong only in words; these are its words for the two cases the API tells
/// apart.
fn complaint(error: &str) -> Refusal {
    let quoted = error.split('`').nth(1).unwrap_or_default();
    if error.starts_with("unknown field") {
        let message = format!("The parameter `{quoted}` is not recognized.");
        Refusal::new(code::UNKNOWN_PARAMETER, message)
    } else if error.starts_with("missing field") {
        let message = format!("The request is missing a required parameter `{quoted}`.");
        Refusal::new(code::MISSING, message)
    } else {
        Refusal::new(code::INVALID_PARAMETER, error)
    }
}

/// Refuses a list longer than the API takes in one call.
pub(crate) fn at_most(field: &str, given: usize, limit: usize) -> Result<(), Refusal> {
    if given <= limit {
        return Ok(());
    }
    let message = format!("{field} has {given} items; at most {limit} are accepted in one call");
    Err(Refusal::new(code::LENGTH, message))
}

/// Refuses an empty list where the API needs one.
pub(crate) fn not_empty(field: &str, given: usize) -> Result<(), Refusal> {
    if given > 0 {
        return Ok(());
    }
    Err(Refusal::new(
        code::MISSING,
        format!("{field} is empty; at least one item is needed"),
    ))
}

pub(crate) fn port(field: &str, given: i64) -> Result<u16, Refusal> {
    let port = u16::try_from(given).ok().filter(|port| *port > 0);
    port.ok_or_else(|| {
        let message = format!("{field} {given} is out of range: accepted are 1 to 65535");
        Refusal::new(code::INVALID_VALUE, message)
    })
}

/// A number of at least 0 and at most `most`.
pub(crate) fn in_range(
    field: &str,
    given: Option<i64>,
    default: i64,
    accepted: RangeInclusive<i64>,
) -> Result<usize, Refusal> {
    let value = given.unwrap_or(default);
    let (least, most) = (accepted.start(), accepted.end());
    usize::try_from(value)
        .ok()
        .filter(|_| accepted.contains(&value))
        .ok_or_else(|| {
            Refusal::new(
                code::RANGE,
                format!("{field} {value} is out of range: accepted are {least} to {most}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Sample {
        name: String,
        size: Option<i64>,
    }

    impl Params for Sample {
        const IGNORED: &'static [&'static str] = &["Colour"];
    }

    fn refused(body: &str) -> (String, String) {
        let refusal = read::<Sample>(body.as_bytes()).unwrap_err();
        (refusal.code, refusal.message)
    }

    #[test]
    fn good_bodies_are_read() {
        let sample: Sample = read(br#"{"Name":"a","Size":null,"Colour":{"x":1}}"#).unwrap();
        assert_eq!((sample.name.as_str(), sample.size), ("a", None));
    }

    #[test]
    fn bad_bodies_are_refused_by_name() {
        let (code, message) = refused(r#"{"Name":"a","Shape":1}"#);
        assert_eq!(
            (code.as_str(), message.contains("`Shape`")),
            ("UnknownParameter", true)
        );
        let (code, message) = refused("");
        assert_eq!(
            (code.as_str(), message.contains("`Name`")),
            ("MissingParameter", true)
        );
        assert_eq!(refused(r#"{"Name":1}"#).0, "InvalidParameter");
        for body in ["[]", "nope", "{", "\"x\""] {
            assert_eq!(refused(body).0, "InvalidRequest", "{body}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(refused(&deep).0, "InvalidRequest");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_get_an_answer(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = read::<Sample>(&body);
        }
    }
}

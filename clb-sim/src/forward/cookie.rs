//! The cookie by which layer 7 keeps a client with its target. Its value is 32 hexadecimal digits, as
//! a CLB's is. Pure.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

/// What a client's cookie of this name says.
pub(super) fn token(headers: &HeaderMap, name: &str) -> Option<u128> {
    let values = headers.get_all(COOKIE).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut pairs = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    u128::from_str_radix(value, 16).ok()
}

/// What a client is told to keep.
pub(super) fn to_keep(name: &str, token: u128, life: Duration) -> Option<HeaderValue> {
    let text = format!("{name}={token:032x}; Max-Age={}; Path=/", life.as_secs());
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_read_again(value: u128, seconds in 30_u64..86_400) {
            let set = to_keep("route", value, Duration::from_secs(seconds)).unwrap();
            let set = set.to_str().unwrap();
            let age = format!("Max-Age={seconds};");
            prop_assert!(set.contains(&age));
            let kept = set.split(';').next().unwrap();
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, HeaderValue::from_static("a=b; other=route=7"));
            headers.append(COOKIE, HeaderValue::try_from(format!("x=y;{kept}; z=")).unwrap());
            prop_assert_eq!(token(&headers, "route"), Some(value));
            prop_assert_eq!(token(&headers, "rout"), None);
        }

        #[test]
        fn any_cookie_gets_an_answer(text in "[ -~]{0,80}") {
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, HeaderValue::try_from(text).unwrap());
            let _ = token(&headers, "route");
        }
    }
}

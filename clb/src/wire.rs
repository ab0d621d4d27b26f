//! Reading the API's answers: the envelope every answer comes in, and its habit of sending `null`.

use serde::{Deserialize, Deserializer};

/// Reads `null` as the default. With `#[serde(default)]` beside it, an absent field too.
pub(crate) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What every answer is wrapped in, success and failure alike.
#[derive(Deserialize)]
pub(crate) struct Envelope<T> {
    #[serde(rename = "Response")]
    pub(crate) response: T,
}

/// The part all answers share. Read first: a failure has none of the other fields.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Head {
    #[serde(default)]
    pub(crate) error: Option<ApiFailure>,
    #[serde(default, deserialize_with = "null_default")]
    pub(crate) request_id: String,
}

/// The API's own account of what went wrong.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ApiFailure {
    #[serde(default, deserialize_with = "null_default")]
    pub(crate) code: String,
    #[serde(default, deserialize_with = "null_default")]
    pub(crate) message: String,
}

/// An answer of which nothing but the request id is used.
#[derive(Deserialize)]
pub(crate) struct Empty {}

//! What the reading actions filter by, and a list that cannot be empty.

use serde::Serialize;

/// Keeps what has one of the values in the field named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Filter {
    /// The field, as the action's reference names it.
    pub name: String,
    /// The values, at most 100.
    pub values: Vec<String>,
}

impl Filter {
    /// Keeps what has one of `values` in the field `name`.
    pub fn new<V: Into<String>>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self {
            name: name.into(),
            values: values.into_iter().map(Into::into).collect(),
        }
    }

    /// Keeps load balancers that have a tag with this key and one of these values.
    pub fn tag<V: Into<String>>(key: &str, values: impl IntoIterator<Item = V>) -> Self {
        Self::new(format!("tag:{key}"), values)
    }

    /// Keeps load balancers that have a tag with one of these keys.
    pub fn tag_key<V: Into<String>>(keys: impl IntoIterator<Item = V>) -> Self {
        Self::new("tag-key", keys)
    }
}

/// A list with something in it, for actions that read an empty one as "all".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NonEmpty<'a, T>(&'a [T]);

impl<'a, T> NonEmpty<'a, T> {
    /// The list, unless it is empty.
    pub fn new(items: &'a [T]) -> Option<Self> {
        (!items.is_empty()).then_some(Self(items))
    }

    /// A list of one.
    pub fn one(item: &'a T) -> Self {
        Self(std::slice::from_ref(item))
    }

    /// What is in it.
    pub fn as_slice(&self) -> &'a [T] {
        self.0
    }
}

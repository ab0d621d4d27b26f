//! Everything that a check-up can find, with what it is and what to do about it.

mod installation;
mod work;

pub use installation::Installation;
pub use work::Work;

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Well.
    #[default]
    Ok,
    /// It could not be found out from here.
    Unknown,
    /// Somebody must do something.
    Problem,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Well: what was seen.
    Ok(String),
    /// Not known: why, and how it could be.
    Unknown(String, Option<String>),
    /// Something is wrong with the installation itself.
    Installation(Installation),
    /// Something is wrong with what it works with and for.
    Work(Work),
}

/// As many as a line names.
const NAMED: usize = 5;

impl Finding {
    /// Its name, which does not change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Unknown(..) => "unknown",
            Self::Installation(found) => found.code(),
            Self::Work(found) => found.code(),
        }
    }

    /// How the check ended.
    pub const fn health(&self) -> Health {
        match self {
            Self::Ok(_) => Health::Ok,
            Self::Unknown(..) => Health::Unknown,
            Self::Installation(_) | Self::Work(_) => Health::Problem,
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::Ok(what) | Self::Unknown(what, _) => what.clone(),
            Self::Installation(found) => found.says(),
            Self::Work(found) => found.says(),
        }
    }

    /// What to do about it, where there is something.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Ok(_) => None,
            Self::Unknown(_, cure) => cure.clone(),
            Self::Installation(found) => found.cure(),
            Self::Work(found) => Some(found.cure().to_owned()),
        }
    }
}

impl From<Installation> for Finding {
    fn from(found: Installation) -> Self {
        Self::Installation(found)
    }
}

impl From<Work> for Finding {
    fn from(found: Work) -> Self {
        Self::Work(found)
    }
}

fn listed(all: &[String]) -> String {
    let shown: Vec<_> = all.iter().take(NAMED).map(String::as_str).collect();
    let more = all.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("; and {more} more"));
    format!("{}{}", shown.join("; "), more.unwrap_or_default())
}

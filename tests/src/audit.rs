//! The API server's audit log: who wrote what, and when. The host's policy keeps it short.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// The log of the cluster in the environment.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

/// One write, answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// `create`, `update` …
    pub verb: String,
    /// Whose.
    pub user: User,
    /// Of what.
    #[serde(default)]
    pub object_ref: ObjectRef,
    /// When it was answered.
    pub stage_timestamp: Timestamp,
    #[serde(rename = "requestURI")]
    uri: String,
    response_status: Option<Status>,
}

/// Who wrote.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// As the API server knows them.
    pub username: String,
}

/// What was written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    /// Plural, in small letters.
    pub resource: String,
    /// `status` …
    pub subresource: String,
    /// Empty for what belongs to the cluster.
    pub namespace: String,
    /// Empty where the API server chooses it.
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Write {
    /// Whether nothing was stored.
    pub fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=All")
    }

    /// Whether it was done.
    pub fn succeeded(&self) -> bool {
        let code = self.response_status.as_ref().and_then(|status| status.code);
        code.is_some_and(|code| code < 300)
    }

    /// In a line.
    pub fn line(&self) -> String {
        let ObjectRef {
            resource,
            subresource,
            namespace,
            name,
        } = &self.object_ref;
        format!(
            "{} {} {} {resource}/{subresource} {namespace}/{name}{}",
            self.stage_timestamp,
            self.user.username,
            self.verb,
            if self.is_dry_run() { " (dry run)" } else { "" }
        )
    }
}

impl Audit {
    /// The log that the test host writes.
    pub fn new() -> Result<Self> {
        let path = std::env::var_os("CLB_GATE_AUDIT_LOG")
            .context("CLB_GATE_AUDIT_LOG is not set: run this in the test host")?;
        Ok(Self { path: path.into() })
    }

    /// Its end now.
    pub fn end(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.path)?.len())
    }

    /// What was written behind a place of [`end`](Self::end).
    pub fn since(&self, place: u64) -> Result<Vec<Write>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(place))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may still be under way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }
}

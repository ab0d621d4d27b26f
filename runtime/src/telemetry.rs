//! Logs: one JSON object a line in a container, plain text on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is logged when nobody says otherwise. kube and its transport log every request at info.
const DEFAULT_FILTER: &str = "info,kube=warn,hyper=warn,rustls=warn,tower=warn";
/// Environment variables that set the filter, first one wins.
const FILTER_VARIABLES: [&str; 2] = ["CLB_GATE_LOG", "RUST_LOG"];
/// Environment variable that sets the format: `json` or `text`.
const FORMAT_VARIABLE: &str = "LOG_FORMAT";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("{variable}={value:?} is not a log filter such as `info,kube=debug`")]
    Filter {
        /// The environment variable.
        variable: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The format is not one of ours.
    #[error("{FORMAT_VARIABLE}={0:?} is neither `json` nor `text`")]
    Format(String),
    /// Someone else installed a subscriber.
    #[error("logging is set up already")]
    Twice,
}

/// Sets up logging for the process, from its environment. Logs go to standard error.
pub fn init() -> Result<(), TelemetryError> {
    let filter = filter(|name| std::env::var(name).ok())?;
    let asked = std::env::var(FORMAT_VARIABLE).ok();
    let format = format(asked.as_deref(), std::io::stderr().is_terminal())?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Json => builder.json().flatten_event(true).finish_and_set(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .finish_and_set(),
    };
    installed.map_err(|()| TelemetryError::Twice)
}

trait FinishAndSet {
    fn finish_and_set(self) -> Result<(), ()>;
}

impl<N, E, F, W> FinishAndSet for fmt::SubscriberBuilder<N, E, F, W>
where
    Self: Into<tracing::Dispatch>,
{
    fn finish_and_set(self) -> Result<(), ()> {
        tracing::dispatcher::set_global_default(self.into()).map_err(|_| ())
    }
}

fn filter(read: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, TelemetryError> {
    let set = FILTER_VARIABLES
        .into_iter()
        .find_map(|variable| Some((variable, read(variable)?)));
    let Some((variable, value)) = set else {
        return Ok(EnvFilter::new(DEFAULT_FILTER));
    };
    EnvFilter::try_new(&value).map_err(|source| TelemetryError::Filter {
        variable,
        value,
        source,
    })
}

fn format(asked: Option<&str>, terminal: bool) -> Result<LogFormat, TelemetryError> {
    match asked {
        None if terminal => Ok(LogFormat::Text),
        None | Some("json") => Ok(LogFormat::Json),
        Some("text") => Ok(LogFormat::Text),
        Some(other) => Err(TelemetryError::Format(other.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_unless_a_person_looks() {
        assert_eq!(format(None, true).unwrap(), LogFormat::Text);
        assert_eq!(format(None, false).unwrap(), LogFormat::Json);
        assert_eq!(format(Some("text"), false).unwrap(), LogFormat::Text);
        assert!(format(Some("xml"), false).is_err());
    }

    #[test]
    fn our_own_variable_goes_first_and_nonsense_is_named() {
        let both = |name: &str| {
            Some(
                if name == "CLB_GATE_LOG" {
                    "debug"
                } else {
                    "error"
                }
                .to_owned(),
            )
        };
        assert_eq!(filter(both).unwrap().to_string(), "debug");
        let bad = |name: &str| (name == "RUST_LOG").then(|| "a=b=c".to_owned());
        assert!(
            filter(bad)
                .unwrap_err()
                .to_string()
                .starts_with("RUST_LOG=\"a=b=c\"")
        );
    }
}

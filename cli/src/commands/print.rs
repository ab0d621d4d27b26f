//! Output, for people and for pipes.

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints a text. Whoever reads only its beginning (`| head`) has seen enough.
pub(super) fn out(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot print to standard output"),
    }
}

/// The same for a line of progress: where it cannot be printed, the work goes on.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

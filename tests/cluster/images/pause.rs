//! Holds a pod's namespaces: waits for the signal to end, and does nothing else.

use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    let ends = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    match ends.thread_block().and_then(|()| ends.wait()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pause: {error}");
            ExitCode::FAILURE
        }
    }
}

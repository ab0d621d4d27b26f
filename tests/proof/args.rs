//! The flags of `make proof`.

use std::path::PathBuf;

use clap::Parser;
use clb_gate_tests::proof::arm::Arm;
use clb_gate_tests::proof::plan::Size;
use clb_gate_tests::proof::run::Options;

/// What arm d makes in the whole proof, and in the quick one.
const REQUESTS: u64 = 1_000_000;
const QUICK_REQUESTS: u64 = 20_000;
/// In the quick one the pods leave sooner.
const QUICK_DRAIN_SECONDS: u32 = 10;

/// A rollout that nobody notices, and what others notice
#[derive(Clone, Debug, Parser)]
#[command(name = "proof")]
pub(crate) struct Args {
    /// Short rounds
    #[arg(long)]
    quick: bool,
    /// Pods of an arm
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(4..=100))]
    replicas: u32,
    /// Requests a second
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(10..=2_000))]
    rate: u32,
    /// Requests that arm d makes at least [default: 1000000, with --quick 20000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Which arms, e.g. a,b,d: a and a2 NodePort, b direct, c gate, d gate and drain, e crashes
    #[arg(long, value_delimiter = ',', default_value = "a,a2,b,c,d,e")]
    arms: Vec<Arm>,
    /// Where to write the figures and the page
    #[arg(long, value_name = "DIR", default_value = "target/proof")]
    pub(crate) out: PathBuf,
    /// Write so many seconds of preStop sleep into the pods of d and e by hand, for comparison
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=300))]
    pre_stop: Option<u32>,
}

impl Args {
    pub(crate) fn options(&self) -> Options {
        let (size, requests) = if self.quick {
            (Size::Quick, QUICK_REQUESTS)
        } else {
            (Size::Whole, REQUESTS)
        };
        Options {
            name: "proof".to_owned(),
            size,
            rate: self.rate,
            replicas: self.replicas,
            requests: self.requests.unwrap_or(requests),
            drain_seconds: self.quick.then_some(QUICK_DRAIN_SECONDS),
            pre_stop: self.pre_stop,
        }
    }

    /// Each once, in the order in which they run.
    pub(crate) fn arms(&self) -> Vec<Arm> {
        let mut arms = self.arms.clone();
        arms.sort();
        arms.dedup();
        arms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Args, String> {
        let words = [&["proof"], flags].concat();
        Args::try_parse_from(words).map_err(|error| {
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        })
    }

    #[test]
    fn without_flags_it_is_the_whole_proof() {
        let args = parse(&[]).unwrap();
        let options = args.options();
        assert_eq!(args.arms(), Arm::ALL);
        assert_eq!((options.requests, options.size), (REQUESTS, Size::Whole));
        assert_eq!(options.drain_seconds, None);
    }

    #[test]
    fn each_arm_runs_once_and_in_order() {
        let args = parse(&["--arms", "d,a,d", "--quick"]).unwrap();
        assert_eq!(args.arms(), [Arm::NodePort, Arm::Drain]);
        assert_eq!(args.options().requests, QUICK_REQUESTS);
    }

    #[test]
    fn a_bad_flag_is_told_with_what_is_accepted() {
        for (flags, part) in [
            (["--arms", "x"], "a, a2, b, c, d, e"),
            (["--rate", "5000"], "10..=2000"),
            (["--replicas", "0"], "4..=100"),
            (["--requests", "0"], "0"),
        ] {
            let told = parse(&flags).unwrap_err();
            assert!(told.contains(part) && told.contains(flags[0]), "{told}");
        }
    }
}

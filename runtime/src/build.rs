//! Which version runs, as a metric.

use prometheus_client::{metrics::info::Info, registry::Registry};

/// Makes the version known to `/metrics`, as `clb_gate_build_info`.
pub fn register(registry: &mut Registry) {
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    registry.register(
        "clb_gate_build",
        "The version that runs",
        Info::new(version),
    );
}

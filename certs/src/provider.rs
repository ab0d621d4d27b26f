//! The one place of the house that chooses who does the cryptography. Everything that speaks TLS or
//! signs uses what this module returns, so that two providers can never meet in one process.

use rustls::crypto::{CryptoProvider, ring};
use std::sync::{Arc, LazyLock};

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(ring::default_provider()));

/// Ring: small, builds statically without cmake, and fast at P-256, the only curve we issue.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// Makes [`provider`] the process default, for libraries that build their own TLS settings (kube).
/// Calling it again changes nothing.
pub fn install() {
    // An error means that a default exists already, which is what the caller wants.
    let _ = ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    #[test]
    fn installing_twice_is_fine() {
        super::install();
        super::install();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}

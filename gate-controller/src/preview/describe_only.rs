//! The second line of defence towards the CLB: whatever the code above does, no write leaves.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use clb::{Exchange, Exchanging, Failure};
use http::HeaderMap;

/// The header that names the action (API v3's common parameters).
const ACTION: &str = "x-tc-action";
/// Every action that reads begins with it, and none that writes.
const READS: &str = "Describe";

/// Lets through only actions that read. A write is refused before it is sent.
pub struct DescribeOnly {
    inner: Arc<dyn Exchange>,
}

impl DescribeOnly {
    /// Sends what it lets through by `inner`.
    pub fn over(inner: Arc<dyn Exchange>) -> Self {
        Self { inner }
    }
}

impl fmt::Debug for DescribeOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DescribeOnly")
    }
}

impl Exchange for DescribeOnly {
    fn exchange(&self, headers: HeaderMap, body: Bytes) -> Exchanging<'_> {
        let action = headers.get(ACTION).and_then(|name| name.to_str().ok());
        if action.is_some_and(|name| name.starts_with(READS)) {
            return self.inner.exchange(headers, body);
        }
        let refused = format!(
            "{} is not sent: this is a preview, which only reads",
            action.unwrap_or("a call without an action")
        );
        Box::pin(async move { Err(Failure::Unsent(refused.into())) })
    }
}

#[cfg(test)]
mod tests {
    use clb::{Access, Answer};
    use http::{HeaderValue, StatusCode};

    use super::*;

    struct Open;

    impl Exchange for Open {
        fn exchange(&self, _: HeaderMap, body: Bytes) -> Exchanging<'_> {
            let status = StatusCode::OK;
            Box::pin(async move { Ok(Answer { status, body }) })
        }
    }

    #[tokio::test]
    async fn every_read_passes_and_no_write_does() {
        let guard = DescribeOnly::over(Arc::new(Open));
        for action in clb::actions() {
            let mut headers = HeaderMap::new();
            headers.insert("X-TC-Action", HeaderValue::from_static(action.name));
            let passed = guard.exchange(headers, Bytes::new()).await.is_ok();
            assert_eq!(passed, action.access == Access::Read, "{}", action.name);
        }
        let nameless = guard.exchange(HeaderMap::new(), Bytes::new()).await;
        assert!(matches!(nameless, Err(Failure::Unsent(_))));
    }
}

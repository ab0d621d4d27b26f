//! An API that answers what the test says and remembers what it was asked. It speaks HTTP by hand,
//! because half of what is tested is a server that does not.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clb::{Called, Client, Config, Credentials, Endpoint, Observer, StaticCredentials};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the API does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers with status 200 and this body.
    Body(String),
    /// Closes the connection without an answer.
    Cut,
    /// Answers with status 200 and this body, and closes the connection.
    Last(String),
    /// Reads the request and never answers.
    Never,
    /// Sends part of an answer and closes the connection.
    Part,
    /// Answers with this status and body.
    Status(u16, String),
    /// Answers with this many bytes.
    Zeros(usize),
}

/// A successful answer with these fields.
pub(crate) fn ok(fields: &str) -> Reply {
    let comma = if fields.is_empty() { "" } else { "," };
    Reply::Body(format!(
        r#"{{"Response":{{{fields}{comma}"RequestId":"req-ok"}}}}"#
    ))
}

/// The API's answer to a call it refuses.
pub(crate) fn refusal(code: &str, message: &str) -> Reply {
    Reply::Body(format!(
        r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"{message}"}},"RequestId":"req-no"}}}}"#
    ))
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: serde_json::Value,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
}

pub(crate) struct Api {
    pub(crate) port: u16,
    script: Arc<Script>,
    _serving: JoinSet<()>,
}

impl Api {
    /// Serves plain HTTP with these replies, in order.
    pub(crate) async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::over(replies, |stream| async { Some(stream) }).await
    }

    /// The same with each connection wrapped first.
    pub(crate) async fn over<S, F>(
        replies: impl IntoIterator<Item = Reply>,
        wrap: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Script::default());
        script.replies.lock().unwrap().extend(replies);
        let (mut serving, shared) = (JoinSet::new(), script.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (wrapped, script) = (wrap(stream), shared.clone());
                connections.spawn(async move {
                    if let Some(stream) = wrapped.await {
                        let _ = serve(BufReader::new(stream), &script).await;
                    }
                });
            }
        });
        Self {
            port,
            script,
            _serving: serving,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        format!("http://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// What was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().unwrap().clone()
    }

    /// A client of this API.
    pub(crate) fn client(&self) -> Client {
        Client::new(config(self.endpoint())).unwrap()
    }
}

pub(crate) fn config(endpoint: Endpoint) -> Config {
    let credentials = StaticCredentials(Credentials {
        secret_id: "AKIDexample".into(),
        secret_key: "key-nobody-may-see".into(),
        token: Some("token-nobody-may-see".into()),
    });
    let now = jiff::Timestamp::from_second(1_551_113_065).unwrap();
    let region = "ap-guangzhou".parse().unwrap();
    let mut config = Config::new(
        endpoint,
        region,
        Arc::new(credentials),
        Arc::new(move || now),
    );
    // Far more than any of these calls takes; a test that ends by it fails.
    config.call_timeout = Duration::from_secs(30);
    config
}

/// Remembers every attempt as `ACTION OUTCOME CODE`, with a `+` where another followed.
#[derive(Default)]
pub(crate) struct Attempts(pub(crate) Mutex<Vec<String>>);

impl Observer for Attempts {
    fn called(&self, call: Called<'_>) {
        let code = call.code.unwrap_or("-");
        let more = if call.retried { " +" } else { "" };
        let line = format!("{} {} {code}{more}", call.action, call.outcome);
        self.0.lock().unwrap().push(line);
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    script: &Script,
) -> std::io::Result<()> {
    while let Some(request) = read(&mut stream).await? {
        script.requests.lock().unwrap().push(request);
        let reply = script.replies.lock().unwrap().pop_front();
        let reply = reply.unwrap_or_else(|| refusal("InvalidAction", "the script has ended"));
        if !answer(&mut stream, reply).await? {
            break;
        }
    }
    stream.shutdown().await
}

/// Reads one request, or `None` where the client closed the connection.
async fn read<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<Option<Request>> {
    let (mut line, mut headers) = (String::new(), HashMap::new());
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.insert(name.trim().to_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(Ok(0), |text| text.parse());
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request {
        line: line.trim().to_owned(),
        headers,
        // A GET has none.
        body: match body.as_slice() {
            [] => serde_json::Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        },
    }))
}

/// Gives one answer; `false` when the connection is to be closed.
async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, reply: Reply) -> std::io::Result<bool> {
    let head = |status, length: usize| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let (text, on) = match reply {
        Reply::Body(body) => (head(200, body.len()) + &body, true),
        Reply::Cut => (String::new(), false),
        Reply::Last(body) => (head(200, body.len()) + &body, false),
        Reply::Never => return std::future::pending().await,
        Reply::Part => (head(200, 100) + r#"{"Response":"#, false),
        Reply::Status(status, body) => (head(status, body.len()) + &body, true),
        Reply::Zeros(length) => (head(200, length) + &"0".repeat(length), true),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    Ok(on)
}

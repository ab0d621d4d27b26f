//! HTTP listeners: rules by host and path, what targets are told, sessions, health, upgrades.

use crate::support::{LB, Sim, config, eventually};
use crate::web::{Web, ask, ask_from, get, listener, rule, target, unbind, websocket};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PORT: u16 = 18081;

fn http() -> Value {
    json!({ "Protocol": "HTTP" })
}

async fn weigh(sim: &Sim, (listener, location): (&str, &str), web: &Web, weight: u8) {
    let mut fields = target(listener, location, web);
    fields.as_object_mut().unwrap().remove("ListenerId");
    fields.as_object_mut().unwrap().remove("LocationId");
    fields["Weight"] = json!(weight);
    let item = json!({ "ListenerId": listener, "LocationId": location, "Targets": [fields] });
    let body = json!({ "LoadBalancerId": LB, "ModifyList": [item] });
    sim.done("BatchModifyTargetWeight", body).await;
}

#[tokio::test]
async fn two_hosts_and_three_paths_reach_their_own_targets() {
    let sim = Sim::start(config(70)).await;
    let vip = sim.vip().await;
    let (shop, cart, blog, any) = (
        Web::start("shop").await,
        Web::start("cart").await,
        Web::start("blog").await,
        Web::start("any").await,
    );
    let listener = listener(&sim, PORT, http()).await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "shop.example", "Url": "/" }),
        &[&shop],
    )
    .await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "shop.example", "Url": "/cart" }),
        &[&cart],
    )
    .await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "blog.example", "Url": "/posts" }),
        &[&blog],
    )
    .await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "*.example", "Url": "/", "HealthCheck": { "HealthSwitch": 0, "HttpCheckDomain": "news.example" } }),
        &[&any],
    )
    .await;
    for (host, path, wanted) in [
        ("shop.example", "/", "shop"),
        ("SHOP.example:18081", "/x?y=/cart", "shop"),
        ("shop.example", "/cart/1", "cart"),
        ("blog.example", "/posts/7", "blog"),
        ("news.example", "/posts", "any"),
        ("stranger.test", "/cart", "cart"),
    ] {
        let got = ask((&vip, PORT), get(host, path)).await.unwrap();
        assert_eq!((got.status, got.name()), (200, wanted), "{host} {path}");
        assert_eq!(got.said["path"], path);
    }
    let lost = ask((&vip, PORT), get("blog.example", "/")).await.unwrap();
    assert_eq!(
        (lost.status, lost.name()),
        (404, ""),
        "no rule for this path"
    );
}

#[tokio::test]
async fn targets_learn_who_asked_and_clients_do_not_see_their_connection() {
    let sim = Sim::start(config(71)).await;
    let vip = sim.vip().await;
    let web = Web::start("web").await;
    let listener = listener(&sim, PORT, http()).await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": vip, "Url": "/" }),
        &[&web],
    )
    .await;
    let mut request = get(&vip, "/x");
    *request.method_mut() = http::Method::POST;
    *request.body_mut() = Full::from(vec![7; 100_000]);
    let headers = request.headers_mut();
    headers.insert("x-forwarded-for", "10.9.8.7".parse().unwrap());
    headers.insert("x-real-ip", "10.9.8.7".parse().unwrap());
    let got = ask_from([127, 0, 0, 77].into(), (&vip, PORT), request)
        .await
        .unwrap();
    assert_eq!((got.status, &got.said["body"]), (200, &json!(100_000)));
    assert_eq!(got.said["version"], "HTTP/1.1");
    assert_eq!(got.header("x-forwarded-for"), "10.9.8.7, 127.0.0.77");
    assert_eq!(got.header("x-real-ip"), "127.0.0.77");
    assert_eq!(
        (
            got.header("x-client-proto"),
            got.header("x-forwarded-proto")
        ),
        ("http", "http")
    );
    assert_eq!(
        (got.header("host"), got.header("connection")),
        (vip.as_str(), "close")
    );
    assert!(!got.headers.contains_key("keep-alive"));
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_target_while_that_may_serve() {
    let sim = Sim::start(config(72)).await;
    let vip = sim.vip().await;
    let (one, two) = (Web::start("one").await, Web::start("two").await);
    let listener = listener(&sim, PORT, http()).await;
    let fields = json!({ "Domain": "a.example", "Url": "/", "SessionExpireTime": 60 });
    let location = rule(&sim, &listener, fields, &[&one, &two]).await;
    let at = (vip.as_str(), PORT);
    let names: BTreeSet<String> = {
        let mut names = BTreeSet::new();
        for _ in 0..4 {
            let got = ask(at, get("a.example", "/")).await.unwrap();
            names.insert(got.name().to_owned());
        }
        names
    };
    assert_eq!(names.len(), 2, "without a cookie they take turns");
    let first = ask(at, get("a.example", "/")).await.unwrap();
    let cookie = first.cookie().unwrap().to_owned();
    assert!(cookie.starts_with("tgw_l7_route="));
    let with_cookie = |cookie: &str| {
        let mut request = get("a.example", "/");
        request
            .headers_mut()
            .insert("cookie", cookie.parse().unwrap());
        request
    };
    for _ in 0..6 {
        let got = ask(at, with_cookie(&cookie)).await.unwrap();
        assert_eq!((got.name(), got.cookie()), (first.name(), None));
    }
    let (its, other) = if first.name() == "one" {
        (&one, "two")
    } else {
        (&two, "one")
    };
    weigh(&sim, (&listener, &location), its, 0).await;
    let moved = ask(at, with_cookie(&cookie)).await.unwrap();
    assert_eq!(moved.name(), other, "weight 0 takes no new request");
    assert!(moved.cookie().is_some_and(|new| new != cookie));
    let renamed = json!({
        "LoadBalancerId": LB, "ListenerId": listener, "LocationId": location, "CookieName": "mine",
    });
    sim.done("ModifyRule", renamed).await;
    let got = ask(at, get("a.example", "/")).await.unwrap();
    assert!(got.cookie().unwrap().starts_with("mine="));
    let off = json!({
        "LoadBalancerId": LB, "ListenerId": listener, "LocationId": location, "SessionExpireTime": 0,
    });
    sim.done("ModifyRule", off).await;
    assert!(
        ask(at, get("a.example", "/"))
            .await
            .unwrap()
            .cookie()
            .is_none()
    );
}

#[tokio::test]
async fn schedulers_differ_and_change_in_place() {
    let sim = Sim::start(config(73)).await;
    let vip = sim.vip().await;
    let (one, two) = (Web::start("one").await, Web::start("two").await);
    let listener = listener(&sim, PORT, http()).await;
    let fields = json!({ "Domain": "a.example", "Url": "/", "Scheduler": "IP_HASH" });
    let location = rule(&sim, &listener, fields, &[&one, &two]).await;
    let at = (vip.as_str(), PORT);
    let mut chosen = BTreeSet::new();
    for client in 1..=16 {
        let client = [127, 0, 1, client].into();
        let first = ask_from(client, at, get("a.example", "/")).await.unwrap();
        for _ in 0..3 {
            let again = ask_from(client, at, get("a.example", "/")).await.unwrap();
            assert_eq!(again.name(), first.name());
        }
        chosen.insert(first.name().to_owned());
    }
    assert_eq!(chosen.len(), 2, "other addresses, other targets");
    let wrr = json!({
        "LoadBalancerId": LB, "ListenerId": listener, "LocationId": location, "Scheduler": "WRR",
    });
    sim.done("ModifyRule", wrr).await;
    weigh(&sim, (&listener, &location), &one, 30).await;
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..40 {
        let got = ask(at, get("a.example", "/")).await.unwrap();
        *tally.entry(got.name().to_owned()).or_default() += 1;
    }
    assert_eq!((tally["one"], tally["two"]), (30, 10), "three to one");
}

/// `HealthStatusDetail` by domain, url and port.
async fn health(sim: &Sim) -> BTreeMap<(String, String, u64), String> {
    let body = json!({ "LoadBalancerIds": [LB] });
    let answer = sim.ok("DescribeTargetHealth", body).await;
    let rules = answer["LoadBalancers"][0]["Listeners"][0]["Rules"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut found = BTreeMap::new();
    for rule in rules.as_array().unwrap() {
        for target in rule["Targets"].as_array().unwrap() {
            let key = (
                text(&rule["Domain"]),
                text(&rule["Url"]),
                target["Port"].as_u64().unwrap(),
            );
            found.insert(key, text(&target["HealthStatusDetail"]));
        }
    }
    found
}

#[tokio::test]
async fn a_rule_s_own_health_check_decides_who_is_asked() {
    let sim = Sim::start(config(74)).await;
    let vip = sim.vip().await;
    let (good, bad) = (Web::start("good").await, Web::start("bad").await);
    bad.health.store(500, Ordering::Relaxed);
    let listener = listener(&sim, PORT, http()).await;
    let check = json!({
        "IntervalTime": 3, "TimeOut": 2, "HealthNum": 2, "UnHealthNum": 2, "HttpCode": 2,
        "HttpCheckPath": "/health", "HttpCheckMethod": "GET",
    });
    let fields = json!({ "Domain": "a.example", "Url": "/", "HealthCheck": check });
    rule(&sim, &listener, fields, &[&good, &bad]).await;
    let at = (vip.as_str(), PORT);
    let key = |web: &Web| {
        (
            "a.example".to_owned(),
            "/".to_owned(),
            u64::from(web.address.port()),
        )
    };
    let judged = |of: Value| {
        let wanted: BTreeMap<_, _> =
            [(key(&good), of[0].clone()), (key(&bad), of[1].clone())].into();
        let sim = &sim;
        async move {
            let found = health(sim).await;
            wanted.iter().all(|(key, detail)| detail == &found[key])
        }
    };
    eventually("one alive, one dead", || judged(json!(["Alive", "Dead"]))).await;
    for _ in 0..6 {
        let got = ask(at, get("a.example", "/")).await.unwrap();
        assert_eq!(got.name(), "good");
    }
    bad.health.store(204, Ordering::Relaxed);
    eventually("both alive", || judged(json!(["Alive", "Alive"]))).await;
    let mut names = BTreeSet::new();
    for _ in 0..6 {
        let got = ask(at, get("a.example", "/")).await.unwrap();
        names.insert(got.name().to_owned());
    }
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn a_websocket_goes_through_and_ends_with_its_target() {
    let sim = Sim::start(config(75)).await;
    let vip = sim.vip().await;
    let web = Web::start("web").await;
    let listener = listener(&sim, PORT, http()).await;
    let fields = json!({ "Domain": "a.example", "Url": "/" });
    let location = rule(&sim, &listener, fields, &[&web]).await;
    let stream = TcpStream::connect((vip.as_str(), PORT)).await.unwrap();
    let (name, mut socket) = websocket(stream, "a.example", "/ws").await.unwrap();
    assert_eq!(name, "web");
    let mut back = [0; 4];
    for word in [b"ping", b"pong"] {
        socket.write_all(word).await.unwrap();
        socket.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, word);
    }
    weigh(&sim, (&listener, &location), &web, 0).await;
    socket.write_all(b"more").await.unwrap();
    socket.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"more", "weight 0 keeps what there is");
    unbind(&sim, &listener, &location, &web).await;
    assert!(!matches!(socket.read(&mut back).await, Ok(1..)));
}

#[tokio::test]
async fn a_request_whose_target_is_deregistered_is_lost() {
    let sim = Sim::start(config(76)).await;
    let vip = sim.vip().await;
    let web = Web::start("web").await;
    let listener = listener(&sim, PORT, http()).await;
    let fields = json!({ "Domain": "a.example", "Url": "/" });
    let location = rule(&sim, &listener, fields, &[&web]).await;
    let asked = ask((&vip, PORT), get("a.example", "/slow"));
    let deregister = async {
        let under_way = || async {
            let got = ask((&vip, PORT), get("a.example", "/")).await;
            got.is_some_and(|got| got.status == 200)
        };
        eventually("the rule to serve", under_way).await;
        unbind(&sim, &listener, &location, &web).await;
    };
    let (got, ()) = tokio::join!(asked, deregister);
    assert!(got.is_none(), "{got:?}");
    let nobody = ask((&vip, PORT), get("a.example", "/")).await.unwrap();
    assert_eq!(nobody.status, 503);
}

#[tokio::test]
async fn what_does_not_work_is_answered_by_the_load_balancer() {
    let sim = Sim::start(config(77)).await;
    let vip = sim.vip().await;
    let at = (vip.as_str(), PORT);
    let gone = Web::start("gone").await;
    let listener = listener(&sim, PORT, http()).await;
    assert_eq!(
        ask(at, get("a.example", "/")).await.unwrap().status,
        404,
        "no rule at all"
    );
    let fields = json!({ "Domain": "a.example", "Url": "/" });
    rule(&sim, &listener, fields, &[&gone]).await;
    let address = gone.address;
    drop(gone);
    let refuses = || async { TcpListener::bind(address).await.is_ok() };
    eventually("the target to go", refuses).await;
    assert_eq!(ask(at, get("a.example", "/")).await.unwrap().status, 502);
    let huge = Request::post("/").header("host", "a.example");
    let huge = huge.header("content-length", 60 * 1024 * 1024 + 1);
    let status = {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let head = huge.body(Full::<Bytes>::default()).unwrap();
        let length = head.headers()["content-length"]
            .to_str()
            .unwrap()
            .to_owned();
        let text =
            format!("POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        String::from_utf8(status.to_vec()).unwrap()
    };
    assert_eq!(status, "HTTP/1.1 413");
    let mut long = get("a.example", "/");
    let value = "x".repeat(40_000).parse().unwrap();
    long.headers_mut().insert("x-long", value);
    assert!(ask(at, long).await.is_none_or(|got| got.status == 431));
}

#[tokio::test]
async fn a_target_that_fails_three_times_is_passed_over() {
    let sim = Sim::start(config(78)).await;
    let vip = sim.vip().await;
    let at = (vip.as_str(), PORT);
    let (good, gone) = (Web::start("good").await, Web::start("gone").await);
    let listener = listener(&sim, PORT, http()).await;
    let fields = json!({ "Domain": "a.example", "Url": "/" });
    rule(&sim, &listener, fields, &[&good, &gone]).await;
    let address = gone.address;
    drop(gone);
    let refuses = || async { TcpListener::bind(address).await.is_ok() };
    eventually("the target to go", refuses).await;
    let mut failed = 0;
    for _ in 0..20 {
        let got = ask(at, get("a.example", "/")).await.unwrap();
        failed += usize::from(got.status == 502);
    }
    assert_eq!(failed, 3);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    use http_body_util::BodyExt;
    use hyper_util::rt::TokioIo;
    let sim = Sim::start(config(79)).await;
    let vip = sim.vip().await;
    let (one, two) = (Web::start("one").await, Web::start("two").await);
    let listener = listener(&sim, PORT, http()).await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "a.example", "Url": "/" }),
        &[&one, &two],
    )
    .await;
    let stream = TcpStream::connect((vip.as_str(), PORT)).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let requests = async move {
        let mut names = BTreeSet::new();
        for _ in 0..10 {
            sender.ready().await.unwrap();
            let response = sender.send_request(get("a.example", "/")).await.unwrap();
            names.insert(response.headers()["x-served-by"].clone());
            response.into_body().collect().await.unwrap();
        }
        names.len()
    };
    let (names, _) = tokio::join!(requests, connection);
    assert_eq!(names, 2, "each request is balanced");
}

#[tokio::test]
async fn security_groups_stop_clients_at_the_listener_and_requests_at_the_target() {
    let sim = Sim::start(config(69)).await;
    let vip = sim.vip().await;
    let web = Web::start("web").await;
    let listener = listener(&sim, PORT, http()).await;
    rule(
        &sim,
        &listener,
        json!({ "Domain": "a.example", "Url": "/" }),
        &[&web],
    )
    .await;
    let groups = json!({
        "groups": {
            "sg-own": [{ "protocol": "TCP", "ports": PORT.to_string(), "source": "127.0.0.0/28" }],
            "sg-pods": [],
        },
        "attached": [{ "addresses": "127.0.0.1/32", "groups": ["sg-pods"] }],
        "load_balancers": { LB: { "groups": ["sg-own"], "pass_to_target": true } },
    });
    let tell = async |body: Value| {
        let path = "/_sim/security-groups";
        assert_eq!(sim.operator("POST", path, &body.to_string()).await.0, 200);
    };
    tell(groups).await;
    let at = (vip.as_str(), PORT);
    let friend = [127, 0, 0, 7].into();
    let status = async || {
        let got = ask_from(friend, at, get("a.example", "/")).await;
        got.unwrap().status
    };
    assert_eq!(status().await, 200);
    let patience = std::time::Duration::from_millis(500);
    let stranger = ask_from([127, 0, 0, 66].into(), at, get("a.example", "/"));
    assert!(tokio::time::timeout(patience, stranger).await.is_err());
    tell(json!({ "load_balancers": { LB: { "pass_to_target": false } } })).await;
    assert_eq!(status().await, 504, "the target's group drops it");
}

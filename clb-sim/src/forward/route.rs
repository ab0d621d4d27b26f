//! Which rule a request belongs to, by host and path: pure.
//!
//! As the CLB documentation "Layer-7 domain name forwarding and URL rules" says. Of the domains that
//! match, an exact one comes before `*.example.com`, that before `www.example.*`, and that before a
//! regular expression (`~` in front); among equals the longer one. A host that none matches belongs
//! to the default domain. Of a domain's paths, `=` (exactly) comes before `^~` (a beginning), that
//! before `~` and `~*` (regular expressions, the latter in any case), and those before a plain
//! beginning; the longer first. Beginnings are compared as text, as nginx does: `/shop` matches
//! `/shopping`. Nothing is decoded: paths are compared as they were sent.

use crate::state::parts::Rule;
use regex::{Regex, RegexBuilder};

/// What may be remembered of a listener's rules to notice that they changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sign {
    location: String,
    domains: Vec<String>,
    url: String,
    default: bool,
}

/// The rules of a listener, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct Routes {
    rules: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    location: String,
    domains: Vec<Domain>,
    path: Path,
    default: bool,
}

#[derive(Debug)]
enum Domain {
    Exact(String),
    /// `*` in front.
    Ends(String),
    /// `*` at the end.
    Begins(String),
    Matches(Option<Regex>),
}

#[derive(Debug)]
enum Path {
    Exact(String),
    /// Before any regular expression.
    Firmly(String),
    Matches(Option<Regex>),
    Begins(String),
}

/// How well something matches: its kind, then its length.
type Rank = (u8, usize);

impl Sign {
    pub(super) fn of(rule: &Rule) -> Self {
        Self {
            location: rule.id.clone(),
            domains: rule.domains.clone(),
            url: rule.url.clone(),
            default: rule.default_server,
        }
    }

    pub(super) fn location(&self) -> &str {
        &self.location
    }
}

impl Routes {
    pub(super) fn new(signs: &[Sign]) -> Self {
        let route = |sign: &Sign| Route {
            location: sign.location.clone(),
            domains: sign.domains.iter().map(|text| Domain::read(text)).collect(),
            path: Path::read(&sign.url),
            default: sign.default,
        };
        Self {
            rules: signs.iter().map(route).collect(),
        }
    }

    /// The location id of the rule for a request.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&str> {
        let best = self.best_domain(host);
        let of_domain = |route: &&Route| match best {
            Some(best) => route.rank(host) == Some(best),
            None => route.default,
        };
        let candidates = self.rules.iter().filter(of_domain);
        let ranked = candidates.filter_map(|route| Some((route.path.rank(path)?, route)));
        let best = ranked.reduce(|one, other| if other.0 > one.0 { other } else { one });
        best.map(|(_, route)| route.location.as_str())
    }

    /// The location ids of the domain for a host: those that match best, or else the default ones.
    pub(super) fn of_domain(&self, host: Option<&str>) -> impl Iterator<Item = &str> {
        let best = host.and_then(|host| self.best_domain(host));
        let host = host.unwrap_or_default().to_owned();
        let its = move |route: &&Route| match best {
            Some(best) => route.rank(&host) == Some(best),
            None => route.default,
        };
        let routes = self.rules.iter().filter(its);
        routes.map(|route| route.location.as_str())
    }

    fn best_domain(&self, host: &str) -> Option<Rank> {
        self.rules.iter().filter_map(|route| route.rank(host)).max()
    }
}

impl Route {
    fn rank(&self, host: &str) -> Option<Rank> {
        self.domains
            .iter()
            .filter_map(|domain| domain.rank(host))
            .max()
    }
}

impl Domain {
    fn read(text: &str) -> Self {
        if let Some(pattern) = text.strip_prefix('~') {
            return Self::Matches(pattern_of(pattern, true));
        }
        let text = text.to_lowercase();
        if let Some(end) = text.strip_prefix('*') {
            return Self::Ends(end.to_owned());
        }
        match text.strip_suffix('*') {
            Some(beginning) => Self::Begins(beginning.to_owned()),
            None => Self::Exact(text),
        }
    }

    fn rank(&self, host: &str) -> Option<Rank> {
        let (matches, rank) = match self {
            Self::Exact(name) => (name == host, (3, name.len())),
            Self::Ends(end) => (longer(host, end) && host.ends_with(end), (2, end.len())),
            Self::Begins(text) => (
                longer(host, text) && host.starts_with(text),
                (1, text.len()),
            ),
            Self::Matches(pattern) => {
                let matches = pattern.as_ref().is_some_and(|each| each.is_match(host));
                (matches, (0, 0))
            }
        };
        matches.then_some(rank)
    }
}

impl Path {
    fn read(url: &str) -> Self {
        if let Some(path) = url.strip_prefix('=') {
            return Self::Exact(path.trim_start().to_owned());
        }
        if let Some(path) = url.strip_prefix("^~") {
            return Self::Firmly(path.trim_start().to_owned());
        }
        if let Some(pattern) = url.strip_prefix("~*") {
            return Self::Matches(pattern_of(pattern.trim_start(), true));
        }
        match url.strip_prefix('~') {
            Some(pattern) => Self::Matches(pattern_of(pattern.trim_start(), false)),
            None => Self::Begins(url.to_owned()),
        }
    }

    fn rank(&self, path: &str) -> Option<Rank> {
        let (matches, rank) = match self {
            Self::Exact(text) => (path == text, (3, 0)),
            Self::Firmly(text) => (path.starts_with(text), (2, text.len())),
            Self::Matches(pattern) => {
                let matches = pattern.as_ref().is_some_and(|each| each.is_match(path));
                (matches, (1, 0))
            }
            Self::Begins(text) => (path.starts_with(text), (0, text.len())),
        };
        matches.then_some(rank)
    }
}

/// A pattern that this library does not understand (look-around and back-references are nginx's, not
/// its own) matches nothing.
fn pattern_of(text: &str, any_case: bool) -> Option<Regex> {
    RegexBuilder::new(text)
        .case_insensitive(any_case)
        .build()
        .ok()
}

/// `*` stands for something.
fn longer(host: &str, part: &str) -> bool {
    host.len() > part.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rules as `domain url`, of which the first domain is the default; each is its own location.
    fn routes(rules: &[&str]) -> Routes {
        let default = rules.first().and_then(|rule| rule.split(' ').next());
        let sign = |rule: &&str| {
            let (domain, url) = rule.split_once(' ').unwrap();
            Sign {
                location: (*rule).to_owned(),
                domains: domain.split(',').map(str::to_owned).collect(),
                url: url.to_owned(),
                default: default == Some(domain),
            }
        };
        Routes::new(&rules.iter().map(sign).collect::<Vec<_>>())
    }

    const SHOP: &[&str] = &[
        "www.example.com /",
        "www.example.com /shop",
        "www.example.com /shop/cart",
        "www.example.com = /shop/exact",
        "www.example.com ~ \\.gif$",
        "www.example.com ~* \\.png$",
        "www.example.com ^~ /static/",
        "*.example.com /",
        "*.shop.example.com /",
        "www.example.* /",
        "~^www\\d+\\.example\\.net$ /",
        "one.test,two.test /x",
    ];

    #[rstest::rstest]
    #[case("www.example.com", "/", Some(0))]
    #[case("www.example.com", "/other", Some(0))]
    #[case("www.example.com", "/shop", Some(1))]
    #[case("www.example.com", "/shopping", Some(1))]
    #[case("www.example.com", "/shop/cart/7", Some(2))]
    #[case("www.example.com", "/shop/exact", Some(3))]
    #[case("www.example.com", "/shop/exactly", Some(1))]
    #[case("www.example.com", "/shop/a.gif", Some(4))]
    #[case("www.example.com", "/shop/a.GIF", Some(1))]
    #[case("www.example.com", "/shop/a.PNG", Some(5))]
    #[case("www.example.com", "/static/a.gif", Some(6))]
    #[case("ftp.example.com", "/shop", Some(7))]
    #[case("a.shop.example.com", "/", Some(8))]
    #[case("example.com", "/", Some(0))]
    #[case("www.example.org", "/", Some(9))]
    #[case("www7.example.net", "/", Some(10))]
    #[case("www.example.net", "/", Some(9))]
    #[case("two.test", "/x/y", Some(11))]
    #[case("one.test", "/y", None)]
    #[case("stranger.test", "/shop", Some(1))]
    #[case("198.18.0.1", "/", Some(0))]
    fn the_best_match_serves(#[case] host: &str, #[case] path: &str, #[case] rule: Option<usize>) {
        let found = routes(SHOP);
        assert_eq!(found.find(host, path), rule.map(|index| SHOP[index]));
    }

    #[test]
    fn without_rules_or_with_a_pattern_nobody_understands_nothing_matches() {
        assert_eq!(Routes::default().find("a.example", "/"), None);
        let odd = routes(&["~(?!a)b /", "a.example ~(?!a)b"]);
        assert_eq!(odd.find("b", "/"), Some("~(?!a)b /"), "only as the default");
        assert_eq!(odd.find("a.example", "/b"), None);
    }

    #[test]
    fn a_domain_is_found_for_a_handshake() {
        let found = routes(SHOP);
        let of = |host| found.of_domain(host).count();
        assert_eq!(of(Some("www.example.com")), 7);
        assert_eq!(of(Some("ftp.example.com")), 1);
        assert_eq!(of(Some("stranger.test")), 7, "the default domain's");
        assert_eq!(of(None), 7);
    }

    proptest! {
        #[test]
        fn among_plain_paths_the_longest_beginning_serves(
            paths in prop::collection::btree_set("/[ab]{0,4}", 1..12), asked in "/[ab]{0,6}",
        ) {
            let rules: Vec<String> = paths.iter().map(|path| format!("a.example {path}")).collect();
            let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
            let longest = paths.iter().filter(|path| asked.starts_with(*path)).max_by_key(|path| path.len());
            let wanted = longest.map(|path| format!("a.example {path}"));
            let routes = routes(&rules);
            prop_assert_eq!(routes.find("a.example", &asked), wanted.as_deref());
        }

        #[test]
        fn any_words_get_an_answer(domain in ".{0,20}", url in ".{0,20}", host in ".{0,20}", path in ".{0,20}") {
            let sign = Sign { location: "x".to_owned(), domains: vec![domain], url, default: true };
            let _ = Routes::new(&[sign]).find(&host, &path);
        }
    }
}

//! For whom a request is meant, by its own words. A page that a browser has loaded from elsewhere
//! can make it send requests to any address, also to one that a name was made to point at just now
//! (DNS rebinding). Such a request says which name the page thinks it speaks to, and from where the
//! page is.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

/// Where the API is reached: by its address, and by the names that it was told.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    listens: SocketAddr,
    named: Vec<HostName>,
}

/// A name under which the API is reached: `HOST` on any port, or `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName {
    host: String,
    port: Option<u16>,
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!("`{text}` is no host: expected NAME, or NAME:PORT ([ADDRESS]:PORT for IPv6)")
        };
        // An IPv6 address needs its brackets in a header.
        let bracketed = match text.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => text.to_owned(),
        };
        let authority: Authority = bracketed.parse().map_err(|_| expected())?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(expected());
        }
        // What is no number from 0 to 65535 is no port.
        let has_port = authority.as_str().len() > authority.host().len();
        let port = authority.port_u16();
        if has_port && port.is_none() {
            return Err(expected());
        }
        Ok(Self { host: authority.host().to_ascii_lowercase(), port })
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misdirected {
    /// It says nothing, or several things.
    #[error("a request has one Host header")]
    NoHost,
    /// It is for somebody else.
    #[error(
        "this API is not `{0}`: it is reached by the address that it listens on, and by the names \
         that wattle up --api-host was told"
    )]
    OtherHost(String),
    /// A page of somebody else has made a browser send it.
    #[error("a page of `{0}` may not use this API")]
    OtherOrigin(String),
}

impl Hosts {
    /// The API on `listens`, which is also called `named`.
    pub(super) fn new(listens: SocketAddr, named: Vec<HostName>) -> Self {
        Self { listens, named }
    }

    /// Whether a request is meant for this API, and not sent by the page of somebody else.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Misdirected> {
        let host = only(headers, header::HOST).ok_or(Misdirected::NoHost)?;
        // In the absolute form, the target counts before the header (RFC 9112, section 3.2.2): so
        // both have to be right.
        let target = uri.authority().map(Authority::as_str);
        for said in target.into_iter().chain([host]) {
            if !said.parse().is_ok_and(|said| self.is_ours(&said, 443)) {
                return Err(Misdirected::OtherHost(said.chars().take(100).collect()));
            }
        }
        check_origin(headers, |origin| {
            let host = origin.strip_prefix("https://");
            host.is_some_and(|host| host.parse().is_ok_and(|host| self.is_ours(&host, 443)))
        })
    }

    fn is_ours(&self, said: &HostName, usual: u16) -> bool {
        let port = said.port.unwrap_or(usual);
        let named =
            |name: &HostName| name.host == said.host && name.port.is_none_or(|named| named == port);
        if self.named.iter().any(named) {
            return true;
        }
        let ip = self.listens.ip();
        let plain = said.host.trim_start_matches('[').trim_end_matches(']');
        let is_here = match plain.parse::<IpAddr>() {
            // A name can be made to point here; an address is what it is.
            Ok(address) => ip.is_unspecified() || address == ip,
            Err(_) => plain == "localhost" && (ip.is_loopback() || ip.is_unspecified()),
        };
        is_here && port == self.listens.port()
    }
}

/// On a socket of this machine nothing is reached by a name: no page of anybody has business there.
pub(super) fn check_no_origin(headers: &HeaderMap) -> Result<(), Misdirected> {
    check_origin(headers, |_| false)
}

fn check_origin(headers: &HeaderMap, ours: impl Fn(&str) -> bool) -> Result<(), Misdirected> {
    for origin in headers.get_all(header::ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        if !ours(&origin) {
            return Err(Misdirected::OtherOrigin(origin.chars().take(100).collect()));
        }
    }
    Ok(())
}

/// The value of a header that stands there once.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(only), None) => only.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn check(listens: &str, named: &[&str], host: &str) -> bool {
        let named = named.iter().map(|name| name.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        Hosts::new(listens.parse().unwrap(), named).check(&Uri::from_static("/"), &headers).is_ok()
    }

    #[test]
    fn the_api_is_its_address_and_the_names_that_it_was_told() {
        for (listens, named, host, ours) in [
            ("192.0.2.1:4748", vec![], "192.0.2.1:4748", true),
            ("192.0.2.1:4748", vec![], "192.0.2.1:4749", false),
            ("192.0.2.1:4748", vec![], "192.0.2.1", false),
            ("192.0.2.1:443", vec![], "192.0.2.1", true),
            ("192.0.2.1:4748", vec![], "192.0.2.2:4748", false),
            ("192.0.2.1:4748", vec![], "evil.example:4748", false),
            ("192.0.2.1:4748", vec![], "localhost:4748", false),
            ("127.0.0.1:4748", vec![], "localhost:4748", true),
            ("127.0.0.1:4748", vec![], "LocalHost:4748", true),
            ("127.0.0.1:4748", vec![], "localhost.evil.example:4748", false),
            ("127.0.0.1:4748", vec![], "127.0.0.1.evil.example:4748", false),
            ("0.0.0.0:4748", vec![], "198.51.100.7:4748", true),
            ("0.0.0.0:4748", vec![], "evil.example:4748", false),
            ("[::]:4748", vec![], "[2001:db8::1]:4748", true),
            ("[2001:db8::1]:4748", vec![], "[2001:db8::1]:4748", true),
            ("[2001:db8::1]:4748", vec![], "[2001:db8::2]:4748", false),
            ("0.0.0.0:4748", vec!["node.example"], "node.example:9999", true),
            ("0.0.0.0:4748", vec!["node.example:443"], "node.example", true),
            ("0.0.0.0:4748", vec!["node.example:443"], "node.example:444", false),
            ("0.0.0.0:4748", vec!["node.example"], "node.example.evil.example", false),
            ("127.0.0.1:4748", vec![], "x@127.0.0.1:4748", false),
            ("127.0.0.1:4748", vec![], "127.0.0.1:4748:4748", false),
            ("127.0.0.1:4748", vec![], "127.0.0.1:", false),
            ("127.0.0.1:4748", vec![], "", false),
        ] {
            assert_eq!(check(listens, &named, host), ours, "{host} on {listens}, {named:?}");
        }
        for bad in ["", "a b", "https://x", "x/y", "x:y", "x@y"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_host_is_said_and_no_other_origin() {
        let hosts = Hosts::new("127.0.0.1:4748".parse().unwrap(), Vec::new());
        let mut headers = HeaderMap::new();
        let path = Uri::from_static("/v1/nodes");
        assert_eq!(hosts.check(&path, &headers), Err(Misdirected::NoHost));
        let host = HeaderValue::from_static("127.0.0.1:4748");
        headers.append(header::HOST, host.clone());
        assert_eq!(hosts.check(&path, &headers), Ok(()));
        let absolute = Uri::from_static("http://evil.example/v1/nodes");
        assert!(matches!(hosts.check(&absolute, &headers), Err(Misdirected::OtherHost(_))));
        for (origin, ours) in [
            ("https://127.0.0.1:4748", true),
            ("https://localhost:4748", true),
            ("http://127.0.0.1:4748", false),
            ("https://evil.example", false),
            ("https://evil.example:4748", false),
            ("null", false),
            ("", false),
        ] {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            assert_eq!(hosts.check(&path, &headers).is_ok(), ours, "{origin}");
            assert!(check_no_origin(&headers).is_err(), "{origin}");
        }
        headers.remove(header::ORIGIN);
        assert_eq!(check_no_origin(&headers), Ok(()));
        headers.append(header::HOST, host);
        assert_eq!(hosts.check(&path, &headers), Err(Misdirected::NoHost));
    }

    /// One of the two hosts that are meant, with any port that is one, or none.
    fn is_meant(text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let (host, port) = text.rsplit_once(':').unwrap_or((text.as_str(), "443"));
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let port = port.parse::<u16>();
        (host == "node.example" && port.is_ok()) || (host == "192.0.2.1" && port == Ok(4748))
    }

    proptest! {
        /// Whatever a browser is made to send: what is taken is one of the hosts that are meant, to
        /// the letter.
        #[test]
        fn nothing_else_is_taken_for_ours(
            meant in prop::sample::select(vec!["192.0.2.1:4748", "node.example", "NODE.example:80"]),
            at in any::<prop::sample::Index>(),
            inserted in "[a-z0-9.:@/?# %_-]{0,3}",
            removed in 0usize..2,
            other in "[a-zA-Z0-9.:@\\[\\]-]{0,24}",
            bytes in prop::collection::vec(any::<u8>(), 0..24),
        ) {
            let hosts = || {
                let named = vec!["node.example".parse().unwrap()];
                Hosts::new("192.0.2.1:4748".parse().unwrap(), named)
            };
            let at = at.index(meant.len());
            let changed = format!("{}{inserted}{}", &meant[..at], &meant[at + removed..]);
            for bytes in [changed.as_bytes(), other.as_bytes(), &bytes] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let mut headers = HeaderMap::new();
                headers.insert(header::HOST, value);
                if hosts().check(&Uri::from_static("/"), &headers).is_ok() {
                    let text = str::from_utf8(bytes).unwrap();
                    prop_assert!(is_meant(text), "{}", text);
                }
                // The same as the page that sends it; and on a socket no page at all.
                headers.insert(header::HOST, HeaderValue::from_static("node.example"));
                let page = [b"https://".as_slice(), bytes].concat();
                let Ok(page) = HeaderValue::from_bytes(&page) else { continue };
                headers.insert(header::ORIGIN, page);
                if hosts().check(&Uri::from_static("/"), &headers).is_ok() {
                    let text = str::from_utf8(bytes).unwrap();
                    prop_assert!(is_meant(text), "{}", text);
                }
                prop_assert!(check_no_origin(&headers).is_err());
            }
        }
    }
}

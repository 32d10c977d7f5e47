//! What a link grants of outgoing HTTP requests.

use http::{Request, Uri, header};
use http_body_util::Limited;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::ComponentId;
use wattle_contracts::record::{Asked, Grant, Missing, Rule};
use wattle_runtime::HttpBody;

use super::http_client::{allows, destination};

/// What a request asks for.
pub(crate) fn asked(request: &Request<HttpBody>) -> Result<Asked<'_>, CallError> {
    let nowhere = || CallError::new(ErrorKind::NotLinked, "the request names no host");
    let (host, port, usual) = destination(request.uri()).ok_or_else(nowhere)?;
    Ok(Asked::Http { method: request.method().as_str(), host, port, usual })
}

/// How many bytes its head says that its body has; 0 where it does not say.
pub(crate) fn announced(request: &Request<HttpBody>) -> u64 {
    let length = request.headers().get(header::CONTENT_LENGTH);
    length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// The request with a body that breaks off where it has more bytes than are granted.
pub(crate) fn limited(request: Request<HttpBody>, grant: &Grant) -> Request<HttpBody> {
    let Some(most) = grant.bytes_per_call else { return request };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    request.map(|body| HttpBody::new(Limited::new(body, most)))
}

/// Whether `provider`, which is declared for `hosts`, sends requests there, whoever asks.
pub(crate) fn served(provider: &ComponentId, hosts: &[String], uri: &Uri) -> Result<(), Missing> {
    if hosts.iter().any(|pattern| allows(pattern, uri)) {
        return Ok(());
    }
    let host: String = uri.host().unwrap_or_default().chars().take(80).collect();
    let what = format!("`{provider}` sends nothing to `{host}`; its `hosts` say where it does");
    Err(Missing::new(Rule::Host, what))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_that_says_nothing_of_its_length_breaks_off_at_the_limit() {
        let grant = Grant { bytes_per_call: Some(4), ..Grant::ALL };
        let body = |text: &'static str| {
            let request = Request::post("http://a.example:81/x").body(HttpBody::full(text));
            limited(request.unwrap(), &grant).into_body().collect()
        };
        assert_eq!(body("four").await.unwrap().to_bytes(), "four");
        assert!(body("fives").await.is_err());
        let request = Request::post("https://a.example/x").header("content-length", "7");
        let request = request.body(HttpBody::empty()).unwrap();
        assert_eq!(announced(&request), 7);
        let Asked::Http { method, host, port, usual } = asked(&request).unwrap() else {
            panic!("it is HTTP");
        };
        assert_eq!((method, host, port, usual), ("POST", "a.example", 443, 443));
    }
}

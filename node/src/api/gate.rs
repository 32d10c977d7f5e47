//! What stands before the API's paths: who asks, by what they show, and whether they may.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Router};
use futures::StreamExt as _;
use http_body_util::Limited;
use tokio::sync::Semaphore;
use wattle_contracts::artifact::MAX_ARTIFACT;
use wattle_contracts::audit::Happening;
use wattle_contracts::id::OperatorKey;
use wattle_contracts::trust::AccessToken;
use wattle_mesh::core::rights::Role;
use wattle_mesh::net::WallClock;

use super::caller::{Caller, Needs};
use super::handlers::failure;
use super::hosts::{Hosts, Misdirected, check_no_origin};
use super::tcp::Place;
use crate::daemon::Node;

/// The largest body of a request that brings no artifact, in bytes.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Artifacts that are taken at once: each is held in memory.
const UPLOADS: usize = 2;

/// How often it is asked again whether somebody may still have what is streamed.
const AGAIN: Duration = Duration::from_secs(2);

/// How much of what was asked for is written down, in characters.
const SHOWN: usize = 120;

/// Lets nothing through from the network that does not show for whom.
pub(super) struct Gate {
    node: Arc<Node>,
    hosts: Hosts,
    uploads: Semaphore,
}

/// Why a request is not answered.
struct Refusal {
    status: StatusCode,
    /// Whose token was shown, as far as that is proven.
    operator: Option<OperatorKey>,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl ToString) -> Self {
        Self { status, operator: None, why: why.to_string() }
    }
}

/// Lets the owner of the socket through, and no page in a browser.
pub(super) fn before_owner(app: Router) -> Router {
    app.layer(from_fn(pass_owner))
}

impl Gate {
    pub(super) fn new(node: Arc<Node>, hosts: Hosts) -> Self {
        Self { node, hosts, uploads: Semaphore::new(UPLOADS) }
    }

    /// Stands before the paths of `app`.
    pub(super) fn before(self: &Arc<Self>, app: Router) -> Router {
        app.layer(from_fn_with_state(Arc::clone(self), pass))
    }

    /// Who asks, if they may ask it.
    fn check(&self, place: &Place, request: &Request) -> Result<Caller, Refusal> {
        let headers = request.headers();
        self.hosts
            .check(request.uri(), headers)
            .map_err(|error| Refusal::new(status_of(&error), error))?;
        if place.is_barred() {
            let why = "so many tokens from this address were no good that none is looked at for a \
                       while";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, why));
        }
        let (key, role) = self.identify(headers).inspect_err(|refusal| {
            if refusal.status == StatusCode::UNAUTHORIZED {
                place.lied();
            }
        })?;
        let of = |status, why: String| Refusal { status, operator: Some(key), why };
        place.come_in().map_err(|error| of(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        Needs::of(request.method(), request.uri().path())
            .check(&role)
            .map_err(|why| of(StatusCode::FORBIDDEN, why))?;
        Ok(Caller::Operator { key, role })
    }

    /// Whose token this is, and what that one may now.
    fn identify(&self, headers: &HeaderMap) -> Result<(OperatorKey, Role), Refusal> {
        let refuse = |why: String| Refusal::new(StatusCode::UNAUTHORIZED, why);
        let Some(mesh) = self.node.mesh() else {
            let why = "this node is still starting";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why));
        };
        let token = bearer(headers).ok_or_else(|| {
            refuse("no token was shown: make one (wattle token), and give it with --token".into())
        })?;
        let not_taken = |why: String| refuse(format!("this token is not taken: {why}"));
        let token = AccessToken::from_text(token).map_err(|error| not_taken(error.to_string()))?;
        token
            .verify(mesh.mesh_id(), self.node.id(), WallClock::default().now())
            .map_err(|error| not_taken(error.to_string()))?;
        let (key, rights) = (token.body.key, mesh.rights());
        let proven = |why: String| Refusal { operator: Some(key), ..not_taken(why) };
        let role = rights
            .role(&key)
            .ok_or_else(|| proven(format!("{key} is no operator of this mesh (any more)")))?;
        // What a member says counts there, and so nobody has said who may look.
        if !rights.has_operators() && role != Role::Authority {
            return Err(proven(
                "this mesh has no admin yet, so only tokens of its own key are taken; make one \
                 (wattle operator add --admin)"
                    .into(),
            ));
        }
        Ok((key, if token.body.read_only { Role::Viewer } else { role }))
    }

    /// Ends when `caller`, who has shown this, may not what it may now: the token has run out, or its
    /// operator has another role or none.
    fn gone(
        self: &Arc<Self>,
        caller: Caller,
        token: Option<HeaderValue>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let gate = Arc::clone(self);
        async move {
            let mut headers = HeaderMap::new();
            headers.extend(token.map(|token| (header::AUTHORIZATION, token)));
            let is_still = || match gate.identify(&headers) {
                Ok((key, role)) => Caller::Operator { key, role } == caller,
                Err(_) => false,
            };
            while is_still() {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    fn note_used(&self, caller: &Caller, place: &Place, request: String, status: StatusCode) {
        let Caller::Operator { key, .. } = caller else { return };
        self.node.audit().note(Happening::ApiUsed {
            operator: *key,
            from: place.from().to_string(),
            request,
            status: status.as_u16(),
        });
    }
}

async fn pass_owner(mut request: Request, next: Next) -> Response {
    if let Err(error) = check_no_origin(request.headers()) {
        return failure(StatusCode::FORBIDDEN, error);
    }
    request.extensions_mut().insert(Caller::Owner);
    next.run(request).await
}

async fn pass(
    State(gate): State<Arc<Gate>>,
    Extension(place): Extension<Arc<Place>>,
    mut request: Request,
    next: Next,
) -> Response {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let asked: String =
        format!("{} {}", request.method(), request.uri().path()).chars().take(SHOWN).collect();
    let caller = match gate.check(&place, &request) {
        Ok(caller) => caller,
        Err(Refusal { status, operator, why }) => {
            let response = turn_away(status, &why);
            let from = place.from().to_string();
            gate.node.audit().note(Happening::ApiRefused { operator, from, request: asked, why });
            return response;
        }
    };
    let uploads = request.uri().path().starts_with("/v1/artifacts/");
    let _upload = match uploads {
        true => gate.uploads.acquire().await.ok(),
        false => None,
    };
    request.extensions_mut().insert(caller.clone());
    let token = request.headers().get(header::AUTHORIZATION).cloned();
    let limit = if uploads { MAX_ARTIFACT } else { MAX_BODY };
    let request = request.map(|body| Body::new(Limited::new(body, limit)));
    let response = next.run(request).await;
    // What is only drafted has changed nothing: the record that comes of it is brought apart.
    let status = response.status();
    if status == StatusCode::FORBIDDEN || (!looks && status != StatusCode::ACCEPTED) {
        gate.note_used(&caller, &place, asked, status);
    }
    // What goes on for longer than its caller may have it ends with that.
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let gone = gate.gone(caller, token);
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(gone))))
}

fn status_of(error: &Misdirected) -> StatusCode {
    match error {
        Misdirected::NoHost => StatusCode::BAD_REQUEST,
        Misdirected::OtherHost(_) => StatusCode::MISDIRECTED_REQUEST,
        Misdirected::OtherOrigin(_) => StatusCode::FORBIDDEN,
    }
}

/// Says why, and ends the connection.
fn turn_away(status: StatusCode, why: &str) -> Response {
    let mut response = failure(status, why);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The token of a request (RFC 6750, section 2.1), where it stands there once.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_there_once_and_is_said_to_be_one() {
        let shown = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(shown(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(shown(&["bearer  abc "]).as_deref(), Some("abc"));
        for other in [&[][..], &["abc"], &["Basic abc"], &["Bearer a", "Bearer b"]] {
            assert_eq!(shown(other), None, "{other:?}");
        }
    }
}

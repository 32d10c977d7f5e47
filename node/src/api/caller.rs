//! Who asks the API, and what somebody has to be for what they ask.

use http::Method;
use wattle_contracts::id::{AppName, OperatorKey};
use wattle_mesh::core::rights::Role;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever can open the node's socket: its owner.
    Owner,
    /// An operator, over the network.
    Operator {
        /// Their key.
        key: OperatorKey,
        /// What they may.
        role: Role,
    },
}

impl Caller {
    /// Whether they may see and call what belongs to `app`.
    pub(super) fn covers(&self, app: &AppName) -> bool {
        match self {
            Caller::Owner => true,
            Caller::Operator { role, .. } => role.covers(app),
        }
    }

    /// Whether the node signs nothing for them: they sign themselves.
    pub(super) fn signs(&self) -> bool {
        matches!(self, Caller::Operator { .. })
    }
}

/// What somebody has to be who asks over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs<'a> {
    /// Anybody whom the records name.
    Viewer,
    /// One who declares something. What exactly they may, the records say of what they sign.
    Deployer,
    /// One who declares this app.
    DeployerOf(&'a str),
    /// One who declares everything.
    Admin,
    /// Nobody: it is for the node's own socket.
    Owner,
}

impl<'a> Needs<'a> {
    /// What a request needs. What is not named here is not for the network.
    pub(super) fn of(method: &Method, path: &'a str) -> Self {
        let path = path.strip_prefix("/v1/").unwrap_or_default();
        let (what, rest) = path.split_once('/').unwrap_or((path, ""));
        // The app, where a path names one of its own.
        let of = |rest: &'a str| Self::DeployerOf(rest.split('/').next().unwrap_or_default());
        if *method == Method::GET || *method == Method::HEAD {
            return match what {
                "nodes" | "apps" | "history" | "links" | "config" | "publishers" | "metrics"
                | "secrets" | "operators" | "outbox" => Self::Viewer,
                "logs" | "stamps" | "prints" => Self::Deployer,
                "calls" => of(rest),
                _ => Self::Owner,
            };
        }
        match what {
            // Drafted by the node, and signed by whoever asks.
            "apps" | "links" | "config" | "publishers" | "secrets" | "records" => Self::Deployer,
            "artifacts" => Self::Deployer,
            // Which app is in the body: looked at where that is read.
            "calls" => Self::Deployer,
            "outbox" => match rest.strip_prefix("parked/") {
                Some(rest) => of(rest),
                None => Self::Owner,
            },
            // A subject belongs to no app.
            "messages" | "leave" => Self::Admin,
            _ => Self::Owner,
        }
    }

    /// Whether somebody with `role` may ask it; if not, why.
    pub(super) fn check(self, role: &Role) -> Result<(), String> {
        let named = |app: &str| app.parse::<AppName>().is_ok_and(|app| role.covers(&app));
        let (enough, wanted) = match self {
            Self::Viewer => (true, "a viewer".into()),
            Self::Deployer => (*role != Role::Viewer, "a deployer".into()),
            Self::DeployerOf(app) => (named(app), format!("a deployer of `{app}`")),
            Self::Admin => (role.covers_all(), "an admin".into()),
            Self::Owner => {
                return Err("it is not for the network: ask the node through its own socket".into());
            }
        };
        match enough {
            true => Ok(()),
            false => Err(format!("it needs {wanted}, and this token is one of a {role}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(role: &Role, method: &str, path: &str) -> bool {
        Needs::of(&method.parse().unwrap(), path).check(role).is_ok()
    }

    #[test]
    fn each_role_may_what_it_is_for_and_nothing_above() {
        let deployer = Role::Deployer(["shop".parse().unwrap()].into());
        let looking = [
            ("GET", "/v1/nodes"),
            ("GET", "/v1/apps"),
            ("GET", "/v1/history/app/shop"),
            ("GET", "/v1/secrets"),
            ("GET", "/v1/outbox/parked"),
            ("HEAD", "/v1/metrics"),
        ];
        let deploying = [
            ("GET", "/v1/logs"),
            ("GET", "/v1/stamps/app/shop"),
            ("GET", "/v1/calls/shop/basket"),
            ("POST", "/v1/apps"),
            ("DELETE", "/v1/apps/shop"),
            ("PUT", "/v1/links/shop/basket/default/a:b"),
            ("PATCH", "/v1/config/shop/basket"),
            ("PUT", "/v1/secrets/shop/basket/token"),
            ("PUT", "/v1/artifacts/sha256:00"),
            ("POST", "/v1/records"),
            ("POST", "/v1/calls"),
            ("DELETE", "/v1/outbox/parked/shop/books"),
        ];
        let ruling = [
            ("POST", "/v1/leave"),
            ("POST", "/v1/messages"),
            ("GET", "/v1/calls/bank/vault"),
            ("POST", "/v1/outbox/parked/bank/books/retry"),
        ];
        let nobody = [
            ("POST", "/v1/papers"),
            ("POST", "/v1/nodes"),
            ("GET", "/v1/anything"),
            ("GET", "/"),
            ("GET", ""),
            ("GET", "//v1/nodes"),
            ("TRACE", "/v1/outbox"),
        ];
        let all = [looking.as_slice(), &deploying, &ruling, &nobody];
        for (role, reach) in
            [(&Role::Viewer, 1), (&deployer, 2), (&Role::Admin, 3), (&Role::Authority, 3)]
        {
            for (level, requests) in all.iter().enumerate() {
                for (method, path) in *requests {
                    assert_eq!(may(role, method, path), level < reach, "{role}: {method} {path}");
                }
            }
        }
    }

    #[test]
    fn an_app_that_is_written_otherwise_is_another_one() {
        let deployer = Role::Deployer(["shop".parse().unwrap()].into());
        for path in ["/v1/calls/", "/v1/calls/sh%6fp/x", "/v1/calls//shop/x", "/v1/calls/../shop"] {
            assert!(!may(&deployer, "GET", path), "{path}");
        }
    }
}
